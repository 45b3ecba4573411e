"""BatchCreatePayments: an answer or a failure for each item, as CreatePayment would have said it,
and once for each key whatever befalls the batch."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from itertools import islice
from random import Random
from typing import Any

import grpc
import pytest
from auditing import differences_in
from databases import copy_of
from google.rpc import error_details_pb2
from service_under_test import SCALE, Refusal, Servers, refusal, running

from payment.v1 import payment_pb2 as pb
from payment_server.api import gate
from payment_server.api.transport import Transport
from payment_server.domain.errors import InvalidRequest
from payment_server.store.database import connect

METHOD = "/payment.v1.PaymentService/BatchCreatePayments"
LEAVERS = 8  # at once, each with a batch
LEAVERS_ITEMS = 100
LONGEST_SECONDS = 0.15  # about as long as their batches take


@pytest.fixture(scope="module")
async def batch_url(superuser_url: str, template: str) -> AsyncIterator[str]:
    async with copy_of(superuser_url, template) as url:
        yield url


@pytest.fixture(scope="module")
async def servers(
    transport: Transport,  # noqa: ARG001 - what the service is started on
    batch_url: str,
) -> AsyncIterator[Servers]:
    """One service for all, on each gRPC server: each test has a customer of its own."""
    async with running(batch_url, {}, None) as started:
        yield started


@pytest.fixture
def customer(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name


def items(customer: str, count: int, **fields: Any) -> list[pb.CreatePaymentRequest]:
    """Requests with a key each."""
    return [
        pb.CreatePaymentRequest(
            **{
                "amount": f"{number + 1}.00",
                "customer_id": customer,
                "idempotency_key": f"{customer}-{number}",
                **fields,
            }
        )
        for number in range(count)
    ]


async def sent(
    servers: Servers, requests: Iterable[pb.CreatePaymentRequest], **options: Any
) -> list[pb.BatchCreatePaymentsResult]:
    batch = pb.BatchCreatePaymentsRequest(requests=requests)
    return list((await servers.stub.BatchCreatePayments(batch, **options)).results)


async def refused(
    servers: Servers, requests: Iterable[pb.CreatePaymentRequest], **options: Any
) -> Refusal:
    return await refusal(sent(servers, requests, **options))


async def listed(servers: Servers, customer: str) -> list[pb.Payment]:
    """The customer's payments, oldest first."""
    request = pb.ListPaymentsRequest(customer_id=customer, page_size=1000)
    page = await servers.stub.ListPayments(request)
    assert not page.next_page_token
    return list(page.payments)[::-1]


def created(results: Iterable[pb.BatchCreatePaymentsResult]) -> list[pb.Payment]:
    """What was recorded; nothing may have failed."""
    results = list(results)
    assert [each.error for each in results if each.HasField("error")] == []
    return [each.created.payment for each in results]


def reason_of(result: pb.BatchCreatePaymentsResult) -> str:
    """Of a failure, the reason of its one ErrorInfo."""
    assert result.HasField("error")
    info = error_details_pb2.ErrorInfo()
    assert [each.Unpack(info) for each in result.error.details].count(True) == 1
    reason: str = info.reason
    return reason


# Each item for itself.


async def test_a_thousand_payments_are_recorded_in_the_order_of_the_request(
    servers: Servers, customer: str
) -> None:
    results = await sent(servers, items(customer, 1_000))
    assert [each.created.payment.amount for each in results] == [
        f"{number}.00" for number in range(1, 1_001)
    ]
    assert await listed(servers, customer) == created(results)


async def test_an_item_is_answered_as_its_own_call_is(servers: Servers, customer: str) -> None:
    [first, *_] = requests = items(customer, 3, metadata={"b": "2", "a": "1"}, currency="jpy")
    for each in requests:
        each.amount = "7"
    results = await sent(servers, requests)
    assert results[0].created == await servers.stub.CreatePayment(first)
    assert results[0].idempotency_replayed == ""


async def test_the_same_batch_again_replays_each_answer(servers: Servers, customer: str) -> None:
    requests = items(customer, 5)
    before = await sent(servers, requests)
    again = await sent(servers, requests)
    assert [each.idempotency_replayed for each in again] == ["true"] * 5
    assert created(again) == created(before)


async def test_items_without_a_key_are_each_a_payment(servers: Servers, customer: str) -> None:
    await sent(servers, items(customer, 3, idempotency_key="") * 2)
    assert len(await listed(servers, customer)) == 6


async def test_one_key_twice_is_one_payment_and_a_replay(servers: Servers, customer: str) -> None:
    [item] = items(customer, 1)
    first, second = await sent(servers, [item, item])
    assert first.created == second.created
    assert (first.idempotency_replayed, second.idempotency_replayed) == ("", "true")
    assert len(await listed(servers, customer)) == 1


async def test_one_key_with_two_meanings_is_refused_the_second_time(
    servers: Servers, customer: str
) -> None:
    first, second = await sent(servers, items(customer, 2, idempotency_key=customer))
    assert first.created.payment.amount == "1.00"
    assert reason_of(second) == "IDEMPOTENCY_KEY_REUSED"


