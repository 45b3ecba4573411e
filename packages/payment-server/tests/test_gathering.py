"""Calls that share a statement on a real PostgreSQL: none can tell that it was not alone."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
import pytest
from auditing import differences_in
from service_under_test import Servers, Start, refusal_of, running

from payment.v1 import payment_pb2 as pb
from payment_server.domain import ids, step
from payment_server.domain.commands import ChangePayment
from payment_server.domain.errors import OutcomeUnknown
from payment_server.domain.payment import Action, CaptureMethod, Payment
from payment_server.domain.step import Step
from payment_server.store import changes, gathering, payments
from payment_server.store import database as module
from payment_server.store.database import Database, StatementFailed
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, SUPERUSER, EmbeddedPostgres
from payment_server.store.rows import Key

FULL = gathering.ROWS_LIMIT


@pytest.fixture(autouse=True)
async def everything_adds_up(database_url: str) -> AsyncIterator[None]:
    yield
    assert await differences_in(database_url) == {}


def drawn(**fields: Any) -> Payment:
    payment_id = ids.new_id()
    created_at = ids.time_of(payment_id)
    plain: dict[str, Any] = {
        "payment_id": payment_id,
        "merchant_id": "default",
        "customer_id": "cust123",
        "payment_method": "card",
        "capture_method": CaptureMethod.AUTOMATIC,
        "description": "",
        "metadata": {},
        "currency": "USD",
        "exponent": 2,
        "amount_minor": 1000,
        "created_at": created_at,
        "updated_at": created_at,
    }
    return Payment(**(plain | fields))


async def test_calls_at_once_share_their_transactions(database: Database) -> None:
    await asyncio.gather(*(payments.create(database, drawn(), None) for _ in range(2 * FULL)))
    rows = await database.read("SELECT count(DISTINCT transaction_id), count(*) FROM events")
    assert tuple(rows[0]) == (2, 2 * FULL)


async def test_a_poisoned_row_fails_alone_in_a_full_batch(database: Database) -> None:
    good = [drawn() for _ in range(FULL - 1)]
    poisoned = drawn(currency="no currency")
    calls = [payments.create(database, each, None) for each in [*good[:77], poisoned, *good[77:]]]
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(failures.pop(77), StatementFailed)
    assert failures == [None] * len(good)
    rows = await database.read("SELECT count(*) FROM payments")
    assert rows[0][0] == len(good)


async def test_the_same_key_many_times_in_a_batch_is_one_payment(database: Database) -> None:
    key = Key("k", b"\x01" * 32)
    twins = [drawn() for _ in range(10)]
    others = [drawn() for _ in range(10)]
    bound = await asyncio.gather(
        *(payments.create(database, each, key) for each in twins),
        *(payments.create(database, each, None) for each in others),
    )
    first = {each.payment_id for each in bound if each}
    assert len(first) == 1
    assert first < {each.payment_id for each in twins}
    rows = await database.read("SELECT count(*) FROM payments")
    assert rows[0][0] == 1 + len(others)


async def test_one_key_for_two_payments_in_a_batch_changes_one_of_them(servers: Servers) -> None:
    one, other = await asyncio.gather(servers.created(), servers.created())
    calls = (servers.process(each.payment_id, idempotency_key="k") for each in (one, other))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    [failure] = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert refusal_of(failure).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_who_leaves_and_who_is_late_change_nothing_for_the_others(
    start: Start, database: Database
) -> None:
    async with start() as servers:
        request = pb.CreatePaymentRequest(amount="1", customer_id="c")
        calls = [servers.stub.CreatePayment(request) for _ in range(FULL)]
        late = servers.stub.CreatePayment(request, timeout=0.001)
        leaving = servers.stub.CreatePayment(request)
        await asyncio.sleep(0)
        leaving.cancel()
        answers = await asyncio.gather(*calls)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await late
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    stored = {str(row[0]) for row in await database.read("SELECT payment_id FROM payments")}
    assert {each.payment_id for each in answers} <= stored
    assert len(stored) <= FULL + 2


async def test_changes_of_one_payment_keep_their_order(servers: Servers) -> None:
    created = await servers.created(capture_method=pb.CAPTURE_METHOD_MANUAL)
    await servers.process(created.payment_id)
    captures = (servers.ask(created.payment_id, "capture", amount="1.00") for _ in range(10))
    versions = [each.payment.version for each in await asyncio.gather(*captures)]
    assert len(set(versions)) == 10
    assert max(versions) == 23  # created, authorization begun and done, ten captures begun and done


def begun(payment: Payment, key: str | None = None) -> Step:
    """Phase 1 of an attempt."""
    return step.begin(
        payment,
        ChangePayment(payment_id=payment.payment_id, action=Action.PROCESS),
        operation_id=ids.new_id(),
        idempotency_key=key,
        now=payment.updated_at,
    )


async def begin(database: Database, payment: Payment, key: str | None = None) -> bool:
    bound = Key(key, b"\x01" * 32) if key else None
    return await changes.begin(database, payment, begun(payment, key), bound, lease_seconds=10)


async def test_who_was_in_a_batch_that_was_lost_is_told_of_no_refusal(
    own_postgres: EmbeddedPostgres,
) -> None:
    """The first run may yet commit, whatever the second one says."""
    database = Database(own_postgres.url(SERVICE_ROLE), connections=1)
    one, other, refused = [drawn() for _ in range(3)]
    for each in (one, other, refused):
        await payments.create(database, each, None)
    assert await begin(database, one, "bound")
    [row] = await database.read("SELECT pg_backend_pid()")
    os.kill(row[0], signal.SIGSTOP)
    try:
        calls = (begin(database, other), begin(database, refused, "bound"))
        both = asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.1)
        [connection] = database._open
        connection.terminate()
        outcomes = await both
    finally:
        os.kill(row[0], signal.SIGCONT)
        await database.close()
    told = [each.repeatable for each in outcomes if isinstance(each, OutcomeUnknown)]
    assert told == [False, True]


async def test_who_leaves_while_no_connection_is_free_sends_nothing(database_url: str) -> None:
    database = Database(database_url, connections=1)
    busy = asyncio.create_task(database.read("SELECT pg_sleep(0.5)"))
    await asyncio.sleep(0.05)
    leaving = asyncio.create_task(payments.create(database, drawn(), None))
    staying = asyncio.create_task(payments.create(database, drawn(), None))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.gather(busy, staying)
    rows = await database.read("SELECT count(*) FROM payments")
    await database.close()
    assert rows[0][0] == 1


async def test_sixty_callers_of_one_payment_are_all_served(servers: Servers) -> None:
    created = await servers.created(amount="60.00", capture_method=pb.CAPTURE_METHOD_MANUAL)
    await servers.process(created.payment_id)
    captures = (servers.ask(created.payment_id, "capture", amount="1.00") for _ in range(60))
    await asyncio.gather(*captures)
    request = pb.GetPaymentRequest(payment_id=created.payment_id)
    assert (await servers.stub.GetPayment(request)).status == "captured"


async def test_a_database_that_freezes_in_mid_batch_leaves_every_caller_the_truth(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_LIMIT_SECONDS", 1.0)
    url = own_postgres.url(SERVICE_ROLE)
    watcher = await asyncpg.connect(own_postgres.url(SUPERUSER))
    async with running(url, {}, None) as servers:
        await servers.created()  # so that connections are there to be frozen
        rows = await watcher.fetch(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        frozen = [row["pid"] for row in rows]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        keys = [f"key {number}" for number in range(FULL)]
        try:
            calls = [servers.created(idempotency_key=key) for key in keys]
            answers = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        told = Counter(
            refusal_of(each).reason if isinstance(each, grpc.aio.AioRpcError) else "created"
            for each in answers
        )
        assert told["OUTCOME_UNKNOWN"] > 0, (told, len(frozen))
        assert set(told) <= {"OUTCOME_UNKNOWN", "DATABASE_UNAVAILABLE", "created"}
        again = await asyncio.gather(*(servers.created(idempotency_key=key) for key in keys))
        first = {each.payment_id for each in answers if isinstance(each, pb.Payment)}
        assert first <= {each.payment_id for each in again}
    count = await watcher.fetchval("SELECT count(*) FROM payments")
    assert count == 1 + len(keys)
    assert await differences_in(own_postgres.url(OWNER_ROLE)) == {}
    await watcher.close()
