"""Orders that are paid with payment-client.

An order is never charged twice and never forgotten in between, whatever is lost on the way: each
call has an idempotency key that follows from the order, and an order whose outcome is not known is
kept as such until `settle` has found it out. This one keeps its orders in memory; a real one writes
them to its database wherever a field of `Order` changes here.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from payment_client import (
    AsyncPayments,
    Internal,
    OutcomeUnknown,
    Payment,
    PaymentError,
    PaymentStatus,
)


class OrderStatus(StrEnum):
    """What an order knows of its payment."""

    OPEN = "open"
    """Not paid; the customer may pay, after a decline too."""
    WAITING = "waiting"
    """The customer has to act: `Order.message` says where."""
    UNSETTLED = "unsettled"
    """Asked for, and nobody knows yet what came of it: `settle` looks again."""
    PAID = "paid"
    CLOSED = "closed"
    """Its payment was canceled, or the customer took too long: they may place another order."""


_STATUS: Final = {
    PaymentStatus.CREATED: OrderStatus.OPEN,
    PaymentStatus.FAILED: OrderStatus.OPEN,
    PaymentStatus.REQUIRES_ACTION: OrderStatus.WAITING,
    PaymentStatus.PROCESSING: OrderStatus.UNSETTLED,
    PaymentStatus.CAPTURED: OrderStatus.PAID,
    PaymentStatus.PARTIALLY_REFUNDED: OrderStatus.PAID,
    PaymentStatus.REFUNDED: OrderStatus.PAID,
    PaymentStatus.CANCELED: OrderStatus.CLOSED,
    PaymentStatus.EXPIRED: OrderStatus.CLOSED,
}
"""This shop never holds money without taking it: of the other statuses an order learns nothing."""


@dataclass
class Order:
    """One order and its one payment."""

    order_id: str
    payment_id: str
    total: Decimal
    version: int
    """Of the payment as it is told here."""
    status: OrderStatus = OrderStatus.OPEN
    message: str = ""
    """For the customer: why it was declined, or where to go."""
    refunded: Decimal = Decimal(0)
    attempts: int = 0
    """How often the customer has tried to pay."""
    payment_method: str = ""
    """Of the last attempt."""


class Orders:
    """The orders of one shop."""

    def __init__(self, payments: AsyncPayments) -> None:
        self._payments = payments
        self._orders: dict[str, Order] = {}
        self._cursor: str | None = None

    def order(self, order_id: str) -> Order:
        return self._orders[order_id]

    async def place(
        self, order_id: str, customer_id: str, total: Decimal, currency: str = "USD"
    ) -> Order:
        """Records the order and its payment; no money moves. May be repeated after any failure."""
        payment = await self._payments.create(
            amount=total,
            currency=currency,
            customer_id=customer_id,
            metadata={"order_id": order_id},
            idempotency_key=f"{order_id}:place",
        )
        order = Order(order_id, payment.payment_id, payment.amount, payment.version)
        return self._orders.setdefault(order_id, order)

    async def pay(self, order_id: str, payment_method: str) -> Order:
        """Takes the money. A second click on the button does not take it again.

        Raises PaymentError where it surely was not taken.
        """
        order = self.order(order_id)
        if order.status is OrderStatus.OPEN:
            order.attempts += 1
            order.payment_method = payment_method
            order.status = OrderStatus.UNSETTLED  # before the call, so that a crash leaves a trace
        if order.status is OrderStatus.UNSETTLED:
            await self._attempt(order)
        return order

    async def confirm(self, order_id: str) -> Order:
        """Goes on when the customer has done what their bank asked."""
        order = self.order(order_id)
        done = await self._payments.complete(
            order.payment_id, idempotency_key=f"{order_id}:confirm:{order.attempts}"
        )
        self._book(done.payment)
        return order

    async def refund(self, order_id: str, return_id: str, amount: Decimal) -> Order:
        """Gives money back for goods that came back, once for each `return_id`.

        It shows as refunded when it is; `follow` hears of a refund that takes days, or fails.
        """
        order = self.order(order_id)
        back = await self._payments.refund(
            order.payment_id,
            amount=amount,
            reason=f"return {return_id}",
            idempotency_key=f"{order_id}:refund:{return_id}",
        )
        self._book(back.payment)
        return order

    async def settle(self) -> None:
        """Looks again at every order whose outcome is not known; to be done every minute or so."""
        for order in list(self._orders.values()):
            if order.status is OrderStatus.UNSETTLED:
                await self._attempt(order)

    async def follow(self) -> None:
        """Books what happens to payments, whoever caused it, until it is cancelled.

        It goes on where it was: behind the last event that is booked.
        """
        is_first = self._cursor is None
        async with self._payments.watch(cursor=self._cursor, from_beginning=is_first) as watcher:
            async for event in watcher:
                self._book(event.payment)
                self._cursor = watcher.cursor

    async def _attempt(self, order: Order) -> None:
        """The customer's last attempt, for the first time or again: its key makes it one."""
        try:
            done = await self._payments.process(
                order.payment_id,
                payment_method=order.payment_method,
                idempotency_key=f"{order.order_id}:pay:{order.attempts}",
            )
        except (OutcomeUnknown, Internal):
            return  # unsettled it stays: it may have happened
        except PaymentError:
            order.status = OrderStatus.OPEN  # it has not happened
            raise
        payment = done.payment
        if done.call.replayed:  # what an answer of long ago says may be outdated by now
            payment = await self._payments.get(order.payment_id)
        self._book(payment)

    def _book(self, payment: Payment) -> None:
        """Takes over what a payment says, unless something newer was told: answers and events
        overtake each other."""
        order = self._orders.get(payment.metadata.get("order_id", ""))
        if order is None or payment.version <= order.version:
            return
        order.version = payment.version
        order.refunded = payment.amount_refunded
        order.status = _STATUS.get(payment.status, order.status)
        order.message = ""
        if payment.decline is not None:
            order.message = payment.decline.message
        if payment.next_action is not None:
            order.message = payment.next_action.url
