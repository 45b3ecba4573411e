"""What callers read: payments, refunds and events as they are stored. Nothing here changes any."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from payment_server.domain import ids, paging
from payment_server.domain.commands import ListOfPayment, ListPayments
from payment_server.domain.errors import PaymentNotFound, RefundNotFound
from payment_server.domain.events import Event
from payment_server.domain.operation import Refund
from payment_server.domain.payment import Payment
from payment_server.store import events, payments
from payment_server.store.database import Database

Listed = TypeVar("Listed", Payment, Refund, Event)


class Page(msgspec.Struct, Generic[Listed], frozen=True):
    """Some of a list; the token is empty on the last page."""

    items: tuple[Listed, ...]
    next_page_token: str


class Reader:
    """Reads what belongs to one merchant at a time.

    Every method raises DatabaseUnavailable and Overloaded.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, merchant_id: str, payment_id: str) -> Payment:
        """Reads a payment as it is now. Raises PaymentNotFound."""
        known = ids.canonical(payment_id)
        payment = known and await payments.get(self._database, merchant_id, known)
        if not payment:
            raise PaymentNotFound(payment_id)
        return payment

    async def list_page(self, merchant_id: str, wish: ListPayments) -> Page[Payment]:
        """Payments, newest first. Raises InvalidRequest for a token of another list."""
        below = paging.read_token(wish) or ids.HIGHEST
        if wish.created_before is not None:
            below = min(below, ids.lowest_at(wish.created_before))
        from_ = ids.LOWEST if wish.created_from is None else ids.lowest_at(wish.created_from)
        found = await payments.list_page(
            self._database, merchant_id, wish, below=below, from_=from_
        )
        return _page(wish, found, lambda payment: payment.payment_id)

    async def get_refund(self, merchant_id: str, refund_id: str) -> Refund:
        """Reads a refund as it is now. Raises RefundNotFound."""
        known = ids.canonical(refund_id)
        refund = known and await payments.get_refund(self._database, merchant_id, known)
        if not refund:
            raise RefundNotFound(refund_id)
        return refund

    async def list_refunds(self, merchant_id: str, wish: ListOfPayment) -> Page[Refund]:
        """A payment's refunds, newest first. Raises InvalidRequest, PaymentNotFound."""
        below = paging.read_token(wish) or ids.HIGHEST
        payment = await self.get(merchant_id, wish.payment_id)
        found = await payments.list_refunds(
            self._database, merchant_id, payment.payment_id, below=below, limit=wish.page_size + 1
        )
        return _page(wish, found, lambda refund: refund.refund_id)

    async def list_events(self, merchant_id: str, wish: ListOfPayment) -> Page[Event]:
        """A payment's events, oldest first. Raises InvalidRequest, PaymentNotFound."""
        after = paging.version_of_id(paging.read_token(wish) or ids.LOWEST)
        payment = await self.get(merchant_id, wish.payment_id)
        found = await events.list_page(
            self._database,
            merchant_id,
            payment.payment_id,
            after_version=after,
            limit=wish.page_size + 1,
        )
        return _page(wish, found, lambda event: paging.version_as_id(event.payment.version))


def _page(
    wish: paging.Listing, found: Sequence[Listed], id_of: Callable[[Listed], str]
) -> Page[Listed]:
    """A page of what was found, which is one more than the page shows where more is."""
    shown = tuple(found[: wish.page_size])
    more = len(found) > len(shown)
    return Page(shown, paging.token_after(wish, id_of(shown[-1])) if more else "")
