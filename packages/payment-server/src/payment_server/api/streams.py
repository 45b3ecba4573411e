"""Streams over HTTP: a watch as server-sent events.

Like those of gRPC they are no calls inside the gate. The server drops a reader that stalls.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, HeaderParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from payment_server.api.bodies import EventBody, event_body
from payment_server.api.faults import describe, problem
from payment_server.api.intake import check_query
from payment_server.api.parameters import MERCHANT, HttpRequest, problems
from payment_server.domain import commands
from payment_server.watching import Watched, Watching

RECONNECT_MS: Final = 1_000
"""When an EventSource comes back: as soon as SHUTTING_DOWN lets any caller. Browsers on their own
wait for three to five seconds, or not at all."""

_PARAMETERS: Final = {"payment_id", "customer_id", "cursor", "from_beginning"}
_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # or nginx would hold back what is to be seen at once
)


@get(
    "/v1/events",
    tags=["Events"],
    operation_id="WatchPayments",
    summary="Watch payments",
    dependencies=MERCHANT,
    responses={
        200: ResponseSpec(
            EventBody,
            generate_examples=False,
            description="Server-sent events: `id` is a cursor, `event` the type, `data` like this.",
            media_type="text/event-stream",
        ),
        **problems(400, 404, 410, 500, 503),
    },
)
async def watch_payments(
    request: HttpRequest,
    watching: NamedDependency[Watching],
    merchant_id: NamedDependency[str],
    payment_id: FromQuery[str] = "",
    customer_id: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
    from_beginning: FromQuery[bool] = False,
    last_event_id: Annotated[
        str,
        HeaderParameter(
            name="Last-Event-ID",
            description="The last cursor that was seen; it counts more than the query's.",
        ),
    ] = "",
) -> ASGIApp:
    """Streams events of one payment, one customer or a merchant, from a cursor or from now on.

    Whoever resumes with the last cursor misses no event and gets none twice. An `id` without data
    says how far the stream has come: the first one comes at once, others about every 15 s. An
    event of the type `problem` ends the stream.
    Errors: 400 FIELD_INVALID; 404 PAYMENT_NOT_FOUND; 410 CURSOR_EXPIRED; 503.
    """
    check_query(request, _PARAMETERS)
    wish = commands.watch_payments(
        payment_id=payment_id,
        customer_id=customer_id,
        cursor=last_event_id or cursor,
        from_beginning=from_beginning and not last_event_id,
    )
    return _Answer(watching.watch(merchant_id, wish), request)


class _Answer:
    """Sends a watch as it goes on, until the reader leaves."""

    def __init__(self, watch: AsyncGenerator[Watched, None], request: HttpRequest) -> None:
        self._watch = watch
        self._request = request

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what the watch raises before its first answer."""
        async with aclosing(self._watch) as watch:
            first = await anext(watch)
            sending = asyncio.create_task(self._send(first, watch, send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait({sending, leaving})
        if not sending.cancelled():
            sending.result()

    async def _send(self, first: Watched, watch: AsyncGenerator[Watched, None], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _tell(send, f"retry: {RECONNECT_MS}\n".encode() + _text_of(first))
        try:
            async for watched in watch:
                await _tell(send, _text_of(watched))
        except Exception as error:
            await _tell(send, self._last_word(error))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _last_word(self, error: Exception) -> bytes:
        """The problem that ends the stream, which has begun with a status of 200."""
        fault = describe(error, self._request.state.request_id)
        told = msgspec.json.encode(problem(fault, self._request.url.path))
        return b"event: problem\ndata: " + told + b"\n\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tell(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})
    await asyncio.sleep(0)  # a page of events does not keep the calls waiting


def _text_of(watched: Watched) -> bytes:
    """An event; or an id alone, which EventSource remembers without telling anybody."""
    cursor = f"id: {watched.cursor}\n"
    if watched.event is None:
        return f"{cursor}\n".encode()
    told = msgspec.json.encode(event_body(watched.event)).decode()
    return f"{cursor}event: {watched.event.type}\ndata: {told}\n\n".encode()
