"""On whose behalf a request is made: what its HTTP headers mean to the payment service."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Request, WebSocket
from litestar.datastructures import Headers, State
from litestar.params import HeaderParameter
from litestar.types import Message, Scope

from payment_client import AsyncPaymentClient, CallInfo, FieldViolation
from requestor_mock.errors import fields_invalid

REQUEST_ID_HEADER: Final = "x-request-id"
REPLAYED_HEADER: Final = "idempotency-replayed"

_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
"""What the payment service takes as it stands; anything else is replaced by an id of ours."""

_SAID_ONCE: Final = {
    "idempotency-key": "idempotency_key",
    "x-merchant-id": "x-merchant-id",
}
"""Headers that may not differ from themselves, by the names that errors have for them."""

IdempotencyKeyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="At most 255 printable ASCII characters; the same key has one effect for ever.",
    ),
]
MerchantHeader = Annotated[
    str | None,
    HeaderParameter(
        name="X-Merchant-Id",
        description="The merchant, while the service runs the sandbox; default: `default`.",
    ),
]


@dataclass(frozen=True, slots=True)
class Caller:
    """The way to the payment service, and the headers that go with each call."""

    client: AsyncPaymentClient
    request_id: str
    headers: dict[str, str]


def provide_caller(
    request: Request[None, None, State], state: State, merchant_id: MerchantHeader = None
) -> Caller:
    """Litestar's dependency `caller`. Raises Refused for a header that says two things."""
    _check_repeated(request.headers)
    return _caller(state.client, request_id_of(request.scope), merchant_id)


def caller_of_socket(socket: WebSocket[None, None, State], parameters: Mapping[str, Any]) -> Caller:
    """The same for a WebSocket. As a browser can give it no headers, `parameters` may have them.

    Raises Refused for a header that says two things.
    """
    _check_repeated(socket.headers)
    named = [value for name, value in parameters.items() if name.lower() == "x-merchant-id"]
    if (in_headers := socket.headers.get("x-merchant-id")) is not None:
        named.append(in_headers)
    if any(each != named[0] or not isinstance(each, str) for each in named):
        message = "must be one string, wherever it is given"
        raise fields_invalid([FieldViolation(field="x-merchant-id", message=message)])
    return _caller(
        socket.app.state.client, request_id_of(socket.scope), named[0] if named else None
    )


def _caller(client: AsyncPaymentClient, request_id: str, merchant_id: str | None) -> Caller:
    headers = {REQUEST_ID_HEADER: request_id}
    if merchant_id is not None:
        headers["x-merchant-id"] = merchant_id
    return Caller(client, request_id, headers)


def _check_repeated(headers: Headers) -> None:
    """One of several keys or merchants would be taken by chance."""
    found = [
        FieldViolation(field=field, message="is given several times, and not the same")
        for header, field in _SAID_ONCE.items()
        if len(set(headers.getall(header, []))) > 1
    ]
    if found:
        raise fields_invalid(found)


def request_id_of(scope: Scope) -> str:
    """The correlation id of a request: the caller's own, or one that is made once."""
    known = scope["state"].get(REQUEST_ID_HEADER)
    if known is None:
        sent = dict(scope["headers"]).get(REQUEST_ID_HEADER.encode(), b"").decode("latin-1")
        known = sent if _REQUEST_ID.fullmatch(sent) else str(uuid.uuid4())
        scope["state"][REQUEST_ID_HEADER] = known
    return str(known)


async def tell_request_id(message: Message, scope: Scope) -> None:
    """Litestar's hook before anything is sent: every answer names its request."""
    if message["type"] == "http.response.start":
        headers = [*message.get("headers", ())]
        headers.append((REQUEST_ID_HEADER.encode(), request_id_of(scope).encode()))
        message["headers"] = headers


def one_key(in_header: str | None, in_request: str | None) -> str | None:
    """The idempotency key, wherever it was given; raises Refused if it was given twice, unlike."""
    if in_header is not None and in_request is not None and in_header != in_request:
        differs = "differs from the header Idempotency-Key"
        raise fields_invalid([FieldViolation(field="idempotency_key", message=differs)])
    return in_header if in_request is None else in_request


def replay_headers(call: CallInfo) -> dict[str, str]:
    """How an answer says in HTTP that it was given before."""
    if not call.replayed:
        return {}
    return {REPLAYED_HEADER: "reconstructed" if call.reconstructed else "true"}