REFUSALS: dict[str, dict[str, Any]] = {
    "FIELD_INVALID": {"amount": "-1", "currency": "XYZ", "metadata": {"k": "\n"}},
    "CARD_DATA_REJECTED": {"description": "4539578763621486"},
    "MESSAGE_TOO_LARGE": {"description": "x" * 65_536},
    "IDEMPOTENCY_KEY_REUSED": {"amount": "99.00", "idempotency_key": "of the first"},
}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_an_item_is_refused_as_its_own_call_is_and_its_neighbours_are_not(
    servers: Servers, customer: str, reason: str
) -> None:
    metadata = (("x-request-id", "r-1"),)
    before, bad, after = items(customer, 3)
    first_key = f"first-{customer}"
    before.idempotency_key = first_key
    fields = REFUSALS[reason]
    bad = pb.CreatePaymentRequest(customer_id=customer, **{"amount": "1.00", **fields})
    if bad.idempotency_key:
        bad.idempotency_key = first_key
    results = await sent(servers, [before, bad, after], metadata=metadata)
    alone = await refusal(servers.stub.CreatePayment(bad, metadata=metadata))
    assert reason_of(results[1]) == alone.reason == reason
    assert results[1].error.SerializeToString() == alone.trailing["grpc-status-details-bin"]
    assert await listed(servers, customer) == created([results[0], results[2]])


async def test_a_refusal_keeps_nothing_of_its_batch_alive(servers: Servers, customer: str) -> None:
    """Not even until the collector comes, which is seldom."""
    bad = pb.CreatePaymentRequest(customer_id=customer, amount="0")
    await sent(servers, [bad])
    gc.collect()
    gc.disable()
    try:
        before = {id(each) for each in refusals()}
        await sent(servers, [bad, *items(customer, 3)])
        kept = [each for each in refusals() if id(each) not in before]
    finally:
        gc.enable()
    assert kept == []


def refusals() -> list[InvalidRequest]:
    return [each for each in gc.get_objects() if isinstance(each, InvalidRequest)]


# The batch as a whole.


async def test_a_batch_has_at_least_one_item(servers: Servers) -> None:
    failed = await refused(servers, [])
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["requests"])


async def test_a_batch_has_at_most_a_thousand_items(servers: Servers, customer: str) -> None:
    failed = await refused(servers, items(customer, 1_001))
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["requests"])
    assert await listed(servers, customer) == []


async def test_a_batch_has_a_mebibyte_at_most(servers: Servers, customer: str) -> None:
    largest = items(customer, 17, metadata={str(each): "x" * 500 for each in range(50)})
    assert len(created(await sent(servers, largest))) == 17
    too_large = items(f"{customer}-2", 17, description="x" * 64_000)
    failed = await refused(servers, too_large)
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "MESSAGE_TOO_LARGE",
    )
    assert failed.metadata == {"limit_bytes": str(1024 * 1024)}


async def test_a_key_belongs_to_an_item(servers: Servers, customer: str) -> None:
    metadata = (("idempotency-key", "k"),)
    failed = await refused(servers, items(customer, 1), metadata=metadata)
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["idempotency_key"])


async def test_a_merchant_that_is_none_is_refused_once(servers: Servers, customer: str) -> None:
    failed = await refused(servers, items(customer, 2), metadata=(("x-merchant-id", "A B"),))
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["x-merchant-id"])


async def test_bytes_that_are_no_batch_are_malformed(servers: Servers) -> None:
    call: Any = servers.channel.unary_unary(METHOD)
    assert (await refusal(call(b"\xff\xff"))).reason == "MALFORMED_REQUEST"


async def test_a_batch_has_to_pass_the_gate(
    servers: Servers, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CALLS_LIMIT", 0)
    assert (await refused(servers, items(customer, 1))).reason == "OVERLOADED"


async def test_too_many_batches_at_once_are_refused_as_a_whole_or_not_at_all(
    servers: Servers, customer: str, batch_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "ITEMS_LIMIT", 250)
    batches = [items(f"{customer}-{each}", 100) for each in range(8)]
    connection = await connect(batch_url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE payments IN SHARE MODE")  # nobody comes to an end
        calls = [asyncio.ensure_future(sent(servers, each)) for each in batches]
        for refused_one in islice(asyncio.as_completed(calls), 6):
            assert (await refusal(refused_one)).reason == "OVERLOADED"
    connection.terminate()
    await asyncio.wait(calls)
    for number, each in enumerate(calls):
        stored = await listed(servers, f"{customer}-{number}")
        assert stored == ([] if each.exception() else created(each.result()))
    assert len(created(await sent(servers, items(customer, 250)))) == 250


# Whatever befalls it.


@pytest.mark.scaled
@pytest.mark.parametrize("is_late", [False, True], ids=["left", "too late"])
async def test_a_batch_that_was_left_is_finished_by_the_same_batch(
    servers: Servers, customer: str, batch_url: str, is_late: bool
) -> None:
    random = Random(customer)

    async def caller(name: str) -> None:
        requests = items(name, LEAVERS_ITEMS)
        for _ in range(random.randint(1, 3)):
            patience = random.uniform(0, LONGEST_SECONDS)
            if is_late:
                with suppress(grpc.aio.AioRpcError):
                    await sent(servers, requests, timeout=patience)
            else:
                left = asyncio.ensure_future(sent(servers, requests))
                await asyncio.sleep(patience)
                left.cancel()
                with suppress(asyncio.CancelledError):
                    await left
        first, second = [created(await sent(servers, requests)) for _ in range(2)]
        assert first == second
        # Not by id: what the caller had left behind was recorded before.
        assert sorted(map(id_of, await listed(servers, name))) == sorted(map(id_of, first))

    for wave in range(SCALE):
        await asyncio.gather(*(caller(f"{customer}-{wave}-{each}") for each in range(LEAVERS)))
    assert await differences_in(batch_url) == {}


def id_of(payment: pb.Payment) -> str:
    return payment.payment_id
