"""What becomes of orders when all goes well, and when the customer's bank says otherwise.

`orders` is the service under test; `payment_client` sees the same merchant and looks at what has
really happened.
"""

import asyncio
from decimal import Decimal

import pytest
from order_service import Orders, OrderStatus

from payment_client import AmountTooLarge, PaymentClient, PaymentStatus
from payment_server.testing import outcomes


async def test_an_order_is_paid(orders: Orders, payment_client: PaymentClient) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    order = await orders.pay("1001", outcomes.APPROVED)
    assert order.status is OrderStatus.PAID
    assert payment_client.payments.get(order.payment_id).amount_captured == Decimal("25.00")


async def test_an_order_is_placed_once(orders: Orders, payment_client: PaymentClient) -> None:
    first = await orders.place("1001", "cust123", Decimal("25.00"))
    assert await orders.place("1001", "cust123", Decimal("25.00")) is first
    assert len(list(payment_client.payments.list())) == 1


async def test_two_clicks_are_one_payment(orders: Orders, payment_client: PaymentClient) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    clicks = [orders.pay("1001", outcomes.APPROVED) for _ in range(2)]
    assert [order.status for order in await asyncio.gather(*clicks)] == [OrderStatus.PAID] * 2
    [payment] = payment_client.payments.list()
    assert payment.attempts == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("insufficient_funds", "Your card has insufficient funds."),
        ("expired_card", "Your card has expired."),
        ("stolen_card", "Your card was declined."),
    ],
)
async def test_a_decline_is_told_to_the_customer(orders: Orders, code: str, message: str) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    order = await orders.pay("1001", outcomes.declined(code))
    assert (order.status, order.message) == (OrderStatus.OPEN, message)


async def test_another_card_pays_after_a_decline(orders: Orders) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    await orders.pay("1001", outcomes.declined("lost_card"))
    order = await orders.pay("1001", outcomes.APPROVED)
    assert (order.status, order.attempts, order.message) == (OrderStatus.PAID, 2, "")


async def test_the_amount_decides_where_the_card_cannot(orders: Orders) -> None:
    await orders.place("1001", "cust123", outcomes.amount_declined("insufficient_funds"))
    order = await orders.pay("1001", outcomes.BY_AMOUNT)
    assert order.message == "Your card has insufficient funds."


async def test_a_customer_confirms_with_their_bank(orders: Orders) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    assert (await orders.pay("1001", outcomes.CHALLENGE)).status is OrderStatus.WAITING
    assert (await orders.confirm("1001")).status is OrderStatus.PAID


async def test_goods_that_come_back_are_refunded_once(orders: Orders) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    await orders.pay("1001", outcomes.APPROVED)
    for _ in range(2):
        order = await orders.refund("1001", "return-1", Decimal("10.00"))
    assert (order.status, order.refunded) == (OrderStatus.PAID, Decimal("10.00"))


async def test_no_more_is_refunded_than_was_paid(orders: Orders) -> None:
    await orders.place("1001", "cust123", Decimal("25.00"))
    await orders.pay("1001", outcomes.APPROVED)
    with pytest.raises(AmountTooLarge) as caught:
        await orders.refund("1001", "return-1", Decimal("25.01"))
    assert caught.value.limit == Decimal("25.00")


async def test_each_test_has_a_merchant_of_its_own(
    orders: Orders, payment_client: PaymentClient
) -> None:
    await orders.place("1001", "cust123", Decimal("1.00"))
    [payment] = payment_client.payments.list()
    assert (payment.status, payment.amount) == (PaymentStatus.CREATED, Decimal("1.00"))
