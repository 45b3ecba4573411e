"""Callers against the end of a deadline, a challenge or a hold: one comes first, and the other
finds things as they are then."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import grpc
import pytest
from auditing import differences_in
from service_under_test import SCALE, Servers, Start, refusal_of

from payment.v1 import payment_pb2 as pb
from payment_server.domain.payment import Payment
from payment_server.payments import Payments
from payment_server.processors.sandbox import Sandbox
from payment_server.store import payments as store
from payment_server.store.database import Database

ROUNDS = 15 * SCALE

# What is asked for, of which payment, and after what: each of them could also end by itself.
ENDING = [
    ("process", "card", []),
    ("cancel", "card", []),
    ("complete", "card_3ds", ["process"]),
    ("cancel", "card_3ds", ["process"]),
    ("capture", "card", ["authorize"]),
    ("cancel", "card", ["authorize"]),
]


@pytest.fixture
async def clock(database: Database) -> AsyncIterator[Payments]:
    """What the worker of another server calls when time is up."""
    payments = Payments(database, Sandbox())
    yield payments
    await payments.drain(1.0)


@pytest.mark.scaled
@pytest.mark.parametrize(("action", "method", "before"), ENDING)
async def test_time_and_a_caller_never_both_have_it(
    servers: Servers,
    database: Database,
    database_url: str,
    clock: Payments,
    action: str,
    method: str,
    before: list[str],
) -> None:
    random = Random(f"{action} of {method} after {before}")
    for _ in range(ROUNDS):
        payment_id = await ending(servers, method, before)
        as_it_was = await stored(database, payment_id)
        answer, _ = await asyncio.gather(
            asked(servers, random, payment_id, action), ended(clock, random, as_it_was)
        )
        payment = await read(servers, payment_id)
        if payment.status == pb.PAYMENT_STATUS_EXPIRED:
            assert answer == "PAYMENT_EXPIRED"
            assert payment.version == as_it_was.version + 1
        else:
            assert answer == payment
    assert await differences_in(database_url) == {}


async def ending(servers: Servers, method: str, before: list[str]) -> str:
    request = pb.CreatePaymentRequest(amount="10", customer_id="cust123", payment_method=method)
    request.expires_at.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    payment_id = (await servers.stub.CreatePayment(request)).payment_id
    for each in before:
        await servers.process(payment_id, each)
    return payment_id


async def asked(servers: Servers, random: Random, payment_id: str, action: str) -> Any:
    """The payment after it, or the reason of the refusal."""
    await asyncio.sleep(random.choice((0, random.uniform(0, 0.004))))
    return await outcome(servers, payment_id, action)


async def outcome(servers: Servers, payment_id: str, action: str) -> Any:
    try:
        return (await servers.ask(payment_id, action)).payment
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason


async def ended(clock: Payments, random: Random, payment: Payment) -> None:
    await asyncio.sleep(random.choice((0, random.uniform(0, 0.004))))
    await clock.lapse(payment)


async def stored(database: Database, payment_id: str) -> Payment:
    payment = await store.get(database, "default", payment_id)
    assert payment is not None
    return payment


async def read(servers: Servers, payment_id: str) -> pb.Payment:
    return (await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))).payment


async def test_challenges_are_completed_or_expire_by_the_databases_clock(
    start: Start, database_url: str
) -> None:
    random = Random("complete against expiry")

    async def life(servers: Servers) -> None:
        payment_id = (await servers.created(payment_method="card_3ds")).payment_id
        await servers.process(payment_id)
        await asyncio.sleep(random.uniform(0.8, 2.2))  # around the second that the challenge lasts
        answer = await outcome(servers, payment_id, "complete")
        payment = await read(servers, payment_id)
        if payment.status == pb.PAYMENT_STATUS_EXPIRED:
            assert (answer, payment.version) == ("PAYMENT_EXPIRED", 4)
        else:
            assert (answer, payment.status) == (payment, pb.PAYMENT_STATUS_CAPTURED)

    async with (
        start(PAYMENT_SANDBOX_CHALLENGE_SECONDS="1") as one,
        start(PAYMENT_SANDBOX_CHALLENGE_SECONDS="1") as other,
    ):
        await asyncio.gather(*(life((one, other)[each % 2]) for each in range(60)))
    assert await differences_in(database_url) == {}
