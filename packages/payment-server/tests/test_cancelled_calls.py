"""Callers that go away at any moment: their keys still have one effect, and its first result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import pytest
from auditing import differences_in
from databases import copy_of
from google.protobuf.message import Message
from mutating_calls import STEPS, Call, over_grpc
from service_under_test import SCALE, Servers, running

from payment.v1 import payment_pb2 as pb

CALLERS = 25  # at once
LONGEST_SECONDS = 0.012  # about as long as a call takes while all of them are under way


@pytest.fixture(scope="module")
async def left_url(superuser_url: str, template: str) -> AsyncIterator[str]:
    async with copy_of(superuser_url, template) as url:
        yield url


@pytest.fixture(scope="module")
async def left(left_url: str) -> AsyncIterator[Servers]:
    """A service whose processor takes a while too, so that callers leave in each phase."""
    async with running(left_url, {"PAYMENT_SANDBOX_LATENCY_MS": "4"}, None) as servers:
        yield servers


async def leave(servers: Servers, random: Random, rpc: str, request: Message) -> None:
    call = getattr(servers.stub, rpc)(request)
    await asyncio.sleep(random.uniform(0, LONGEST_SECONDS))
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


@pytest.mark.scaled
@pytest.mark.parametrize("call", STEPS, ids=str)
async def test_the_same_key_gets_the_first_result_of_a_call_that_was_left(
    left: Servers, left_url: str, call: Call
) -> None:
    random = Random(call.rpc)

    async def caller() -> None:
        payment_id = await call.prepared(left)
        version = (await read(left, payment_id)).version
        wish = {**call.fields, "idempotency_key": payment_id}
        for _ in range(random.randint(1, 3)):
            await leave(left, random, call.rpc, call.request(payment_id, wish))
        first, second = [await over_grpc(left, call, payment_id, key=payment_id) for _ in range(2)]
        assert (second.raw, second.replayed) == (first.raw, "true")
        assert first.operation["status"] == "succeeded"
        assert (await read(left, payment_id)).version == version + 2

    for _ in range(SCALE):
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    assert await differences_in(left_url) == {}


@pytest.mark.scaled
async def test_a_payment_whose_creation_was_left_is_recorded_once(left: Servers) -> None:
    random = Random("CreatePayment")

    async def caller(customer_id: str) -> None:
        request = pb.CreatePaymentRequest(
            amount="10.00", customer_id=customer_id, idempotency_key=customer_id
        )
        for _ in range(random.randint(1, 3)):
            await leave(left, random, "CreatePayment", request)
        created = (await left.stub.CreatePayment(request)).payment
        listed = pb.ListPaymentsRequest(customer_id=customer_id)
        assert list((await left.stub.ListPayments(listed)).payments) == [created]

    for wave in range(2 * SCALE):
        await asyncio.gather(*(caller(f"customer-{wave}-{each}") for each in range(CALLERS)))


@pytest.mark.scaled
async def test_refunds_that_were_left_are_each_given_back_once(
    left: Servers, left_url: str
) -> None:
    random = Random("refunds")

    async def payer() -> None:
        payment_id = (await left.created()).payment_id
        await left.process(payment_id)
        requests = [
            pb.RefundPaymentRequest(
                payment_id=payment_id, amount="2.00", idempotency_key=f"{payment_id}-{each}"
            )
            for each in range(3)
        ]
        await asyncio.gather(*(leave(left, random, "RefundPayment", each) for each in requests))
        replies = await asyncio.gather(*(left.stub.RefundPayment(each) for each in requests))
        assert len({each.refund.refund_id for each in replies}) == len(requests)
        assert (await read(left, payment_id)).amount_refunded == "6.00"

    for _ in range(SCALE):
        await asyncio.gather(*(payer() for _ in range(CALLERS)))
    assert await differences_in(left_url) == {}


async def read(servers: Servers, payment_id: str) -> pb.Payment:
    return (await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))).payment
