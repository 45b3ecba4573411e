"""What ends a watch, what it may cost, and that nobody who watches is in the way of payments."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import grpc
import pytest
from service_under_test import Servers, Start, clients_of, refusal, service_on, until
from watching_under_test import heard, opened, said

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from payment_server import watching as module
from payment_server.api import rpc_streams
from payment_server.domain.commands import WatchPayments
from payment_server.domain.errors import DatabaseUnavailable, ShuttingDown
from payment_server.store.database import Database
from payment_server.watching import Watching

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


LARGE = {f"key{number}": "x" * 500 for number in range(40)}  # an event of 20 KiB


async def read_some(answers: Any, told: list[pb.WatchPaymentsResponse], count: int) -> None:
    while count:
        told.append(await answers.read())
        count -= 1


async def test_a_stalled_reader_is_dropped_and_goes_on_where_it_was(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCHERS_LIMIT", 1)
    monkeypatch.setattr(rpc_streams, "TAKE_LIMIT_SECONDS", 0.3)
    async with start() as servers, narrow(servers) as stub:
        expected = [((await servers.created(metadata=LARGE)).payment_id, 1) for _ in range(20)]
        stalled = stub.WatchPayments(pb.WatchPaymentsRequest(from_beginning=True))
        told: list[pb.WatchPaymentsResponse] = []
        await read_some(stalled, told, 1)
        await until(lambda: has_room(servers))
        failed = await refusal(read_some(stalled, told, len(expected)))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "WATCHER_TOO_SLOW",
        )
        assert "RetryInfo" in failed.details
        assert len(told) < len(expected)
        rest, _ = await opened(servers, cursor=told[-1].cursor)
        told += await heard(rest, 1 + len(expected) - len(told))
        assert said(told[1:]) == expected


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
    assert not [each for each in caplog.records if each.name.startswith("payment_server.api")]


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
