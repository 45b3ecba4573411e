"""What ends a watch, what it may cost, and that nobody who watches is in the way of payments."""

import asyncio
import logging
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import asyncpg
import grpc
import pytest
from service_under_test import Servers, Start, clients_of, refusal, service_on, until
from watching_under_test import heard, opened, said

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from payment_server import watching as module
from payment_server.api import rpc_server, rpc_streams
from payment_server.api.gate import CALLS_LIMIT
from payment_server.api.leaving import CLOSE_GRACE_SECONDS
from payment_server.api.rpc import Call, Context, refuse
from payment_server.api.transport import Transport
from payment_server.domain.commands import WatchPayments
from payment_server.domain.errors import DatabaseUnavailable, ShuttingDown
from payment_server.store.database import Database
from payment_server.watching import Watching

pytestmark = pytest.mark.usefixtures("transport")

MAX_CONCURRENT_STREAMS: Final = 3  # its number among HTTP/2's settings (RFC 9113)
EVERYTHING = pb.WatchPaymentsRequest()


async def has_room(servers: Servers) -> bool:
    """Whether one more may watch, who leaves again."""
    stream = servers.stub.WatchPayments(EVERYTHING)
    try:
        await stream.read()
    except grpc.aio.AioRpcError as error:
        return error.code() is not grpc.StatusCode.UNAVAILABLE
    stream.cancel()
    return True


async def test_no_more_than_a_number_may_watch_and_who_leaves_makes_room(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 3)
    async with start() as servers:
        inside = [(await opened(servers))[0] for _ in range(3)]
        failed = await refusal(servers.stub.WatchPayments(EVERYTHING).read())
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        assert "RetryInfo" in failed.details
        inside[1].cancel()
        await until(lambda: has_room(servers))


async def test_who_is_refused_takes_no_place(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    async with start() as servers:
        for _ in range(3):
            wish = pb.WatchPaymentsRequest(payment_id="none")
            assert (await refusal(servers.stub.WatchPayments(wish).read())).reason == (
                "PAYMENT_NOT_FOUND"
            )


async def test_watchers_who_wait_hold_no_connection(start: Start) -> None:
    async with start(PAYMENT_DATABASE_CONNECTIONS="1") as servers:
        waiting = [(await opened(servers))[0] for _ in range(20)]
        payment_id = (await servers.created()).payment_id
        for each in waiting:
            assert said(await heard(each, 1)) == [(payment_id, 1)]


class Counting(Database):
    """A database that counts what is read of it."""

    reads = 0

    async def read(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        self.reads += 1
        return await super().read(sql, *arguments)


async def test_one_look_is_for_all_who_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_PAUSE_SECONDS", 0.0)
    database = Counting(database_url, connections=2)
    watching = Watching(database)
    watches = [watching.watch(f"m{number}", WatchPayments()) for number in range(50)]
    for each in watches:
        await anext(each)
    waiting = [asyncio.ensure_future(anext(each)) for each in watches]

    async def have_read() -> bool:
        return database.reads == 2 * len(watches)

    await until(have_read)
    for _ in range(5):
        await watching.look()
    assert database.reads == 2 * len(watches) + 5
    watching.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(each) for each in ends} == {ShuttingDown}
    await database.close()


async def test_the_end_of_a_service_ends_every_watch_at_once(database_url: str) -> None:
    service = service_on(database_url, {}, None)
    async with clients_of(await service.__aenter__()) as servers:
        answers, _ = await opened(servers)
        end = asyncio.ensure_future(service.__aexit__(None, None, None))
        async with asyncio.timeout(1.0):  # half of the grace
            failed = await refusal(answers.read())
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert "RetryInfo" in failed.details
        await end


async def test_nobody_may_watch_a_service_that_ends(database: Database) -> None:
    watching = Watching(database)
    watching.close()
    with pytest.raises(ShuttingDown):
        await anext(watching.watch("default", WatchPayments()))


@asynccontextmanager
async def narrow(servers: Servers) -> AsyncIterator["payment_pb2_grpc.PaymentServiceAsyncStub"]:
    """A client that takes 64 KiB into its own buffers, and no more."""
    options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    address = f"127.0.0.1:{servers.grpc_port}"
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield payment_pb2_grpc.PaymentServiceStub(channel)


BEYOND_BUFFERS: Final = {Transport.GRPCIO: 20, Transport.NATIVE: 300}
"""So many large events no buffer on the way takes: behind pygrpc-native there are 4 MiB more."""

LARGE = {f"key{number}": "x" * 500 for number in range(40)}  # an event of 20 KiB


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the wire that anybody would have to look at, gRPC's own words included. A
    machine that is too busy for its database is no matter of streams."""
    return [
        each.getMessage()
        for each in caplog.records
        if each.levelno >= logging.WARNING
        and not each.name.startswith(("payment_server.store", "payment_server.workers"))
    ]


async def read_some(answers: Any, told: list[pb.WatchPaymentsResponse], count: int) -> None:
    while count:
        told.append(await answers.read())
        count -= 1


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set as soon as a stream is to end by an error, which a stalled reader does not hear yet."""
    begun = asyncio.Event()

    async def seen(context: Context, call: Call, error: Exception) -> NoReturn:
        begun.set()
        await refuse(context, call, error)

    monkeypatch.setattr(rpc_streams, "refuse", seen)
    monkeypatch.setattr(rpc_streams, "TAKE_LIMIT_SECONDS", 0.3)
    return begun


async def stalled(
    stub: "payment_pb2_grpc.PaymentServiceAsyncStub", dropped: asyncio.Event
) -> tuple[Any, list[pb.WatchPaymentsResponse]]:
    """A watch whose reader took nothing more for too long, and what it had taken."""
    answers = stub.WatchPayments(pb.WatchPaymentsRequest(from_beginning=True))
    told: list[pb.WatchPaymentsResponse] = []
    await read_some(answers, told, 1)
    async with asyncio.timeout(10):
        await dropped.wait()
    return answers, told


async def more_than_a_narrow_client_takes(
    servers: Servers, transport: Transport
) -> list[tuple[str, int]]:
    count = BEYOND_BUFFERS[transport]
    created = await asyncio.gather(*(servers.created(metadata=LARGE) for _ in range(count)))
    return [(each.payment_id, 1) for each in created]


async def test_a_stalled_reader_is_dropped_and_goes_on_where_it_was(
    start: Start, transport: Transport, dropped: asyncio.Event
) -> None:
    async with start() as servers, narrow(servers) as stub:
        expected = await more_than_a_narrow_client_takes(servers, transport)
        answers, told = await stalled(stub, dropped)
        failed = await refusal(read_some(answers, told, len(expected)))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "WATCHER_TOO_SLOW",
        )
        assert "RetryInfo" in failed.details
        assert len(told) < len(expected)
        rest, _ = await opened(servers, cursor=told[-1].cursor)
        told += await heard(rest, 1 + len(expected) - len(told))
        assert sorted(said(told[1:])) == sorted(expected)


