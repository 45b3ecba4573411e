# The commands of this repository. `make` alone prints them; the help is made from the ## comments.

.DEFAULT_GOAL := help
.PHONY: help dev test test-long bench bench-quick bench-growth lifecycle protos build up down logs check-stack clean test-container fmt

PYTHON ?= python3
# uv from PATH, or a private one: a machine with CPython and its venv module needs nothing else.
UV := $(shell command -v uv || echo .uv/bin/uv)
# The minor release that packages/*/pyproject.toml build with (uv_build).
UV_RANGE := uv>=0.13,<0.14

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: | $(UV) ## payment-server on an embedded PostgreSQL and requestor-mock, until Ctrl-C
	@UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --frozen --inexact --all-packages --all-extras
	@exec .venv/bin/python scripts/dev.py

test: | $(UV) ## Every check and every test; pytest takes ARGS, as in make test ARGS='-k replay'
	@$(UV) run --script scripts/run_tests.py $(ARGS)

test-long: | $(UV) ## The random and the violent tests for longer, the other gRPC server, two servers at once
	@$(UV) run --script scripts/run_tests.py --long $(ARGS)

bench: .envs/bench ## How fast it is, against what else this machine can do: a quarter of an hour
	@.envs/bench/bin/python -m scripts.bench

bench-quick: .envs/bench ## The same in a minute: whether it works, and roughly how fast
	@.envs/bench/bin/python -m scripts.bench --quick

bench-growth: .envs/bench ## What five million payments and a million calls change: ten minutes, 15 GB
	@.envs/bench/bin/python -m scripts.bench.growth

.PHONY: .envs/bench
.envs/bench: | $(UV)
	@UV_PROJECT_ENVIRONMENT=$@ $(UV) sync --quiet --frozen --all-packages --all-extras --group bench

lifecycle: | $(UV) ## Draw the life of a payment into payment-server's README, from its tables
	@UV_PROJECT_ENVIRONMENT=.venv $(UV) sync --quiet --frozen --inexact --all-packages
	@.venv/bin/python scripts/draw_lifecycle.py

protos: | $(UV) ## Generate payment-proto's modules from protos/
	@$(UV) run --script scripts/generate_protos.py

build: | $(UV) ## The four wheels, in dist/ (after a look that the generated modules are current)
	@$(UV) run --script scripts/generate_protos.py --check
	@rm -rf dist
	@$(UV) build --all-packages --wheel --out-dir dist

up: ## The stack in containers; with grpcui: make up COMPOSE_PROFILES=tools
	docker compose up --detach --build --wait

down: ## Stop the containers; the data stays
	docker compose --profile '*' down

logs: ## Follow the containers' logs
	docker compose --profile '*' logs --follow

check-stack: | $(UV) ## Drive what `make dev` or `make up` runs from outside: REST, GraphQL, gRPC
	@$(UV) run --quiet --script scripts/check_stack.py

test-container: ## payment-server's tests inside its image, against the stack's own PostgreSQL
	docker compose --profile test run --build --rm payment-service-test

# Data of `make dev` is the user's (PAYMENT_DATA_DIR) and never ours to remove.
clean: ## Remove build output, environments, caches, and this stack's containers and volumes
	@if docker info >/dev/null 2>&1; then docker compose --profile '*' down --volumes --remove-orphans; \
	else echo 'No Docker Engine answers: containers and volumes are left alone.'; fi
	rm -rf dist build .venv .envs .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find packages scripts -depth \( -name __pycache__ -o -name '.*_cache' -o -name .hypothesis \) -exec rm -rf {} +

fmt: | $(UV) ## Format the code and mend what the linter can
	@UV_PROJECT_ENVIRONMENT=.envs/check $(UV) run --frozen --only-group check ruff format .
	@UV_PROJECT_ENVIRONMENT=.envs/check $(UV) run --frozen --only-group check ruff check --fix .

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet '$(UV_RANGE)'
