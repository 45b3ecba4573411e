"""The composition root: the client of the payment service, the two doors and their health."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Final, Literal

import msgspec
from litestar import HttpMethod, Litestar, Response, get, route
from litestar.di import NamedDependency, Provide
from msgspec import Meta

from payment_client import AsyncPaymentClient, PaymentError
from requestor_mock import pages
from requestor_mock.bodies import LIMIT_BYTES
from requestor_mock.caller import REQUEST_ID_HEADER, Caller, provide_caller, tell_request_id
from requestor_mock.graphql import graphql_router
from requestor_mock.graphql_socket import Doorkeeper
from requestor_mock.rest import answer_with_problem, payments_router, refunds_router
from requestor_mock.settings import Settings

HEALTH_LIMIT_SECONDS: Final = 1.0
"""A payment service that needs longer to say that it is well is not; probes wait little more."""


def create_app(settings: Settings) -> Litestar:
    """The application; it connects to the payment service with the first call.

    Raises ValueError for a target that makes no sense.
    """
    client = AsyncPaymentClient(settings.payment_target)

    @asynccontextmanager
    async def open_client(app: Litestar) -> AsyncIterator[None]:
        async with client:
            app.state.client = client
            app.state.doorkeeper = Doorkeeper()
            yield

    return Litestar(
        [
            get_health,
            head_health,
            payments_router,
            refunds_router,
            graphql_router,
            pages.assets_router,
        ],
        lifespan=[open_client],
        dependencies={"caller": Provide(provide_caller, sync_to_thread=False)},
        exception_handlers={Exception: answer_with_problem},
        before_send=[tell_request_id],
        request_max_body_size=LIMIT_BYTES,
        openapi_config=pages.openapi_config("requestor-mock", version("requestor-mock")),
        logging_config=None,
    )


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests can be served, which takes both services."""

    status: Literal["healthy", "unhealthy"]
    payment_service: Annotated[
        Literal["reachable", "unhealthy", "unreachable"],
        Meta(description="Whether it answers, and whether it says that it can take payments."),
    ]


@get("/health", summary="Health", tags=["Health"])
async def get_health(caller: NamedDependency[Caller]) -> Response[Health]:
    """200 if payments can be taken, 503 otherwise; it asks the payment service each time."""
    return await _told_health(caller)


# Litestar's own `head` takes no handler that tells a body, whose length belongs in the headers.
@route("/health", http_method=HttpMethod.HEAD, include_in_schema=False)
async def head_health(caller: NamedDependency[Caller]) -> Response[Health]:
    """The same without its body, as some probes ask."""
    return await _told_health(caller)


async def _told_health(caller: Caller) -> Response[Health]:
    try:
        told = await caller.client.health(
            # Health is no merchant's: one that cannot be sent would look like a service away.
            timeout_seconds=HEALTH_LIMIT_SECONDS,
            headers={REQUEST_ID_HEADER: caller.request_id},
        )
    except PaymentError:
        return Response(Health(status="unhealthy", payment_service="unreachable"), status_code=503)
    if not told.healthy:
        return Response(Health(status="unhealthy", payment_service="unhealthy"), status_code=503)
    return Response(Health(status="healthy", payment_service="reachable"))
