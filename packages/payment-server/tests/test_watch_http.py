"""/v1/events: watching as server-sent events, as an EventSource would."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from service_under_test import Servers, Start, clients_of, service_on, until
from watching_under_test import Sent, Writer, sent

from payment_server import watching as module
from payment_server.api import http_server, streams


@asynccontextmanager
async def watched(
    servers: Servers, query: str = "", **headers: str
) -> AsyncIterator[tuple[AsyncIterator[Sent], str]]:
    """What is sent, and the first cursor."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async with servers.http.stream("GET", f"/v1/events{query}", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        items = sent(response)
        first = await anext(items)
        assert (first.event, first.data) == ("", "")
        yield items, first.id


async def next_sent(items: AsyncIterator[Sent], count: int) -> list[Sent]:
    async with asyncio.timeout(10):
        return [await anext(items) for _ in range(count)]


async def test_events_have_a_cursor_a_type_and_the_body_that_is_listed(servers: Servers) -> None:
    async with watched(servers) as (items, _):
        payment_id = (await servers.created()).payment_id
        await servers.process(payment_id)
        told = await next_sent(items, 3)
    assert [each.event for each in told] == [
        "payment.created",
        "payment.authorization_started",
        "payment.captured",
    ]
    listed = (await servers.http.get(f"/v1/payments/{payment_id}/events")).json()["events"]
    assert [httpx.Response(200, text=each.data).json() for each in told] == listed


async def test_the_last_event_id_counts_more_than_the_query(servers: Servers) -> None:
    async with watched(servers) as (items, beginning):
        for _ in range(3):
            await servers.created()
        told = await next_sent(items, 3)
    for query in ("", f"?cursor={beginning}", "?from_beginning=true"):
        async with watched(servers, query, last_event_id=told[1].id) as (items, cursor):
            assert cursor == told[1].id
            assert await next_sent(items, 1) == told[2:]


async def test_a_query_chooses_what_is_watched(servers: Servers) -> None:
    anna = await servers.created(customer_id="anna")
    bert = await servers.created(customer_id="bert")
    for query, payment_id in (
        ("customer_id=bert", bert.payment_id),
        (f"payment_id={anna.payment_id}", anna.payment_id),
    ):
        async with watched(servers, f"?{query}&from_beginning=true") as (items, _):
            [told] = await next_sent(items, 1)
        assert payment_id in told.data


async def test_a_quiet_stream_moves_the_id_alone(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    async with watched(servers, "?customer_id=anna") as (items, cursor):
        await servers.created(customer_id="bert")
        told = Sent(id=cursor)
        while told.id == cursor:
            [told] = await next_sent(items, 1)
            assert (told.event, told.data) == ("", "")


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("payment_id=none", 404, "PAYMENT_NOT_FOUND"),
        ("payment_id=a&customer_id=b", 400, "FIELD_INVALID"),
        ("cursor=nonsense", 400, "FIELD_INVALID"),
        ("from_beginning=perhaps", 400, "FIELD_INVALID"),
        ("payment=none", 400, "FIELD_INVALID"),
        (f"cursor=1.{'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' * 2}", 410, "CURSOR_EXPIRED"),
    ],
)
async def test_what_cannot_be_watched_is_a_problem(
    servers: Servers, query: str, status: int, reason: str
) -> None:
    reply = await servers.http.get(f"/v1/events?{query}")
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply.headers["x-request-id"] == reply.json()["request_id"]


async def test_the_end_of_a_service_ends_every_stream_at_once(database_url: str) -> None:
    service = service_on(database_url, {}, None)
    async with (
        clients_of(await service.__aenter__()) as servers,
        watched(servers) as (items, _),
    ):
        end = asyncio.ensure_future(service.__aexit__(None, None, None))
        async with asyncio.timeout(1.0):  # half of the grace
            last = await anext(items)
            with pytest.raises(StopAsyncIteration):
                await anext(items)
        problem = httpx.Response(200, text=last.data).json()
        assert (last.event, last.id, problem["reason"]) == ("problem", "", "SHUTTING_DOWN")
        assert (problem["status"], problem["retry_after_ms"]) == (503, 1000)
        await end


async def has_room(servers: Servers) -> bool:
    async with servers.http.stream("GET", "/v1/events") as response:
        return response.status_code == 200


async def test_who_leaves_makes_room(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    async with start() as servers:
        async with watched(servers):
            reply = await servers.http.get("/v1/events")
            assert (reply.status_code, reply.json()["reason"]) == (503, "OVERLOADED")
        await until(lambda: has_room(servers))


async def test_a_stream_says_when_to_come_back(servers: Servers) -> None:
    async with servers.http.stream("GET", "/v1/events") as response:
        assert await anext(response.aiter_lines()) == f"retry: {streams.RECONNECT_MS}"


@pytest.fixture
async def many_events(database_url: str) -> None:
    """More than the 4 MiB or so that the kernel takes for a reader."""
    await Writer(database_url, seed=1, customers=("anna",), hold_seconds=0.0).write(15_000)


@contextmanager
def stalled(servers: Servers, path: str) -> Iterator[socket.socket]:
    """Asks for the path and reads nothing."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", servers.http_port))
        reader.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield reader


async def is_dropped(reader: socket.socket) -> bool:
    return reader.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


@pytest.mark.usefixtures("many_events")
async def test_a_stalled_reader_is_dropped_and_makes_room(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    monkeypatch.setattr(http_server, "TAKE_LIMIT_SECONDS", 0.3)
    async with start() as servers:
        with stalled(servers, "/v1/events?from_beginning=true") as reader:

            async def is_inside() -> bool:
                return not await has_room(servers)

            await until(is_inside)
            await until(lambda: is_dropped(reader))
            await until(lambda: has_room(servers))
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
