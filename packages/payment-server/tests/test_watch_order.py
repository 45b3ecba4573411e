"""No gap, no repetition, in order: whatever transactions, servers and PostgreSQL itself do."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

import asyncpg
import pytest
from service_under_test import SCALE, Servers, Start, running, until
from watching_under_test import (
    APPEND,
    SNAPSHOT,
    Writer,
    heard,
    next_answer,
    opened,
    said,
)

from payment.v1 import payment_pb2 as pb
from payment_server import watching as module
from payment_server import workers
from payment_server.domain.commands import WatchPayments
from payment_server.domain.ids import new_id
from payment_server.domain.payment import Payment
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, SUPERUSER, EmbeddedPostgres
from payment_server.watching import Watching

Told = list[tuple[str, int]]


async def test_what_an_old_transaction_holds_back_is_told_in_full(
    servers: Servers, database_url: str
) -> None:
    answers, cursor = await opened(servers)
    old = await asyncpg.connect(database_url)
    transaction = old.transaction()
    await transaction.start()
    held = new_id()
    await old.execute(APPEND, [held], ["anna"], [0], [2], SNAPSHOT)
    later = (await servers.created()).payment_id
    reading = asyncio.ensure_future(heard(answers, 3))
    done, _ = await asyncio.wait({reading}, timeout=4 * module.LOOK_PAUSE_SECONDS)
    assert not done
    await transaction.commit()
    assert said(await reading) == [(held, 1), (held, 2), (later, 1)]
    again, _ = await opened(servers, cursor=cursor)
    assert said(await heard(again, 3)) == [(held, 1), (held, 2), (later, 1)]
    await old.close()


async def test_a_transaction_that_is_rolled_back_leaves_no_trace(
    servers: Servers, database_url: str
) -> None:
    answers, _ = await opened(servers)
    old = await asyncpg.connect(database_url)
    transaction = old.transaction()
    await transaction.start()
    await old.execute(APPEND, [new_id()], ["anna"], [0], [2], SNAPSHOT)
    later = (await servers.created()).payment_id
    await transaction.rollback()
    assert said(await heard(answers, 1)) == [(later, 1)]
    await old.close()


async def test_a_watch_hears_of_another_server_within_a_second(start: Start) -> None:
    async with start() as one, start() as other:
        answers, _ = await opened(other)
        for _ in range(3):
            payment_id = (await one.created()).payment_id
            async with asyncio.timeout(1.0):
                assert said(await heard(answers, 1)) == [(payment_id, 1)]


async def test_a_watch_goes_on_over_restarts_and_servers(start: Start) -> None:
    cursor = ""
    told: Told = []
    expected: list[str] = []
    async with start() as lasting:
        for _ in range(3):
            async with start() as passing:
                answers, first = await opened(passing, cursor=cursor)
                cursor = cursor or first
                expected += [(await each.created()).payment_id for each in (passing, lasting)]
                heard_now = await heard(answers, len(expected) - len(told) - 1)
                told += said(heard_now)
                cursor = heard_now[-1].cursor
            expected.append((await lasting.created()).payment_id)
        answers, _ = await opened(lasting, cursor=cursor)
        told += said(await heard(answers, len(expected) - len(told)))
    assert told == [(payment_id, 1) for payment_id in expected]


@pytest.fixture
async def forgetful_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL that writes down an aborted transaction as late as it may."""
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    try:
        await schema.migrate(postgres.url(OWNER_ROLE))
        connection = await asyncpg.connect(postgres.url(SUPERUSER))
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()
        yield postgres
    finally:
        await postgres.stop()


CRASHES_LIMIT = 5  # PostgreSQL may write a number down whenever it likes, and rarely does
NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


