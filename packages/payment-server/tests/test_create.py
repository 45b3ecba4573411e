"""CreatePayment over gRPC: what is recorded, and one effect for each key."""

import asyncio
from typing import Any

import grpc
from service_under_test import Servers, Start, refusal

from payment.v1 import payment_pb2 as pb

WORDS: dict[str, Any] = {
    "amount": "10.00",
    "currency": "USD",
    "customer_id": "cust123",
    "payment_method": "card",
}


def keyed(key: str, **fields: Any) -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(**{**WORDS, "idempotency_key": key, **fields})


async def test_the_flat_answer_has_the_id_the_status_and_the_time(servers: Servers) -> None:
    answer = await servers.stub.CreatePayment(pb.CreatePaymentRequest(**WORDS))
    assert answer.status == "created"
    assert answer.created_at.endswith("Z")
    assert answer.payment.payment_id == answer.payment_id


async def test_currency_and_method_have_defaults(servers: Servers) -> None:
    answer = await servers.stub.CreatePayment(
        pb.CreatePaymentRequest(amount="10", customer_id="cust123")
    )
    payment = answer.payment
    assert (payment.currency, payment.amount, payment.payment_method) == ("USD", "10.00", "card")


async def test_everything_that_was_given_is_read_back(servers: Servers) -> None:
    created = await servers.created(
        amount="1.5",
        currency="kwd",
        description="Ärger 🙂",
        metadata={"order": "7"},
        capture_method=pb.CAPTURE_METHOD_MANUAL,
    )
    read = await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=created.payment_id))
    assert read.payment == created
    assert (read.amount, read.currency, read.status) == ("1.500", "KWD", "created")
    assert dict(created.metadata) == {"order": "7"}


async def test_the_same_key_gives_the_same_bytes_and_says_so(servers: Servers) -> None:
    first = await servers.stub.CreatePayment(keyed("k1"))
    call = servers.stub.CreatePayment(keyed("k1", amount="10", currency="usd"))
    assert (await call).SerializeToString(deterministic=True) == first.SerializeToString(
        deterministic=True
    )
    assert ("idempotency-replayed", "true") in tuple(await call.trailing_metadata())


async def test_a_replay_tells_what_was_even_when_the_payment_moved_on(servers: Servers) -> None:
    first = await servers.stub.CreatePayment(keyed("k1"))
    await servers.process(first.payment_id)
    assert (await servers.stub.CreatePayment(keyed("k1"))).status == "created"


async def test_the_metadata_key_means_the_same_as_the_field(servers: Servers) -> None:
    first = await servers.stub.CreatePayment(keyed("k1"))
    again = await servers.stub.CreatePayment(
        pb.CreatePaymentRequest(**WORDS), metadata=(("idempotency-key", "k1"),)
    )
    assert again.payment_id == first.payment_id


async def test_two_keys_that_differ_are_refused(servers: Servers) -> None:
    failed = await refusal(
        servers.stub.CreatePayment(keyed("k1"), metadata=(("idempotency-key", "k2"),))
    )
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["idempotency_key"])


async def test_a_key_belongs_to_its_merchant(servers: Servers) -> None:
    ours = await servers.stub.CreatePayment(keyed("k1"))
    theirs = await servers.stub.CreatePayment(keyed("k1"), metadata=(("x-merchant-id", "other"),))
    assert ours.payment_id != theirs.payment_id


async def test_a_key_with_another_meaning_is_refused(servers: Servers) -> None:
    await servers.stub.CreatePayment(keyed("k1"))
    failed = await refusal(servers.stub.CreatePayment(keyed("k1", amount="11.00")))
    assert failed.code is grpc.StatusCode.ALREADY_EXISTS
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_calls_without_a_key_are_payments_of_their_own(servers: Servers) -> None:
    request = pb.CreatePaymentRequest(**WORDS)
    first, second = [await servers.stub.CreatePayment(request) for _ in range(2)]
    assert first.payment_id != second.payment_id


async def test_300_keys_20_times_at_once_are_300_payments(start: Start) -> None:
    async with start() as servers:
        answers = await asyncio.gather(
            *(servers.stub.CreatePayment(keyed(f"k{n % 300}")) for n in range(6_000))
        )
        told = [each.SerializeToString(deterministic=True) for each in answers]
        assert [len(set(told[key::300])) for key in range(300)] == [1] * 300
        assert len({each.payment_id for each in answers}) == 300
        listed = await servers.stub.ListPayments(pb.ListPaymentsRequest(page_size=1_000))
        assert len(listed.payments) == 300
