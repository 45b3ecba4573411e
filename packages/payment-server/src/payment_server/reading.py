"""What callers read: payments, refunds and events as they are stored. Nothing here changes any.

A page is read block by block, and may end before it has as many items as were asked for (AIP-158):
when its bytes are used up, or its time. Its token says where to go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import msgspec

from payment_server.domain import ids, paging
from payment_server.domain.commands import ListOfPayment, ListPayments
from payment_server.domain.errors import PaymentNotFound, RefundNotFound
from payment_server.domain.events import Event
from payment_server.domain.operation import Refund
from payment_server.domain.payment import Payment
from payment_server.store import events, payments
from payment_server.store.database import Database

BLOCK_ROWS: Final = 100
"""Of one statement. A row has 64 KiB at most, about 1 KiB as a rule; by then a statement's fixed
costs are small beside its rows'."""

PAGE_BYTES: Final = 2 * 1024 * 1024
"""Half of what gRPC's clients take unless told otherwise. Counted as JSON of the domain's own
names, than which protobuf is not longer."""

PAGE_SECONDS: Final = 1.0
"""What callers wait gladly, where filters match little: a scan of some 100,000 rows."""

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

        async def block(after: str, limit: int) -> _Block[Payment]:
            scanned = await payments.list_page(
                self._database, merchant_id, wish, below=after, from_=from_, limit=limit
            )
            return scanned.payments, scanned.end

        return await _page(wish, below, block, lambda payment: payment.payment_id)

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

        async def block(after: str, limit: int) -> _Block[Refund]:
            found = await payments.list_refunds(
                self._database, merchant_id, payment.payment_id, below=after, limit=limit
            )
            return found, found[-1].refund_id if len(found) == limit else None

        return await _page(wish, below, block, lambda refund: refund.refund_id)

    async def list_events(self, merchant_id: str, wish: ListOfPayment) -> Page[Event]:
        """A payment's events, oldest first. Raises InvalidRequest, PaymentNotFound."""
        after = paging.read_token(wish) or ids.LOWEST
        payment = await self.get(merchant_id, wish.payment_id)

        async def block(after: str, limit: int) -> _Block[Event]:
            found = await events.list_page(
                self._database,
                merchant_id,
                payment.payment_id,
                after_version=paging.version_of_id(after),
                limit=limit,
            )
            return found, _id_of_event(found[-1]) if len(found) == limit else None

        return await _page(wish, after, block, _id_of_event)


def _id_of_event(event: Event) -> str:
    return paging.version_as_id(event.payment.version)


_Block = tuple[list[Listed], str | None]
"""What comes next in a list, and the id to go on behind; None where nothing does."""


async def _page(
    wish: paging.Listing,
    after: str,
    block: Callable[[str, int], Awaitable[_Block[Listed]]],
    id_of: Callable[[Listed], str],
) -> Page[Listed]:
    """A page of what comes behind an id, in blocks of a number of rows at most."""
    clock = asyncio.get_running_loop().time
    shown: list[Listed] = []
    used_bytes, ends_at = 0, clock() + PAGE_SECONDS
    while True:
        items, end = await block(after, min(BLOCK_ROWS, wish.page_size + 1 - len(shown)))
        for each in items:
            used_bytes += len(msgspec.json.encode(each))
            if len(shown) == wish.page_size or (shown and used_bytes > PAGE_BYTES):
                return Page(tuple(shown), paging.token_after(wish, id_of(shown[-1])))
            shown.append(each)
        if end is None:
            return Page(tuple(shown), "")
        if clock() >= ends_at:
            return Page(tuple(shown), paging.token_after(wish, end))
        after = end
