"""What becomes of orders when answers are late, or lost on their way, or the service is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest
from order_service import Order, Orders, OrderStatus

from payment_client import AsyncPaymentClient, PaymentClient, PaymentError, Unavailable
from payment_server.testing import PaymentLine, outcomes

SETTLED_WITHIN_SECONDS = 20
"""The service needs two or three; a busy machine some more."""


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
        while True:
            if fact():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def followed(orders: Orders) -> AsyncIterator[None]:
    following = asyncio.create_task(orders.follow())
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def paid(orders: Orders, payment_method: str) -> Order:
    await orders.place("1001", "cust123", Decimal("25.00"))
    return await orders.pay("1001", payment_method)


async def test_a_payment_that_is_found_later_settles_the_order(orders: Orders) -> None:
    order = await paid(orders, outcomes.FOUND_LATER)
    assert order.status is OrderStatus.UNSETTLED
    async with followed(orders):
        await until(lambda: order.status is OrderStatus.PAID)


async def test_a_refund_that_takes_its_time_shows_when_it_is_there(orders: Orders) -> None:
    await paid(orders, outcomes.REFUND_PENDING)
    order = await orders.refund("1001", "return-1", Decimal("5.00"))
    assert order.refunded == 0
    async with followed(orders):
        await until(lambda: order.refunded == Decimal("5.00"))


async def test_a_refund_that_comes_back_is_none(orders: Orders) -> None:
    await paid(orders, outcomes.REFUND_FAILS_LATE)
    order = await orders.refund("1001", "return-1", Decimal("5.00"))
    assert order.refunded == Decimal("5.00")
    async with followed(orders):
        await until(lambda: order.refunded == 0)


@pytest.fixture
async def by_line(
    payment_line: PaymentLine, payment_merchant: str
) -> AsyncIterator[AsyncPaymentClient]:
    """A client whose way to the service the test can break, connected, and soon impatient."""
    async with AsyncPaymentClient(
        payment_line.target, merchant_id=payment_merchant, timeout_seconds=1
    ) as client:
        await until_reached(client)
        yield client


async def until_reached(client: AsyncPaymentClient) -> None:
    async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
        while True:
            with suppress(PaymentError):
                await client.health()
                return


async def test_a_lost_answer_is_found_again_and_charges_once(
    by_line: AsyncPaymentClient, payment_line: PaymentLine, payment_client: PaymentClient
) -> None:
    orders = Orders(by_line.payments)
    await orders.place("1001", "cust123", Decimal("25.00"))
    payment_line.lose_replies()
    assert (await orders.pay("1001", outcomes.APPROVED)).status is OrderStatus.UNSETTLED

    payment_line.mend()
    await until_reached(by_line)
    await orders.settle()
    assert orders.order("1001").status is OrderStatus.PAID
    [payment] = payment_client.payments.list()
    assert (payment.amount_captured, payment.attempts) == (Decimal("25.00"), 1)


async def test_a_service_that_is_away_leaves_the_order_open(
    by_line: AsyncPaymentClient, payment_line: PaymentLine, payment_client: PaymentClient
) -> None:
    orders = Orders(by_line.payments)
    order = await orders.place("1001", "cust123", Decimal("25.00"))
    payment_line.cut()
    with pytest.raises(Unavailable):
        await by_line.health()  # a payment on a connection that just ends could be on its way
    with pytest.raises(Unavailable):
        await orders.pay("1001", outcomes.APPROVED)
    assert order.status is OrderStatus.OPEN
    assert payment_client.payments.get(order.payment_id).attempts == 0

    payment_line.mend()
    await until_reached(by_line)
    assert (await orders.pay("1001", outcomes.APPROVED)).status is OrderStatus.PAID
