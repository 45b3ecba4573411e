"""Many callers at one payment: amounts add up, and nothing happens twice."""

import asyncio
from typing import Any

import grpc
from service_under_test import Servers

from payment.v1 import payment_pb2 as pb


async def settled(servers: Servers, payment_id: str, action: str, **fields: Any) -> str:
    """The new status, or the code of the refusal."""
    try:
        return (await servers.process(payment_id, action, **fields)).status
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def read(servers: Servers, payment_id: str) -> pb.Payment:
    return (await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))).payment


async def test_of_ten_captures_of_300_on_1000_three_succeed(servers: Servers) -> None:
    for _ in range(20):
        payment_id = (await servers.created(amount="10.00")).payment_id
        await servers.process(payment_id, "authorize")
        results = await asyncio.gather(
            *(settled(servers, payment_id, "capture", amount="3.00") for _ in range(10))
        )
        payment = await read(servers, payment_id)
        assert results.count("partially_captured") == 3, results
        assert set(results) <= {"partially_captured", "FAILED_PRECONDITION", "ABORTED"}
        assert (payment.amount_captured, payment.amount_capturable) == ("9.00", "1.00")


async def test_the_same_key_ten_times_has_one_effect_and_one_answer(servers: Servers) -> None:
    for _ in range(20):
        payment_id = (await servers.created()).payment_id
        await servers.process(payment_id)
        answers = await asyncio.gather(
            *(
                servers.process(payment_id, "refund", amount="1.00", idempotency_key=payment_id)
                for _ in range(10)
            )
        )
        assert all(answer == answers[0] for answer in answers)
        assert (await read(servers, payment_id)).amount_refunded == "1.00"


async def test_cancel_and_capture_never_both_succeed(servers: Servers) -> None:
    for _ in range(20):
        payment_id = (await servers.created()).payment_id
        await servers.process(payment_id, "authorize")
        await asyncio.gather(
            settled(servers, payment_id, "cancel"), settled(servers, payment_id, "capture")
        )
        payment = await read(servers, payment_id)
        assert (payment.amount_captured, payment.amount_voided) in (
            ("10.00", "0.00"),
            ("0.00", "10.00"),
        )


async def test_ten_whole_refunds_give_the_money_back_once(servers: Servers) -> None:
    payment_id = (await servers.created()).payment_id
    await servers.process(payment_id)
    results = await asyncio.gather(*(settled(servers, payment_id, "refund") for _ in range(10)))
    assert results.count("refunded") == 1
    assert (await read(servers, payment_id)).amount_refunded == "10.00"


async def test_thirty_refunds_at_once_are_all_booked(servers: Servers) -> None:
    payment_id = (await servers.created(amount="30.00")).payment_id
    await servers.process(payment_id)
    results = await asyncio.gather(
        *(settled(servers, payment_id, "refund", amount="1.00") for _ in range(30))
    )
    payment = await read(servers, payment_id)
    assert payment.amount_refund_pending == "0.00"
    assert payment.amount_refunded == f"{30 - results.count('ABORTED')}.00"
