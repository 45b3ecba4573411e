"""The HTTP side: health, the API under /v1, its documentation, and how failures are told."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

from litestar import Litestar, Response, Router
from litestar.datastructures import Headers
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from payment.v1.errors import ERRORS
from payment_server.api.faults import Fault, Problem, describe, problem
from payment_server.api.gate import Gate
from payment_server.api.health import HEALTH_PATHS, health_routes
from payment_server.api.intake import NO_SUCH_VALUE, check_change
from payment_server.api.pages import assets_router, openapi_config
from payment_server.api.parameters import PROBLEM_MEDIA_TYPE, HttpRequest
from payment_server.api.rest import PaymentsController, RefundsController
from payment_server.api.rest_batch import BatchController
from payment_server.api.rest_steps import StepsController
from payment_server.api.rpc import REQUEST_ID_PATTERN, REQUEST_LIMIT_BYTES
from payment_server.api.streams import watch_payments
from payment_server.domain import commands, ids
from payment_server.domain.commands import is_tellable
from payment_server.domain.errors import (
    InvalidRequest,
    MalformedRequest,
    MessageTooLarge,
    PaymentServiceError,
    Violation,
)
from payment_server.limits import Limits
from payment_server.payments import Payments
from payment_server.reading import Reader
from payment_server.watching import Watching

DESCRIPTION: Final = (
    "The operations of payment.v1.PaymentService as JSON. A decline is a success whose payment has"
    " failed; every refusal is a problem (RFC 9457) with a `reason` for programs."
)

BODY_LIMIT_SECONDS: Final = 10.0
"""For each piece of a body: whoever sends slower holds a place that others wait for."""


def build_http_app(
    payments: Payments,
    reader: Reader,
    watching: Watching,
    gate: Gate,
    *,
    is_up: Callable[[], Awaitable[bool]],
    redis_state: Callable[[], Awaitable[str]],
) -> ASGIApp:
    """The application; every answer of it carries its `X-Request-Id`."""
    limits = [] if gate.limits is None else [_limits_of(gate.limits)]
    api = Router(
        "/",
        route_handlers=[PaymentsController, BatchController, StepsController, RefundsController],
        dependencies={
            "gate": Provide(lambda: gate, sync_to_thread=False),
            "payments": Provide(lambda: payments, sync_to_thread=False),
            "reader": Provide(lambda: reader, sync_to_thread=False),
        },
        before_request=check_change,
        middleware=[*limits, lambda app: _gated(app, gate)],
    )
    streams = Router(
        "/",
        route_handlers=[watch_payments],
        dependencies={"watching": Provide(lambda: watching, sync_to_thread=False)},
        middleware=limits,
    )
    app = Litestar(
        [api, streams, *health_routes(gate, is_up, redis_state), assets_router],
        openapi_config=openapi_config("Payment service", version("payment-server"), DESCRIPTION),
        request_max_body_size=REQUEST_LIMIT_BYTES,
        exception_handlers={Exception: _answer_failure, HTTPException: _answer_failure},
        logging_config=None,  # the composition root's business; bodies are never logged
    )
    return _with_request_ids(app)


def _limits_of(limits: Limits) -> Callable[[ASGIApp], ASGIApp]:
    """Refuses who calls too often before the body is read. A stream counts at its start."""

    def limited(app: ASGIApp) -> ASGIApp:
        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            merchant = Headers.from_scope(scope).get("x-merchant-id", "")
            await limits.admit(commands.merchant_id(merchant))
            await app(scope, receive, send)

        return admitted

    return limited


def _gated(app: ASGIApp, gate: Gate) -> ASGIApp:
    async def gated(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_in_time() -> Any:
            try:
                async with asyncio.timeout(BODY_LIMIT_SECONDS):
                    return await receive()
            except TimeoutError:
                raise MalformedRequest("the body did not arrive in time") from None

        with gate:
            await app(scope, receive_in_time, send)

    return gated


def _with_request_ids(app: ASGIApp) -> ASGIApp:
    async def with_request_id(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID_PATTERN.fullmatch(given) else ids.new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode("latin-1")),
                ]
            await send(message)

        if scope["method"] == "HEAD" and scope["path"] in HEALTH_PATHS:
            # Answered as GET is (RFC 9110); uvicorn, which knows better, leaves the body out.
            scope = {**scope, "method": "GET"}
        await app(scope, receive, send_with_id)

    return with_request_id


def _told(path: str) -> str:
    """The path that was asked for, but for what no path of ours has: it could be a card number."""
    return "/".join(
        each if not each or ids.canonical(each) or is_tellable(each) else "…"
        for each in path.split("/")
    )


def _answer_failure(request: HttpRequest, error: Exception) -> Response[Problem]:
    fault = _fault(error, request)
    headers = {}
    if fault.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(fault.retry_after_seconds)))
    return Response(
        problem(fault, _told(request.url.path)),
        status_code=fault.row.http_status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def _fault(error: Exception, request: HttpRequest) -> Fault:
    request_id = request.state.request_id
    match error:
        case PaymentServiceError():
            return describe(error, request_id)
        case NotFoundException():
            return _outside("ROUTE_NOT_FOUND", request_id)
        case MethodNotAllowedException():
            return _outside("METHOD_NOT_ALLOWED", request_id)
        case ValidationException():
            return describe(InvalidRequest(_violations(error)), request_id)
        case HTTPException() if error.status_code == HTTP_413_REQUEST_ENTITY_TOO_LARGE:
            return describe(MessageTooLarge(_limit_bytes(request)), request_id)
        case SerializationException() | RecursionError():
            return describe(MalformedRequest("the body is no JSON"), request_id)
        case HTTPException() if 400 <= error.status_code < 500:
            return describe(MalformedRequest("the request cannot be read"), request_id)
        case _:
            return describe(error, request_id)


def _limit_bytes(request: HttpRequest) -> int:
    """Of the body, at the address that was asked for."""
    return request.route_handler.resolve_request_max_body_size() or REQUEST_LIMIT_BYTES


def _outside(reason: str, request_id: str) -> Fault:
    """A failure of HTTP itself, before any of our methods was reached."""
    row = ERRORS[reason]
    return Fault(row, row.title, request_id, {})


def _violations(error: ValidationException) -> list[Violation]:
    """What Litestar says of the parameters that msgspec refused, with their own names."""
    found = []
    for entry in error.extra if isinstance(error.extra, list) else []:
        message = str(entry.get("message", ""))
        quotes = message.startswith("Invalid enum value")
        found.append(Violation(_key_of(entry), NO_SUCH_VALUE if quotes else message))
    return found or [Violation("", "the request has a field of the wrong type")]


def _key_of(entry: dict[str, Any]) -> str:
    key = str(entry.get("key", "")).partition("[")[0]
    return key if is_tellable(key) else ""
