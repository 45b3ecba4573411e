"""GraphQL over WebSocket: subscriptions by the protocol graphql-transport-ws, as GraphiQL and most
clients speak it. The library's own handler would repeat what callers sent and know no bounds.

Whatever ends a conversation ends its subscriptions, and with them their watches.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from graphql import GraphQLError
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from msgspec import Meta

from requestor_mock.bodies import has_lone_surrogate, parse_json
from requestor_mock.caller import REQUEST_ID_HEADER, Caller, caller_of_socket, request_id_of
from requestor_mock.errors import Refused, facts_of
from requestor_mock.graphql_execution import SCHEMA, Asked, told, told_errors
from requestor_mock.graphql_types import Context

PROTOCOL: Final = "graphql-transport-ws"
INIT_LIMIT_SECONDS: Final = 3.0
"""What the protocol's reference server waits for connection_init: who comes, comes to say it."""
MAX_SOCKETS: Final = 200
"""Per process: one that only waits costs 10 KB, a file descriptor and a ping every 20 s."""
MAX_SUBSCRIPTIONS: Final = 100
"""Per process: each costs 65 KB, and a stream of the payment service's, which others want too."""
RETRY_AFTER_MS: Final = 1_000
"""A subscription ends when somebody leaves, which nobody can foresee."""
REASON_LIMIT: Final = 120  # a close frame has room for 123 bytes; ours are ASCII

_CODES: Final = {"OVERLOADED": 1013, "INTERNAL_ERROR": 4500}
"""How a socket is closed for a failure that is not the caller's."""
_GONE: Final = (WebSocketDisconnect, OSError)
"""The other side is: Litestar tells readers so, uvicorn writers."""


_Name: TypeAlias = Annotated[str, Meta(min_length=1)]
"""What the other side calls one of its operations."""


class _Init(msgspec.Struct, tag_field="type", tag="connection_init"):
    payload: dict[str, Any] | None = None


class _Ping(msgspec.Struct, tag_field="type", tag="ping"):
    payload: dict[str, Any] | None = None


class _Pong(msgspec.Struct, tag_field="type", tag="pong"):
    payload: dict[str, Any] | None = None


class _Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    id: _Name
    payload: Asked


class _Complete(msgspec.Struct, tag_field="type", tag="complete"):
    id: _Name


_Message: TypeAlias = _Init | _Ping | _Pong | _Subscribe | _Complete
"""Everything that the protocol lets a client say."""


class Seats:
    """So many at a time and no more."""

    def __init__(self, limit: int, what: str) -> None:
        self._free = limit
        self._full = f"{limit} {what} are open already"

    @contextmanager
    def one(self) -> Iterator[None]:
        """Holds a seat. Raises Refused if there is none."""
        if self._free == 0:
            raise Refused("OVERLOADED", self._full, retry_after_ms=RETRY_AFTER_MS)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Doorkeeper:
    """Knows how many may come in; there is one for the application."""

    def __init__(self) -> None:
        self.sockets = Seats(MAX_SOCKETS, "sockets")
        self.subscriptions = Seats(MAX_SUBSCRIPTIONS, "subscriptions")


class _Closed(Exception):
    """The conversation is over; codes from 4400 on are the protocol's, others are RFC 6455's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@websocket("/")
async def answer_socket(socket: WebSocket[None, None, State]) -> None:
    """Holds one conversation."""
    if not _is_same_origin(socket):
        await socket.close(1008)  # before it is accepted: the handshake is answered with 403
        return
    speaks = PROTOCOL in socket.scope["subprotocols"]
    headers = {REQUEST_ID_HEADER: request_id_of(socket.scope)}
    await socket.accept(subprotocols=PROTOCOL if speaks else None, headers=headers)
    doorkeeper: Doorkeeper = socket.app.state.doorkeeper
    with suppress(*_GONE):
        try:
            if not speaks:
                raise _Closed(4406, "Subprotocol not acceptable")
            with doorkeeper.sockets.one():
                await _Conversation(socket, doorkeeper.subscriptions).hold()
        except _GONE:
            raise
        except _Closed as closed:
            await socket.close(closed.code, closed.reason)
        except Exception as error:
            facts = facts_of(error, request_id_of(socket.scope))
            code = _CODES.get(facts.reason, 4400)
            await socket.close(code, facts.detail[:REASON_LIMIT])


def _is_same_origin(socket: WebSocket[None, None, State]) -> bool:
    """Whether no foreign page asks. Browsers let any page open a WebSocket, unlike a request with a
    JSON body, and say where it came from; programs say nothing."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")


