"""What load balancers and people ask: /health, /livez, /readyz. They pass no gate."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from payment_server.api.bodies import HealthBody, ReadyBody
from payment_server.api.gate import Gate
from payment_server.api.wire import rfc3339

HEALTH_PATHS: Final = ("/health", "/livez", "/readyz")


def health_routes(
    gate: Gate, is_up: Callable[[], Awaitable[bool]], redis_state: Callable[[], Awaitable[str]]
) -> tuple[HTTPRouteHandler, ...]:
    """`is_up` asks the database; `redis_state` says up, down or off."""

    @get(
        "/health",
        tags=["Health"],
        operation_id="HealthCheck",
        summary="Health, as the database says",
    )
    async def health() -> Response[HealthBody]:
        """Asks the database. 503 where it does not answer."""
        healthy = await is_up()
        body = HealthBody(
            status="healthy" if healthy else "unhealthy", timestamp=rfc3339(datetime.now(UTC))
        )
        return Response(body, status_code=200 if healthy else 503)

    @get(
        "/livez",
        tags=["Health"],
        operation_id="Live",
        summary="Whether the process answers",
        sync_to_thread=False,
    )
    def live() -> dict[str, str]:
        """Says that the process answers, and nothing of what it depends on."""
        return {"status": "alive"}

    @get("/readyz", tags=["Health"], operation_id="Ready", summary="Whether payments can be taken")
    async def ready() -> Response[ReadyBody]:
        """503 where payments cannot be taken. Redis away is degraded: no answer depends on it."""
        database, redis = await is_up(), await redis_state()
        takes_payments = database and not gate.is_closed
        calm = "degraded" if redis == "down" else "ready"
        body = ReadyBody(
            status=calm if takes_payments else "unready",
            database="up" if database else "down",
            redis=redis,
        )
        return Response(body, status_code=200 if takes_payments else 503)

    return health, live, ready
