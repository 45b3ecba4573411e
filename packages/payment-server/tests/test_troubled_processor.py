"""A processor that fails, lies or stays away costs nobody an effect, and no caller the truth."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from gated_processor import QUICK, Gated, never
from service_under_test import (
    Servers,
    Start,
    clients_of,
    refusal,
    refusal_of,
    settings,
    until,
    until_status,
)

from payment.v1 import payment_pb2 as pb
from payment_server import recovery, workers
from payment_server.app import Databases, Plan, serving
from payment_server.domain.commands import ChangePayment
from payment_server.domain.operation import OperationStatus, Verdict
from payment_server.domain.payment import Action, Advice, Decline
from payment_server.payments import Caller, Payments
from payment_server.store import changes
from payment_server.store.database import Database
from payment_server.store.embedded import EmbeddedPostgres, server

PENDING = pb.OPERATION_STATUS_PENDING
SECRET = "4242-and-what-else-was-sent"


async def test_a_processor_that_fails_is_asked_again_under_the_same_id(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    processor = Gated()

    async def fail_once() -> None:
        processor.before = None
        raise RuntimeError(SECRET)

    processor.before = fail_once
    with caplog.at_level(logging.DEBUG):
        async with start(processor, **QUICK) as servers:
            created = await servers.created()
            answer = await servers.process(created.payment_id, idempotency_key="k")
            assert answer.operation.status == PENDING
            await until_status(servers, created.payment_id, "captured")
    assert processor.asked == {answer.operation.operation_id: 2}
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("action", ["process", "capture", "cancel", "refund"])
async def test_only_a_refund_that_succeeded_is_looked_at_again(
    start: Start, database: Database, action: str
) -> None:
    """Whatever time for another look a processor names for anything else."""
    processor = Gated()
    async with start(processor) as servers:
        created = await servers.created()
        if action in {"capture", "cancel"}:
            await servers.process(created.payment_id, "authorize")
        if action == "refund":
            await servers.process(created.payment_id)
        processor.verdict = Verdict(status=OperationStatus.SUCCEEDED, recheck_at=datetime.now(UTC))
        answer = await servers.process(created.payment_id, action)
        assert answer.operation.status == pb.OPERATION_STATUS_SUCCEEDED
    statement = "SELECT lease_until IS NOT NULL FROM operations WHERE operation_id = $1"
    (row,) = await database.read(statement, answer.operation.operation_id)
    assert row[0] == (action == "refund")


async def test_a_refund_that_failed_is_not_looked_at_again(
    start: Start, database: Database
) -> None:
    processor = Gated()
    async with start(processor) as servers:
        created = await servers.created()
        await servers.process(created.payment_id)
        decline = Decline("invalid_account", Advice.FIX, "The account does not exist any more.")
        processor.verdict = Verdict(
            status=OperationStatus.FAILED, decline=decline, recheck_at=datetime.now(UTC)
        )
        answer = await servers.process(created.payment_id, "refund")
        assert answer.operation.status == pb.OPERATION_STATUS_FAILED
    assert not await database.read("SELECT true FROM operations WHERE lease_until IS NOT NULL")


# An intent that no processor has heard of.


async def test_an_authorization_that_never_reached_its_processor_is_given_up_in_the_end(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "UNATTENDED_LIMIT", timedelta(0))
    processor = Gated()
    processor.is_away = True
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        refused = await refusal(servers.process(created.payment_id, idempotency_key="k"))
        assert refused.reason == "PROCESSOR_UNREACHABLE"
        processor.is_away = False
        payment = await until_status(servers, created.payment_id, "failed")
        assert payment.decline.code == "processor_unknown"
        told = await servers.process(created.payment_id, idempotency_key="k")
        assert (told.operation.status, told.payment) == (pb.OPERATION_STATUS_FAILED, payment)
        again = await servers.process(created.payment_id, idempotency_key="another")
        assert again.status == "captured"
    assert list(processor.asked) == [again.operation.operation_id]


async def test_an_authorization_of_a_moment_ago_is_not_given_up(start: Start) -> None:
    processor = Gated()
    processor.is_away = True
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        pending = await servers.process(created.payment_id)
        processor.is_away = False
        await until_status(servers, created.payment_id, "captured")
    assert processor.asked == {pending.operation.operation_id: 1}


async def test_a_refund_that_never_reached_its_processor_is_never_given_up(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "UNATTENDED_LIMIT", timedelta(0))
    processor = Gated()
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        await servers.process(created.payment_id)
        processor.is_away = True
        pending = await servers.process(created.payment_id, "refund")
        assert pending.operation.status == PENDING
        processor.is_away = False
        await until_status(servers, created.payment_id, "refunded")


# What others did while a caller did not know whether its intent was stored.


async def test_whose_intent_was_settled_by_another_gets_the_answer_that_its_key_has(
    start: Start, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the reply to phase 1 is lost, and everybody else goes on meanwhile."""
    processor = Gated()
    begin = changes.begin

    async def lost_reply(*arguments: Any, **named: Any) -> bool:
        monkeypatch.setattr(changes, "begin", begin)
        assert await begin(*arguments, **named)
        await database.write(
            "UPDATE operations SET lease_until = now() - interval '1 second'", repeatable=True
        )
        others = Payments(database, processor)  # in another process
        await workers.look_up_due(database, others)
        refund = ChangePayment(payment_id=created.payment_id, action=Action.REFUND, amount="1.00")
        await others.change(Caller("default"), refund)
        return False  # what a second run says of a version that is gone

    async with start(processor) as servers:
        created = await servers.created()
        monkeypatch.setattr(changes, "begin", lost_reply)
        first = await servers.process(created.payment_id, idempotency_key="k")
        replay = await servers.process(created.payment_id, idempotency_key="k")
    assert (first.status, first.payment.version) == ("captured", 3)
    assert first == replay
    assert processor.asked[first.operation.operation_id] == 1