class _Conversation:
    """What is said on one socket, which was accepted, until either side ends it."""

    def __init__(self, socket: WebSocket[None, None, State], seats: Seats) -> None:
        self._socket = socket
        self._seats = seats
        self._operations: dict[str, asyncio.Task[None]] = {}

    async def hold(self) -> None:
        """Raises _Closed, Refused or WebSocketDisconnect, when no operation runs any more."""
        try:
            async with asyncio.timeout(INIT_LIMIT_SECONDS):
                caller = await self._begin()
        except TimeoutError:
            raise _Closed(4408, "Connection initialisation timeout") from None
        await self._socket.send_json({"type": "connection_ack"})
        try:
            while True:
                await self._heed(await self._next(), caller)
        finally:
            await _end(*self._operations.values())

    async def _begin(self) -> Caller:
        """Who speaks, once they have said connection_init."""
        match await self._next():
            case _Init(payload=payload):
                return caller_of_socket(self._socket, payload or {})
            case _:
                raise _Closed(4401, "Unauthorized")

    async def _heed(self, message: _Message, caller: Caller) -> None:
        match message:
            case _Subscribe(id=name, payload=asked):
                if name in self._operations:
                    raise _Closed(4409, "Subscriber already exists")
                self._operations[name] = asyncio.create_task(self._run(name, asked, caller))
            case _Complete(id=name):
                await _end(self._operations.pop(name, None))
            case _:
                raise _Closed(4429, "Too many initialisation requests")

    async def _next(self) -> _Message:
        """The next message but for pings and pongs, which are answered here."""
        while True:
            match message := await self._received():
                case _Ping():
                    await self._socket.send_json({"type": "pong"})
                case _Pong():
                    pass
                case _:
                    return message

    async def _received(self) -> _Message:
        message = parse_json((await self._socket.receive_text()).encode())
        if has_lone_surrogate(message):  # no answer could have it, and an id comes back
            raise Refused("MALFORMED_REQUEST", "the message has a lone surrogate")
        try:
            known: _Message = msgspec.convert(message, _Message)
        except msgspec.ValidationError:
            raise _Closed(4400, "Invalid message") from None
        return known

    async def _run(self, name: str, asked: Asked, caller: Caller) -> None:
        """One operation, from its subscribe to the message that ends it."""
        with suppress(*_GONE):  # `hold`, which reads the socket, hears of it too
            try:
                with self._seats.one():
                    errors = await self._stream(name, asked, caller)
            except _GONE:
                raise
            except Exception as error:
                errors = [told(facts_of(error, caller.request_id))]
            # The name is free before its holder can hear that.
            self._operations.pop(name, None)
            if errors:
                await self._send("error", name, errors)
            else:
                await self._send("complete", name)

    async def _stream(self, name: str, asked: Asked, caller: Caller) -> list[dict[str, Any]]:
        """Sends what happens, until something fails, which it returns, or nothing follows."""
        context = Context(caller, asked.operation_name)
        results = await SCHEMA.subscribe(
            asked.query,
            asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
        )
        try:
            async with aclosing(results):
                async for result in results:
                    errors = list(told_errors(result.errors or [], asked, caller.request_id))
                    if result.data is None:
                        return errors
                    told_now: dict[str, Any] = {"data": result.data}
                    if errors:
                        told_now["errors"] = errors
                    await self._send("next", name, told_now)
        except GraphQLError as error:  # the library raises what its cache cannot parse
            return list(told_errors([error], asked, caller.request_id))
        return []

    async def _send(self, kind: str, name: str, payload: object = None) -> None:
        message: dict[str, object] = {"id": name, "type": kind}
        if payload is not None:
            message["payload"] = payload
        await self._socket.send_json(message)


async def _end(*operations: asyncio.Task[None] | None) -> None:
    """Returns when the watches are closed, so that their seats are free."""
    running = [operation for operation in operations if operation is not None]
    for operation in running:
        operation.cancel()
    await asyncio.gather(*running, return_exceptions=True)
