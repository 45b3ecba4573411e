"""What a crash, a slow processor or a lost caller leaves between the phases is finished, once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import grpc
import pytest
from auditing import differences_in
from gated_processor import QUICK, Gated, never
from processor_outside import ProcessorOutside, outside_process
from service_under_test import Start, refusal, until, until_status

from payment.v1 import payment_pb2 as pb
from payment_server import payments as use_cases
from payment_server.domain.operation import UNKNOWN, Operation, OperationStatus, Verdict
from payment_server.domain.payment import Advice, Decline, Payment
from payment_server.store import changes
from payment_server.store.database import Database

DECLINED = Verdict(
    status=OperationStatus.FAILED,
    decline=Decline("invalid_account", Advice.FIX, "The account does not exist any more."),
)


@pytest.fixture(autouse=True)
async def everything_adds_up(database_url: str) -> AsyncIterator[None]:
    yield
    assert await differences_in(database_url) == {}


async def test_a_processor_that_hangs_leaves_a_truthful_pending_answer(start: Start) -> None:
    processor = Gated()
    processor.after = never
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        answer = await servers.process(created.payment_id)
        assert answer.status == "processing"
        assert answer.operation.status == pb.OPERATION_STATUS_PENDING
        await until_status(servers, created.payment_id, "captured")
    assert len(processor.journal) == 1


async def test_a_pending_outcome_is_202_on_http(start: Start) -> None:
    processor = Gated()
    processor.after = never
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        reply = await servers.http.post(f"/v1/payments/{created.payment_id}/process")
    assert (reply.status_code, reply.json()["operation"]["status"]) == (202, "pending")


async def test_a_caller_that_goes_away_loses_nothing(start: Start) -> None:
    processor = Gated()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        reached.set()
        await go_on.wait()

    processor.before = gate
    async with start(processor) as servers:
        created = await servers.created()
        call = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await reached.wait()
        call.cancel()
        go_on.set()
        await until_status(servers, created.payment_id, "captured")
        answer = await servers.process(created.payment_id, idempotency_key="k")
    assert answer.status == "captured"
    assert sum(processor.asked.values()) == 1


async def test_a_twin_waits_for_the_first_ones_outcome(start: Start) -> None:
    processor = Gated()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        reached.set()
        await go_on.wait()

    processor.before = gate
    async with start(processor) as servers:
        created = await servers.created()
        first = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await reached.wait()
        twin = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await asyncio.sleep(0.2)
        assert not twin.done()
        go_on.set()
        assert await first == await twin
    assert sum(processor.asked.values()) == 1


async def test_a_twin_with_a_deadline_is_told_that_the_outcome_is_outstanding(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "TWIN_MARGIN_SECONDS", 1.5)  # for machines that are busy
    processor = Gated()
    processor.before = never
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        first = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await until_status(servers, created.payment_id, "processing")
        request = pb.ProcessPaymentRequest(payment_id=created.payment_id, idempotency_key="k")
        twin = await servers.stub.ProcessPayment(request, timeout=2.0)
        assert twin.operation.status == pb.OPERATION_STATUS_PENDING
        first.cancel()


async def test_everything_but_a_read_waits_while_an_authorization_is_under_way(
    start: Start,
) -> None:
    processor = Gated()
    processor.before = never
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        first = asyncio.ensure_future(servers.process(created.payment_id))
        await until_status(servers, created.payment_id, "processing")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await servers.process(created.payment_id, "cancel")
        assert "processing" in (caught.value.details() or "")
        first.cancel()


async def test_an_operation_is_claimed_when_its_lease_is_over_and_by_one_only(
    start: Start, database: Database
) -> None:
    async def claimed() -> int:
        return len(await changes.claim_due(database, lease_seconds=60, limit=10))

    processor = Gated()
    processor.before = never
    async with start(processor) as servers:
        created = await servers.created()
        call = asyncio.ensure_future(servers.process(created.payment_id))
        await until_status(servers, created.payment_id, "processing")
        assert await claimed() == 0
        call.cancel()
    await database.write("UPDATE operations SET lease_until = now()", repeatable=True)
    assert sorted(await asyncio.gather(claimed(), claimed())) == [0, 1]


async def test_no_merchant_starves_behind_anothers_pending_operations(
    start: Start, database: Database
) -> None:
    processor = Gated()
    processor.before = never
    async with start(processor) as servers:
        calls = []
        for merchant in ("a", "a", "a", "z"):
            metadata = (("x-merchant-id", merchant),)
            request = pb.CreatePaymentRequest(amount="1", customer_id="c")
            created = await servers.stub.CreatePayment(request, metadata=metadata)
            process = servers.process(created.payment_id, metadata=metadata)
            calls.append(asyncio.ensure_future(process))
        await until(lambda: all_pending(database, len(calls)))
        for call in calls:
            call.cancel()
    await database.write(
        "UPDATE operations SET lease_until = now() - interval '1 second'", repeatable=True
    )
    claimed = []
    for _ in calls:
        claimed += await changes.claim_due(database, lease_seconds=0, limit=1)
    assert {each.merchant_id for each in claimed} == {"a", "z"}


async def all_pending(database: Database, count: int) -> bool:
    rows = await database.read("SELECT count(*) FROM operations WHERE status = 'pending'")
    return bool(rows[0][0] == count)


async def test_whoever_has_a_key_hears_of_an_unreachable_processor_and_asks_again(
    start: Start,
) -> None:
    processor = Gated()
    processor.is_away = True
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        refused = await refusal(servers.process(created.payment_id, idempotency_key="k"))
        assert (refused.code, refused.reason) == (
            *(grpc.StatusCode.UNAVAILABLE, "PROCESSOR_UNREACHABLE"),
        )
        processor.is_away = False
        answer = await servers.process(created.payment_id, idempotency_key="k")
    assert (answer.status, answer.operation.operation_id) == ("captured", *processor.journal)


async def test_whoever_has_no_key_is_told_that_an_unreachable_processors_outcome_is_pending(
    start: Start,
) -> None:
    processor = Gated()
    processor.is_away = True
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        answer = await servers.process(created.payment_id)
        assert answer.operation.status == pb.OPERATION_STATUS_PENDING
        processor.is_away = False
        await until_status(servers, created.payment_id, "captured")
    assert list(processor.journal) == [answer.operation.operation_id]


async def test_a_pending_refund_outlives_the_server(start: Start) -> None:
    async with start() as servers:
        created = await servers.created(payment_method="card_refund_pending")
        await servers.process(created.payment_id)
        answer = await servers.process(created.payment_id, "refund", amount="4.00")
        assert answer.payment.amount_refund_pending == "4.00"
    async with start(PAYMENT_SANDBOX_SETTLE_MS="0") as servers:
        payment = await until_status(servers, created.payment_id, "partially_refunded")
    assert (payment.amount_refunded, payment.amount_refund_pending) == ("4.00", "0.00")


async def test_a_refund_that_may_still_fail_is_looked_up_by_whatever_server_there_is(
    start: Start,
) -> None:
    async with start(PAYMENT_SANDBOX_SETTLE_MS="1500") as servers:
        created = await servers.created(payment_method="card_refund_late_fail")
        await servers.process(created.payment_id)
        answer = await servers.process(created.payment_id, "refund")
        assert answer.status == "refunded"
    async with start(PAYMENT_SANDBOX_SETTLE_MS="1500") as servers:
        payment = await until_status(servers, created.payment_id, "captured")
    assert (payment.amount_refunded, payment.amount_refundable) == ("0.00", "10.00")


def told(processor: Gated, operation_id: str) -> Callable[[], Awaitable[bool]]:
    """Whether what the journal says of the operation has been heard twice from now on."""
    heard = processor.looked_up[operation_id]

    async def is_heard() -> bool:
        return processor.looked_up[operation_id] > heard + 1

    return is_heard


async def test_a_refund_that_may_still_fail_is_looked_up_while_nobody_knows(start: Start) -> None:
    processor = Gated()
    async with start(processor, **QUICK) as servers:
        created = await servers.created()
        await servers.process(created.payment_id)
        processor.verdict = Verdict(status=OperationStatus.SUCCEEDED, recheck_at=datetime.now(UTC))
        answer = await servers.process(created.payment_id, "refund")
        operation_id = answer.operation.operation_id
        processor.journal[operation_id] = UNKNOWN
        await until(told(processor, operation_id))
        processor.journal[operation_id] = DECLINED
        await until_status(servers, created.payment_id, "captured")


class Watched(ProcessorOutside):
    """Counts the look-ups."""

    look_ups = 0

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        self.look_ups += 1
        return await super().look_up(payment, operation)


async def test_a_refund_that_may_still_fail_is_looked_up_until_the_processor_answers(
    start: Start,
) -> None:
    async with outside_process(settle_seconds=0.3) as outside:
        processor = Watched(outside.socket)
        async with start(processor, **QUICK) as servers:
            created = await servers.created(payment_method="card_refund_late_fail")
            await servers.process(created.payment_id)
            await servers.process(created.payment_id, "refund")
            await outside.killed()
            looked_up = processor.look_ups

            async def was_looked_up_in_vain() -> bool:
                return processor.look_ups > looked_up + 1

            await until(was_looked_up_in_vain)
            await outside.start()
            await until_status(servers, created.payment_id, "captured")