async def test_a_service_that_has_stopped_goes_on_with_nothing(
    start: Start, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    processor = Gated()
    processor.before = never
    before = asyncio.all_tasks()
    async with start(processor, PAYMENT_PROCESSOR_TIMEOUT_MS="60000") as servers:
        created = await servers.created()
        request = pb.ProcessPaymentRequest(payment_id=created.payment_id)
        with pytest.raises(grpc.aio.AioRpcError):
            await servers.stub.ProcessPayment(request, timeout=0.5)
    assert not asyncio.all_tasks() - before
    assert "1 changes are left as they are" in caplog.text
    (row,) = await database.read("SELECT status, lease_until IS NOT NULL FROM operations")
    assert tuple(row) == ("pending", True)


# A disk without room.


async def test_what_is_under_way_is_settled_when_the_disk_has_no_room_left(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(
        settings=settings(database_url, {}), embedded=False, migrate=False, grace_seconds=2.0
    )
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = Databases(database_url, database_url, never, EmbeddedPostgres(tmp_path))
    processor, is_full = Gated(), asyncio.Event()
    async with serving(plan, databases, processor) as address, clients_of(address) as servers:
        created = await servers.created()
        processor.before = is_full.wait
        call = asyncio.ensure_future(servers.process(created.payment_id))
        await until_status(servers, created.payment_id, "processing")
        monkeypatch.setattr(server, "RESERVE_BYTES", 2**62)  # more than any disk has
        await until(lambda: is_refused_for_want_of_room(servers))
        is_full.set()
        assert (await call).status == "captured"
        assert await is_refused_for_want_of_room(servers)


async def is_refused_for_want_of_room(servers: Servers) -> bool:
    request = pb.CreatePaymentRequest(amount="1", customer_id="c")
    failure = (await asyncio.gather(servers.stub.CreatePayment(request), return_exceptions=True))[0]
    return isinstance(failure, Exception) and refusal_of(failure).reason == "STORAGE_FULL"  # type: ignore[arg-type]


# A row that nobody understands.


async def test_a_payment_that_cannot_lapse_keeps_no_other_from_it(
    start: Start, database: Database
) -> None:
    async with start() as servers:
        odd = await servers.created()
        await servers.process(odd.payment_id)
        due = await servers.created()
    # Such a row needs a database that does not check any more.
    await database.write(
        "ALTER TABLE payments DROP CONSTRAINT circumstances_agree_with_status", repeatable=True
    )
    for payment_id, age in ((odd.payment_id, "2 days"), (due.payment_id, "1 day")):
        await database.write(
            f"UPDATE payments SET lapses_at = now() - interval '{age}' WHERE payment_id = $1",
            payment_id,
            repeatable=True,
        )
    async with start() as servers:
        await until_status(servers, due.payment_id, "expired")
        request = pb.GetPaymentRequest(payment_id=odd.payment_id)
        assert (await servers.stub.GetPayment(request)).status == "captured"
