"""A key while its answer is on its way, when it has come late, and after it was forgotten."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from mutating_calls import (
    CALLS,
    CAPTURE,
    CREATE,
    KEY,
    PROCESS,
    REFUND,
    STEPS,
    Call,
    both_refusals,
    http_reply,
    is_reused,
    moved_on,
    over_grpc,
    over_http,
    read,
)
from service_under_test import Servers, Start, refusal, until

from payment.v1 import payment_pb2 as pb
from payment_server import payments as use_cases
from payment_server.domain.operation import UNKNOWN, Operation, Verdict
from payment_server.domain.payment import Payment
from payment_server.processors.sandbox import Sandbox
from payment_server.store import payments as store
from payment_server.store.database import Database

QUICK = {"PAYMENT_PROCESSOR_TIMEOUT_MS": "300"}
every_call = pytest.mark.parametrize("call", CALLS, ids=str)
every_step = pytest.mark.parametrize("call", STEPS, ids=str)


# Twins in flight.


@every_call
async def test_twins_in_flight_get_the_one_success(start: Start, call: Call) -> None:
    async with start(PAYMENT_SANDBOX_LATENCY_MS="100") as servers:
        payment_id = await call.prepared(servers)
        twins = await asyncio.gather(
            *(over_grpc(servers, call, payment_id, key=KEY) for _ in range(5)),
            *(over_http(servers, call, payment_id, key=KEY) for _ in range(5)),
        )
        assert all(each.said == twins[0].said for each in twins)
        assert sorted(each.replayed for each in twins) == ["", *["true"] * 9]
        assert (
            await read(servers, twins[0].said["payment"]["payment_id"]) == twins[0].said["payment"]
        )


@every_step
async def test_calls_without_a_key_are_each_their_own(servers: Servers, call: Call) -> None:
    payment_id = await call.prepared(servers)
    first = await over_grpc(servers, call, payment_id)
    assert first.replayed == ""
    if call in (CAPTURE, REFUND):
        second = await over_grpc(servers, call, payment_id)
        assert second.operation["operation_id"] != first.operation["operation_id"]
    else:
        failed = await refusal(over_grpc(servers, call, payment_id))
        assert failed.code is grpc.StatusCode.FAILED_PRECONDITION


# The outcome outstanding.


class Undecided(Sandbox):
    """A processor that answers nothing, and knows nothing either, while it has not decided."""

    def __init__(self) -> None:
        super().__init__()
        self.decides = asyncio.Event()
        self.decides.set()

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        await self.decides.wait()
        return await super().authorize(payment, operation)

    async def complete(self, payment: Payment, operation: Operation) -> Verdict:
        await self.decides.wait()
        return await super().complete(payment, operation)

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        await self.decides.wait()
        return await super().capture(payment, operation)

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        await self.decides.wait()
        return await super().cancel(payment, operation)

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        await self.decides.wait()
        return await super().refund(payment, operation)

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        known = await super().look_up(payment, operation)
        return known if self.decides.is_set() else UNKNOWN


@pytest.fixture
def undecided() -> Iterator[Undecided]:
    processor = Undecided()
    yield processor
    processor.decides.set()  # nobody hangs while the service stops


async def is_kept(database: Database) -> bool:
    """Whether an answer is stored with the key."""
    statement = "SELECT answer IS NOT NULL AS is_kept FROM idempotency WHERE idempotency_key = $1"
    (row,) = await database.read(statement, KEY)
    return bool(row["is_kept"])


@every_step
async def test_a_twin_of_an_outstanding_call_hears_pending_and_later_the_outcome(
    start: Start,
    undecided: Undecided,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
) -> None:
    monkeypatch.setattr(use_cases, "TWIN_MARGIN_SECONDS", 1.5)  # for machines that are busy
    async with start(undecided, **QUICK) as servers:
        payment_id = await call.prepared(servers)
        undecided.decides.clear()
        first = await over_grpc(servers, call, payment_id, key=KEY)
        twin = await over_grpc(servers, call, payment_id, key=KEY, timeout=2.0)
        assert (first.operation["status"], twin.said) == ("pending", first.said)
        assert not await is_kept(database)
        undecided.decides.set()

        async def is_settled() -> bool:
            answer = await over_grpc(servers, call, payment_id, key=KEY)
            return bool(answer.operation["status"] == "succeeded")

        await until(is_settled)
        assert await is_kept(database)
        settled = await over_grpc(servers, call, payment_id, key=KEY)
        assert (await over_http(servers, call, payment_id, key=KEY)).said == settled.said
        assert settled.operation["operation_id"] == first.operation["operation_id"]


async def test_another_meaning_is_refused_while_the_outcome_is_outstanding(
    start: Start, undecided: Undecided
) -> None:
    async with start(undecided, **QUICK) as servers:
        payment_id = await REFUND.prepared(servers)
        undecided.decides.clear()
        await over_grpc(servers, REFUND, payment_id, key=KEY)
        assert is_reused(
            *await both_refusals(servers, REFUND, payment_id, key=KEY, fields=REFUND.other)
        )


async def test_a_twin_waits_for_an_outcome_that_comes_in_time(
    start: Start, undecided: Undecided
) -> None:
    async with start(undecided, **QUICK) as servers:
        payment_id = await PROCESS.prepared(servers)
        undecided.decides.clear()
        pending = await http_reply(servers, PROCESS, payment_id, key=KEY)
        assert pending.status_code == 202
        twin = asyncio.create_task(http_reply(servers, PROCESS, payment_id, key=KEY))
        undecided.decides.set()
        reply = await twin
    assert (reply.status_code, reply.json()["payment"]["status"]) == (200, "captured")
    assert reply.headers["idempotency-replayed"] == "true"


async def test_a_card_that_times_out_is_pending_first_and_found_approved(start: Start) -> None:
    async with start(**QUICK) as servers:
        payment_id = (await servers.created(payment_method="card_timeout")).payment_id
        first = await http_reply(servers, PROCESS, payment_id, key=KEY)
        assert (first.status_code, first.json()["payment"]["status"]) == (202, "processing")

        async def is_captured() -> bool:
            return bool((await read(servers, payment_id))["status"] == "captured")

        await until(is_captured)
        again = await over_grpc(servers, PROCESS, payment_id, key=KEY)
        assert again.operation["operation_id"] == first.json()["operation"]["operation_id"]
        assert (again.replayed, again.operation["status"]) == ("true", "succeeded")


# After the answer was pruned.


async def forget_answers(database: Database) -> None:
    while await store.prune_answers(database, older_than_seconds=-1.0, limit=100):
        pass


@pytest.mark.parametrize("call", STEPS, ids=str)
async def test_a_forgotten_answer_is_reconstructed_and_says_so(
    servers: Servers, database: Database, call: Call
) -> None:
    first = await over_grpc(servers, call, await call.prepared(servers), key=KEY)
    payment_id = first.said["payment"]["payment_id"]
    await moved_on(servers, payment_id)
    await forget_answers(database)
    by_grpc = await over_grpc(servers, call, payment_id, key=KEY)
    by_http = await over_http(servers, call, payment_id, key=KEY)
    assert by_grpc.replayed == by_http.replayed == "reconstructed"
    assert by_grpc.said == by_http.said
    assert by_grpc.said["payment"] == await read(servers, payment_id)
    assert by_grpc.said.get("operation") == first.said.get("operation")


async def test_what_a_creation_answered_is_never_forgotten(
    servers: Servers, database: Database
) -> None:
    first = await over_grpc(servers, CREATE, "", key=KEY)
    await moved_on(servers, first.said["payment"]["payment_id"])
    await forget_answers(database)
    again = await over_grpc(servers, CREATE, "", key=KEY)
    assert (again.raw, again.replayed) == (first.raw, "true")


@every_call
async def test_a_key_is_bound_for_ever(servers: Servers, database: Database, call: Call) -> None:
    payment_id = await call.prepared(servers)
    await over_grpc(servers, call, payment_id, key=KEY)
    await forget_answers(database)
    if call.other is not None:
        assert is_reused(
            *await both_refusals(servers, call, payment_id, key=KEY, fields=call.other)
        )
    if call.verb:
        another = await call.prepared(servers)
        assert is_reused(*await both_refusals(servers, call, another, key=KEY))


# Deadlines.


async def test_a_creation_whose_deadline_has_passed_replays_under_its_key(
    servers: Servers,
) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=0.5)
    first = await over_grpc(servers, CREATE, "", key=KEY, expires_at=deadline)
    request = pb.GetPaymentRequest(payment_id=first.said["payment"]["payment_id"])

    async def is_expired() -> bool:
        return (await servers.stub.GetPayment(request)).status == "expired"

    await until(is_expired)
    again = await over_grpc(servers, CREATE, "", key=KEY, expires_at=deadline)
    assert (again.raw, again.replayed) == (first.raw, "true")


async def test_a_deadline_that_has_passed_ends_the_payment_at_once(servers: Servers) -> None:
    # Refusing it would be a refusal that time makes: told after an effect where a reply was lost.
    deadline = datetime.now(UTC) - timedelta(days=1)
    created = await over_grpc(servers, CREATE, "", key=KEY, expires_at=deadline)
    payment_id = created.said["payment"]["payment_id"]
    failed = await refusal(servers.process(payment_id))
    assert failed.reason == "PAYMENT_EXPIRED"