async def test_a_crash_that_takes_back_transaction_numbers_hides_nothing(
    forgetful_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A commit makes the numbers before it durable, and so no loop may commit meanwhile. Each of
    # them has its first round right after the start, when nobody waits for it.
    monkeypatch.setattr(workers, "ELECTION_PAUSE_SECONDS", 3600.0)
    url = forgetful_postgres.url(SERVICE_ROLE)
    firsts = []
    for _ in range(CRASHES_LIMIT):
        async with running(url, {}, None) as servers:
            firsts.append((await servers.created()).payment_id)
            connection = await asyncpg.connect(url)
            await until(partial(is_still, connection))
            for _ in range(50):
                await connection.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
            _, cursor = await opened(servers)
            _, before_the_first = await opened(servers, from_beginning=True)
            reached = await connection.fetchval(NEXT)
            assert forgetful_postgres.pid is not None
            os.kill(forgetful_postgres.pid, signal.SIGKILL)
            connection.terminate()
        await until(lambda: is_back(url))
        if await next_transaction(url) < reached:
            break
    else:
        pytest.fail(f"none of {CRASHES_LIMIT} crashes took a number back")
    async with running(url, {}, None) as servers:
        later = (await servers.created()).payment_id
        for behind, expected in ((cursor, [later]), (before_the_first, [*firsts, later])):
            answers, _ = await opened(servers, cursor=behind)
            assert said(await heard(answers, len(expected))) == [(each, 1) for each in expected]


async def is_still(connection: asyncpg.Connection) -> bool:
    """Whether nobody writes for longer than a loop's first round takes."""
    reached = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    await asyncio.sleep(0.3)
    return bool(reached == await connection.fetchval("SELECT pg_current_wal_insert_lsn()"))


async def is_back(url: str) -> bool:
    database = Database(url, connections=1)
    try:
        return await database.is_up()
    finally:
        await database.close()


async def next_transaction(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        number: int = await connection.fetchval(NEXT)
        return number
    finally:
        await connection.close()


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[Watching]:
    """Watching as a service has it, but for the wire."""
    database = Database(url, connections=4)
    watching = Watching(database)
    async with workers.beside(("watch", watching.look, module.HINTS_PAUSE_SECONDS)):
        yield watching
    watching.close()
    await database.close()


class Reader:
    """Reads it all, in pieces of any length, each behind the cursor of the one before."""

    def __init__(self, seed: int, whole: "asyncio.Future[int]") -> None:
        self.versions: dict[str, int] = {}
        self._count = 0
        self._chance = random.Random(seed)
        self._whole = whole
        self._idle = 0

    def take(self, change: Payment | pb.Event | None) -> bool:
        """Whether that was all: as much as there is, and nothing came for a while after it.

        Every version of a payment comes once, and in its order.
        """
        if change is not None:
            assert change.version == self.versions.get(change.payment_id, 0) + 1
            self.versions[change.payment_id] = change.version
            self._count += 1
            return False
        if not self._whole.done():
            return False
        self._idle += 1
        return self._idle == IDLE_LIMIT or self._count >= self._whole.result()

    def piece(self) -> range:
        return range(self._chance.choice((1, 3, 10, 100, 200, 1_000, 5_000)))

    async def follow_directly(self, watching: Watching) -> None:
        cursor = ""
        while True:
            wish = WatchPayments(cursor=cursor, from_beginning=not cursor)
            async with aclosing(watching.watch("default", wish)) as watch:
                cursor = (await anext(watch)).cursor
                for _ in self.piece():
                    watched = await anext(watch)
                    cursor = watched.cursor
                    if self.take(None if watched.event is None else watched.event.payment):
                        return

    async def follow_by_wire(self, servers: Servers, **wish: str) -> None:
        """Each stream is left with answers under way."""
        cursor = ""
        while True:
            request = pb.WatchPaymentsRequest(cursor=cursor, from_beginning=not cursor, **wish)
            answers = servers.stub.WatchPayments(request)
            cursor = (await next_answer(answers)).cursor
            for _ in self.piece():
                answer = await next_answer(answers)
                cursor = answer.cursor
                if self.take(answer.event if answer.HasField("event") else None):
                    answers.cancel()
                    return
            answers.cancel()


EVENTS = 100_000 * max(1, SCALE // 4)  # about 15 s for each 100,000
WRITERS = 5
CUSTOMERS = ("anna", "bert", "carl", "dora")
IDLE_LIMIT = 10  # idle answers after the last event was written; the reader has missed one then


@pytest.mark.scaled
async def test_a_hundred_thousand_events_have_no_gap_and_no_repetition(
    start: Start, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 1.0)
    loop = asyncio.get_running_loop()
    writers = [Writer(database_url, seed, CUSTOMERS, hold_seconds=0.05) for seed in range(WRITERS)]
    whole: dict[str, asyncio.Future[int]] = {
        each: loop.create_future() for each in ("", *CUSTOMERS)
    }
    direct = [Reader(seed, whole[""]) for seed in range(2)]
    wired = {customer: Reader(7, whole[customer]) for customer in CUSTOMERS[:2]}

    async def write() -> None:
        await asyncio.gather(*(each.write(EVENTS // WRITERS) for each in writers))
        for customer, count in whole.items():
            count.set_result(sum(sum(each.written(customer).values()) for each in writers))

    async with (
        looking(database_url) as watching,
        start() as servers,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(write())
        for reader in direct:
            group.create_task(reader.follow_directly(watching))
        for customer, reader in wired.items():
            group.create_task(reader.follow_by_wire(servers, customer_id=customer))

    assert whole[""].result() >= EVENTS
    for customer, readers in {"": direct, **{name: [each] for name, each in wired.items()}}.items():
        written: dict[str, int] = {}
        for writer in writers:
            written |= writer.written(customer)
        for reader in readers:
            assert reader.versions == written
