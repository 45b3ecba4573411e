"""The bounded call: what happens when PostgreSQL is slow, frozen, gone, full or badly set up."""

import asyncio
import os
import signal
import time

import grpc
import pytest
from service_under_test import Servers, refusal, running

from payment.v1 import payment_pb2 as pb
from payment_server.domain.errors import (
    DatabaseUnavailable,
    OutcomeUnknown,
    Overloaded,
    StorageFull,
)
from payment_server.store import database as module
from payment_server.store.database import (
    Database,
    StatementFailed,
    UniqueViolation,
    UnsafeDatabase,
    connect,
)
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres

REQUEST = pb.CreatePaymentRequest(amount="1", customer_id="c", idempotency_key="k")


async def test_a_frozen_server_is_given_up_within_the_limit(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_LIMIT_SECONDS", 0.5)
    database = Database(own_postgres.url(SERVICE_ROLE), connections=1)
    [row] = await database.read("SELECT pg_backend_pid()")
    os.kill(row[0], signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await database.read("SELECT 1")
        assert time.monotonic() - began < 2.0
        assert (await database.read("SELECT 2"))[0][0] == 2  # on a connection of its own
    finally:
        os.kill(row[0], signal.SIGCONT)
        await database.close()


async def test_who_is_cancelled_does_not_wait_for_a_frozen_server(
    own_postgres: EmbeddedPostgres,
) -> None:
    connection = await connect(own_postgres.url(SERVICE_ROLE))
    pid = await connection.fetchval("SELECT pg_backend_pid()")

    async def looked() -> None:
        async with connection.transaction():
            os.kill(pid, signal.SIGSTOP)
            await module.bounded(connection, connection.fetch("SELECT 1"))

    try:
        task = asyncio.ensure_future(looked())
        await asyncio.sleep(0.1)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2.0)
        assert done
        await asyncio.gather(task, return_exceptions=True)
    finally:
        os.kill(pid, signal.SIGCONT)
        connection.terminate()


async def test_a_write_whose_reply_is_lost_is_sent_again(
    own_postgres: EmbeddedPostgres,
) -> None:
    """The statement runs on a backend that is killed while it sleeps after its insertion."""
    database = Database(own_postgres.url(OWNER_ROLE), connections=1)
    watcher = await connect(own_postgres.url(OWNER_ROLE))
    try:
        await database.write(
            "CREATE TABLE runs (at timestamptz DEFAULT clock_timestamp())", repeatable=True
        )
        [row] = await database.read("SELECT pg_backend_pid()")
        write = asyncio.ensure_future(
            database.write(
                "WITH run AS (INSERT INTO runs DEFAULT VALUES RETURNING 1)"
                " SELECT pg_sleep(0.5) FROM run",
                repeatable=True,
            )
        )
        await asyncio.sleep(0.1)
        await watcher.execute("SELECT pg_terminate_backend($1)", row[0])
        assert len(await write) == 1
        assert await watcher.fetchval("SELECT count(*) FROM runs") == 1
    finally:
        watcher.terminate()
        await database.close()


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_write_that_nobody_answers_has_an_unknown_outcome(
    own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, repeatable: bool
) -> None:
    monkeypatch.setattr(module, "CALL_LIMIT_SECONDS", 0.3)
    database = Database(own_postgres.url(SERVICE_ROLE), connections=1)
    with pytest.raises(OutcomeUnknown) as caught:
        await database.write("SELECT pg_sleep(1)", repeatable=repeatable)
    assert caught.value.repeatable is repeatable
    await database.close()


async def test_a_crash_of_postgres_costs_callers_a_pause_at_most(
    own_postgres: EmbeddedPostgres,
) -> None:
    async with running(own_postgres.url(SERVICE_ROLE), {}, None) as servers:
        first = await servers.stub.CreatePayment(REQUEST)
        assert own_postgres.pid is not None
        os.kill(own_postgres.pid, signal.SIGKILL)
        again = await until_answered(servers)
        assert again.payment_id == first.payment_id


async def until_answered(servers: Servers) -> pb.CreatePaymentResponse:
    """Repeats with the same key, as a client does on UNAVAILABLE."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await servers.stub.CreatePayment(REQUEST)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.1)


async def test_an_absent_database_is_unavailable_and_unhealthy(
    own_postgres: EmbeddedPostgres,
) -> None:
    async with running(own_postgres.url(SERVICE_ROLE), {}, None) as servers:
        await own_postgres.stop()
        failed = await refusal(servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=REAL_ID)))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "DATABASE_UNAVAILABLE",
        )
        assert "RetryInfo" in failed.details
        answer = await servers.stub.HealthCheck(pb.HealthCheckRequest())
        assert answer.status == "unhealthy"
        assert (await servers.http.get("/health")).status_code == 503
        assert (await servers.http.get("/readyz")).json()["database"] == "down"
        assert (await servers.http.get("/livez")).status_code == 200


REAL_ID = "01a20710-38df-7091-a55f-2c1049425859"


async def test_writes_are_refused_while_there_is_no_room(database: Database) -> None:
    database.writable = False
    with pytest.raises(StorageFull):
        await database.write("SELECT 1", repeatable=True)
    assert await database.read("SELECT 1")


async def test_a_violated_key_is_told_apart(database: Database) -> None:
    insert = "INSERT INTO schema_lease (one) VALUES (true)"
    with pytest.raises(UniqueViolation):
        await database.write(insert, repeatable=True)


async def test_the_queue_for_connections_is_bounded(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACQUIRE_LIMIT_SECONDS", 0.2)
    database = Database(database_url, connections=1)
    busy = asyncio.ensure_future(database.read("SELECT pg_sleep(0.6)"))
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded):
        await database.read("SELECT 1")
    await busy
    await database.close()


async def test_a_caller_that_leaves_the_queue_takes_its_statement_along(
    database_url: str,
) -> None:
    database = Database(database_url, connections=1)
    busy = asyncio.ensure_future(database.read("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.05)
    waiting = asyncio.ensure_future(database.write("CREATE TABLE never ()", repeatable=True))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await busy
    assert (await database.read("SELECT to_regclass('never')"))[0][0] is None
    await database.close()


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_a_server_that_loses_writes_is_refused(database_url: str, setting: str) -> None:
    joint = "&" if "?" in database_url else "?"
    database = Database(f"{database_url}{joint}options=-c%20{setting}%3Doff", connections=1)
    with pytest.raises(UnsafeDatabase, match=setting):
        await database.refuse_unsafe_settings()
    await database.close()


async def test_busy_connections_are_no_bad_health(database_url: str) -> None:
    settings = {"PAYMENT_DATABASE_CONNECTIONS": "1"}
    async with running(database_url, settings, None) as servers:
        created = await servers.created()
        locker = await connect(database_url)
        await locker.execute("BEGIN; SELECT 1 FROM payments FOR UPDATE")
        waiting = asyncio.ensure_future(servers.process(created.payment_id))
        await asyncio.sleep(0.2)
        assert (await servers.http.get("/health")).status_code == 200
        await locker.execute("ROLLBACK")
        locker.terminate()
        assert (await waiting).status == "captured"


async def test_a_statement_that_takes_too_long_is_refused_once(database_url: str) -> None:
    database = Database(database_url, connections=1)
    await database.read("SELECT set_config('statement_timeout', '200', false)")
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await database.write("SELECT pg_sleep(5)", repeatable=False)
    assert time.monotonic() - began < 1.0
    await database.close()


async def test_a_bug_is_told_without_the_row(database: Database) -> None:
    with pytest.raises(StatementFailed) as caught:
        await database.write("INSERT INTO schema_lease (one) VALUES (false)", repeatable=True)
    assert "23514" in str(caught.value)
    assert "Failing row" not in str(caught.value)
