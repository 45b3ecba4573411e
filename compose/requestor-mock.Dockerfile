# requestor-mock and the client it calls payment-service with. Built from the repository's root.
ARG PYTHON_VERSION=3.13
ARG UV_VERSION=latest

FROM ghcr.io/astral-sh/uv:${UV_VERSION} AS uv

FROM python:${PYTHON_VERSION}-slim AS build
COPY --from=uv /uv /usr/local/bin/
ENV UV_PROJECT_ENVIRONMENT=/opt/requestor \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY packages/payment-proto/pyproject.toml packages/payment-proto/
COPY packages/payment-client/pyproject.toml packages/payment-client/
COPY packages/requestor-mock/pyproject.toml packages/requestor-mock/
# The work of others first: it changes less often than ours.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --package requestor-mock --no-install-workspace
COPY packages/payment-proto packages/payment-proto
COPY packages/payment-client packages/payment-client
COPY packages/requestor-mock packages/requestor-mock
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --package requestor-mock --no-editable

FROM python:${PYTHON_VERSION}-slim
RUN useradd --create-home --uid 10001 requestor
COPY --from=build /opt/requestor /opt/requestor
ENV PATH=/opt/requestor/bin:$PATH PYTHONUNBUFFERED=1
USER requestor
EXPOSE 8001
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --start-interval=1s \
    CMD ["requestor-mock", "healthcheck"]
CMD ["requestor-mock", "serve"]
