"""What a crash, a slow processor or a lost caller leaves between the phases is finished, once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import grpc
import pytest
from service_under_test import Servers, Start, until

from payment.v1 import payment_pb2 as pb
from payment_server import payments as use_cases
from payment_server.domain.operation import APPROVED, Operation, Verdict
from payment_server.domain.payment import Payment
from payment_server.store import payments as store
from payment_server.store.database import Database


class Outside:
    """A processor that keeps a journal as real ones do: an operation asked twice counts once."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.journal: dict[str, Verdict] = {}
        self.before: Callable[[], Awaitable[None]] | None = None
        self.after: Callable[[], Awaitable[None]] | None = None

    def tokenize(self, payment_method: str) -> str:
        return payment_method

    async def _effect(self, payment: Payment, operation: Operation) -> Verdict:
        self.asked[operation.operation_id] += 1
        if self.before is not None:
            await self.before()
        self.journal.setdefault(operation.operation_id, APPROVED)
        if self.after is not None:
            await self.after()
        return self.journal[operation.operation_id]

    authorize = capture = cancel = refund = _effect

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        return self.journal.get(operation.operation_id)


async def never() -> None:
    await asyncio.Event().wait()


async def until_status(servers: Servers, payment_id: str, status: str) -> pb.Payment:
    request = pb.GetPaymentRequest(payment_id=payment_id)

    async def has_status() -> bool:
        return (await servers.stub.GetPayment(request)).status == status

    await until(has_status)
    return (await servers.stub.GetPayment(request)).payment


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of the processor and of a lease that a test can wait for."""
    monkeypatch.setattr(use_cases, "PROCESSOR_LIMIT_SECONDS", 0.3)
    monkeypatch.setattr(use_cases, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr("payment_server.workers.LEASE_SECONDS", 0.5)


async def crash_between(servers: Servers, payment_id: str, key: str) -> None:
    """Begins a call and gives it up while the processor hangs, as a killed server would."""
    call = asyncio.ensure_future(servers.process(payment_id, idempotency_key=key))
    await until_status(servers, payment_id, "processing")
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("point", ["before", "after"])
async def test_a_crash_around_the_call_is_finished_with_one_effect(
    start: Start, point: str
) -> None:
    outside = Outside()
    setattr(outside, point, never)
    async with start(outside) as servers:
        created = await servers.created()
        await crash_between(servers, created.payment_id, "k")
    setattr(outside, point, None)
    async with start(outside) as servers:
        payment = await until_status(servers, created.payment_id, "captured")
        answer = await servers.process(created.payment_id, idempotency_key="k")
    assert payment.amount_captured == "10.00"
    assert len(outside.journal) == 1
    assert (answer.status, answer.operation.operation_id) == ("captured", *outside.journal)


@pytest.mark.usefixtures("quick")
async def test_a_processor_that_hangs_leaves_a_truthful_pending_answer(start: Start) -> None:
    outside = Outside()
    outside.after = never
    async with start(outside) as servers:
        created = await servers.created()
        answer = await servers.process(created.payment_id)
        assert answer.status == "processing"
        assert answer.operation.status == pb.OPERATION_STATUS_PENDING
        await until_status(servers, created.payment_id, "captured")
    assert len(outside.journal) == 1


@pytest.mark.usefixtures("quick")
async def test_a_pending_outcome_is_202_on_http(start: Start) -> None:
    outside = Outside()
    outside.after = never
    async with start(outside) as servers:
        created = await servers.created()
        reply = await servers.http.post(f"/v1/payments/{created.payment_id}/process")
    assert (reply.status_code, reply.json()["operation"]["status"]) == (202, "pending")


async def test_a_caller_that_goes_away_loses_nothing(start: Start) -> None:
    outside = Outside()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        reached.set()
        await go_on.wait()

    outside.before = gate
    async with start(outside) as servers:
        created = await servers.created()
        call = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await reached.wait()
        call.cancel()
        go_on.set()
        await until_status(servers, created.payment_id, "captured")
        answer = await servers.process(created.payment_id, idempotency_key="k")
    assert answer.status == "captured"
    assert sum(outside.asked.values()) == 1


async def test_a_twin_waits_for_the_first_ones_outcome(start: Start) -> None:
    outside = Outside()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        reached.set()
        await go_on.wait()

    outside.before = gate
    async with start(outside) as servers:
        created = await servers.created()
        first = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await reached.wait()
        twin = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await asyncio.sleep(0.2)
        assert not twin.done()
        go_on.set()
        assert await first == await twin
    assert sum(outside.asked.values()) == 1


async def test_a_twin_with_a_deadline_is_told_that_the_outcome_is_outstanding(
    start: Start,
) -> None:
    outside = Outside()
    outside.before = never
    async with start(outside) as servers:
        created = await servers.created()
        first = asyncio.ensure_future(servers.process(created.payment_id, idempotency_key="k"))
        await until_status(servers, created.payment_id, "processing")
        request = pb.ProcessPaymentRequest(payment_id=created.payment_id, idempotency_key="k")
        twin = await servers.stub.ProcessPayment(request, timeout=1.0)
        assert twin.operation.status == pb.OPERATION_STATUS_PENDING
        first.cancel()


async def test_everything_but_a_read_waits_while_an_authorization_is_under_way(
    start: Start,
) -> None:
    outside = Outside()
    outside.before = never
    async with start(outside) as servers:
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
        return len(await store.claim_unfinished(database, lease_seconds=60, limit=10))

    outside = Outside()
    outside.before = never
    async with start(outside) as servers:
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
    outside = Outside()
    outside.before = never
    async with start(outside) as servers:
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
        claimed += await store.claim_unfinished(database, lease_seconds=0, limit=1)
    assert {each.merchant_id for each in claimed} == {"a", "z"}


async def all_pending(database: Database, count: int) -> bool:
    rows = await database.read("SELECT count(*) FROM operations WHERE status = 'pending'")
    return bool(rows[0][0] == count)