async def test_a_stalled_reader_does_not_delay_the_end_of_a_service(
    database_url: str,
    transport: Transport,
    dropped: asyncio.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = service_on(database_url, {}, None)
    async with clients_of(await service.__aenter__()) as servers, narrow(servers) as stub:
        await more_than_a_narrow_client_takes(servers, transport)
        _reader = await stalled(stub, dropped)
        async with asyncio.timeout(CLOSE_GRACE_SECONDS + 10.0):  # a dead line is cut after 40 s
            await service.__aexit__(None, None, None)
    assert warnings_of(caplog) == []


FROZEN: Final = """
import os, signal, sys, grpc
from payment.v1 import payment_pb2, payment_pb2_grpc
channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.http2.bdp_probe", 0)])
request = payment_pb2.WatchPaymentsRequest(from_beginning=True)
answers = payment_pb2_grpc.PaymentServiceStub(channel).WatchPayments(request)
next(answers)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


@asynccontextmanager
async def frozen(servers: Servers) -> AsyncIterator[None]:
    """A reader that has taken one answer and does nothing more, until it is killed."""
    address = f"127.0.0.1:{servers.grpc_port}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FROZEN, address)

    async def is_frozen() -> bool:
        return "(stopped)" in status_of(process.pid)

    try:
        await until(is_frozen)
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_stalled_reader_holds_its_place_until_it_is_gone(
    start: Start,
    transport: Transport,
    dropped: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    async with start() as servers:
        await more_than_a_narrow_client_takes(servers, transport)
        async with frozen(servers), asyncio.timeout(10):
            await dropped.wait()
            assert not await has_room(servers)
        await until(lambda: has_room(servers))
    assert warnings_of(caplog) == []


async def test_a_line_that_is_dead_without_a_word_holds_its_place_for_a_while_only(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = rpc_server._OPTIONS
    quick = [(name, 1_000 if name.endswith("_ms") else value) for name, value in options]
    monkeypatch.setattr(rpc_server, "_OPTIONS", quick)
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    async with start() as servers, frozen(servers):
        assert not await has_room(servers)
        await until(lambda: has_room(servers), 10.0)
    assert warnings_of(caplog) == []


async def seated(servers: Servers) -> Any:
    """A watch from the beginning, begun as soon as there is a place."""
    async with asyncio.timeout(10):
        while True:
            stream = servers.stub.WatchPayments(pb.WatchPaymentsRequest(from_beginning=True))
            with suppress(grpc.aio.AioRpcError):
                await stream.read()
                return stream


async def test_readers_that_leave_anywhere_leave_nothing_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 5)
    async with start() as servers:
        for _ in range(5):
            await servers.created()
        for count in range(40):
            stream = await seated(servers)
            for _ in range(count % 6):
                await stream.read()
            stream.cancel()
        inside = [await seated(servers) for _ in range(5)]
        assert len(inside) == 5
    assert warnings_of(caplog) == []


async def test_a_service_that_cannot_see_does_not_say_that_all_is_quiet(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(module, "SIGHT_LIMIT_SECONDS", 0.1)
    watching = Watching(database)  # and nobody looks
    watch = watching.watch("default", WatchPayments())
    await anext(watch)
    with pytest.raises(DatabaseUnavailable):
        await anext(watch)


async def test_one_connection_reaches_the_gate_before_its_own_limit(servers: Servers) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", servers.grpc_port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
    head = await reader.readexactly(9)
    settings = dict(struct.iter_unpack(">HI", await reader.readexactly(head[2])))
    assert settings[MAX_CONCURRENT_STREAMS] == 2 * CALLS_LIMIT
    writer.close()
