"""Failures that a healthy service cannot be asked for: each is brought about, and told alike on
gRPC and on /v1."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from google.rpc import error_details_pb2
from mutating_calls import CREATE, KEY, PROCESS, both_refusals, http_reply, over_grpc
from service_under_test import (
    Refusal,
    Servers,
    Start,
    clients_of,
    refusal,
    settings,
    until,
)

from payment.v1.errors import ERRORS
from payment_server import limits
from payment_server.api import gate
from payment_server.app import Databases, Plan, serving
from payment_server.domain.errors import ProcessorUnreachable
from payment_server.domain.operation import Operation, Verdict
from payment_server.domain.payment import Payment
from payment_server.processors.sandbox import Sandbox
from payment_server.store.database import connect
from payment_server.store.embedded import EmbeddedPostgres


def assert_told(
    failed: Refusal, reply: httpx.Response, reason: str, *, retry_after_ms: int | None
) -> None:
    """Both surfaces say the row of the reason, and when to ask again."""
    row, problem = ERRORS[reason], reply.json()
    assert (failed.code.name, failed.reason, failed.metadata) == (row.code, reason, {})
    assert (reply.status_code, problem["code"]) == (row.http_status, row.code)
    assert (problem["reason"], problem["title"]) == (reason, row.title)
    assert (problem["metadata"], problem["errors"]) == ({}, [])
    assert (problem["retry_after_ms"], retry_delay_ms(failed)) == (retry_after_ms, retry_after_ms)
    seconds = None if retry_after_ms is None else str(max(1, round(retry_after_ms / 1000)))
    assert reply.headers.get("retry-after") == seconds


def retry_delay_ms(failed: Refusal) -> int | None:
    info = failed.details.get("RetryInfo")
    assert info is None or isinstance(info, error_details_pb2.RetryInfo)
    return None if info is None else int(info.retry_delay.ToMilliseconds())


async def test_contention_that_does_not_end_is_told_as_aborted(
    servers: Servers, database_url: str
) -> None:
    payment_id = await PROCESS.prepared(servers)
    connection = await connect(database_url)
    # As if somebody else were always first: no version is the one that was read.
    await connection.execute(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER lose BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION lose()"
    )
    told = await both_refusals(servers, PROCESS, payment_id, key=KEY)
    assert_told(*told, "TRANSACTION_ABORTED", retry_after_ms=100)
    await connection.execute("DROP TRIGGER lose ON payments")
    connection.terminate()
    answer = await over_grpc(servers, PROCESS, payment_id, key=KEY)
    assert (answer.replayed, answer.operation["status"]) == ("", "succeeded")


async def test_a_full_house_is_told_as_overloaded(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CALLS_LIMIT", 0)
    told = await both_refusals(servers, CREATE, "")
    assert_told(*told, "OVERLOADED", retry_after_ms=500)


class StoppedClock:
    """No time passes between two calls."""

    @staticmethod
    def monotonic_ns() -> int:
        return 1_000_000_000


async def test_a_merchant_that_calls_too_often_is_told_when_to_come_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "time", StoppedClock)
    async with start(PAYMENT_RATE_LIMIT_PER_SECOND="2", PAYMENT_RATE_LIMIT_BURST="1") as servers:
        await servers.created()
        told = await both_refusals(servers, CREATE, "")
    assert_told(*told, "RATE_LIMITED", retry_after_ms=500)


class Away(Sandbox):
    """A processor that nobody can reach."""

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        raise ProcessorUnreachable("nobody listens")


async def test_a_processor_that_is_away_is_told_as_unreachable(start: Start) -> None:
    async with start(Away()) as servers:
        one, two = [await PROCESS.prepared(servers) for _ in range(2)]
        failed = await refusal(over_grpc(servers, PROCESS, one, key="k-1"))
        reply = await http_reply(servers, PROCESS, two, key="k-2")
        assert_told(failed, reply, "PROCESSOR_UNREACHABLE", retry_after_ms=1_000)


async def test_without_a_key_a_processor_that_is_away_leaves_a_pending_operation(
    start: Start,
) -> None:
    async with start(Away()) as servers:
        answer = await over_grpc(servers, PROCESS, await PROCESS.prepared(servers))
        reply = await http_reply(servers, PROCESS, await PROCESS.prepared(servers))
    assert (answer.operation["status"], reply.status_code) == ("pending", 202)


class Broken(Sandbox):
    """A processor's adapter with a bug, whose words nobody may hear."""

    def tokenize(self, payment_method: str) -> str:
        raise RuntimeError("secret")


async def test_a_bug_is_told_as_an_internal_error_and_nothing_else(start: Start) -> None:
    async with start(Broken()) as servers:
        failed, reply = await both_refusals(servers, CREATE, "")
    assert_told(failed, reply, "INTERNAL_ERROR", retry_after_ms=None)
    assert "secret" not in failed.message + reply.text


@pytest.fixture
async def full(database_url: str) -> AsyncIterator[Servers]:
    """A service whose database has a disk without room: /proc is one that is always full."""
    plan = Plan(
        settings=settings(database_url, {}), embedded=False, migrate=False, grace_seconds=2.0
    )
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = Databases(database_url, database_url, never, EmbeddedPostgres(Path("/proc")))
    async with serving(plan, databases, Sandbox()) as address, clients_of(address) as servers:
        yield servers


async def test_a_disk_without_room_is_told_as_full_and_reads_go_on(full: Servers) -> None:
    async def is_noticed() -> bool:
        return not (await http_reply(full, CREATE, "")).is_success

    await until(is_noticed)
    told = await both_refusals(full, CREATE, "")
    assert_told(*told, "STORAGE_FULL", retry_after_ms=30_000)
    assert (await full.http.get("/v1/payments")).status_code == 200
