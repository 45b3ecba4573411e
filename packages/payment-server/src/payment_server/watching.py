"""Watching: the events of a merchant, a customer or a payment, told to watchers as they come.

A watcher reads pages behind its own position, and only when there is something to read: one look
at the database, for all merchants that are watched, finds what has come and wakes those whom it
concerns. So a thousand watchers who wait cost as much as one. Nothing here is remembered between
watches; a cursor says it all.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from uuid import UUID

import msgspec

from payment_server.domain import ids
from payment_server.domain.commands import WatchPayments
from payment_server.domain.errors import (
    CursorExpired,
    DatabaseUnavailable,
    Overloaded,
    PaymentNotFound,
    ShuttingDown,
)
from payment_server.domain.events import BEGINNING, Event, Position, cursor_of, read_cursor
from payment_server.store import events, payments
from payment_server.store.database import Database

WATCHERS_LIMIT: Final = 1_024
"""In one process. Each holds a page at most, so that all of them fit beside the calls."""

PAGE_ROWS: Final = 100
"""About 100 KiB of snapshots, 3 MiB of the largest; by then a statement's fixed costs are small
beside its rows'."""

READS_LIMIT: Final = 2
"""Watchers that read at once. The connections belong to those who pay; watchers can wait."""

LOOK_PAUSE_SECONDS: Final = 0.2
"""Between looks for what other processes wrote; a change of our own hints at itself."""

HINTS_PAUSE_SECONDS: Final = 0.02
"""At least so long between looks: under load one look finds what many hints were for."""

ARRIVALS_LIMIT: Final = 5_000
"""Rows of one look, shared by the merchants that are watched: less than 1 MiB."""

IDLE_SECONDS: Final = 15.0
"""A watcher hears something this often, so that a dead line is told from a quiet one."""

SIGHT_LIMIT_SECONDS: Final = 10.0
"""For so long a look may fail before an idle answer would be a lie: longer than a database's
restart, shorter than the pause between idle answers."""

TAKE_LIMIT_SECONDS: Final = 10.0
"""How long a watcher may leave an answer untaken: longer than a network hiccup, and a watcher that
is dropped loses nothing, for it goes on behind its cursor."""


_Subject = tuple[str, str]
"""What somebody watches of a merchant: a payment, or a customer, or neither."""
_ALL: Final = ("", "")


class Watched(msgspec.Struct, frozen=True):
    """An event and the cursor behind it, or only how far the stream has come."""

    cursor: str
    event: Event | None = None


class Watching:
    """Lets callers watch, until `close`. `look` has to be called again and again beside it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._audiences: dict[str, _Audience] = {}
        self._places = WATCHERS_LIMIT
        self._reads = asyncio.Semaphore(READS_LIMIT)
        self._is_watched, self._is_hinted = asyncio.Event(), asyncio.Event()
        self._looked_at = 0.0
        self._closed = False

    def hint(self, merchant_id: str) -> None:
        """A payment of the merchant has changed; who watches need not wait for the next look."""
        if merchant_id in self._audiences:
            self._is_hinted.set()

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches anything."""
        return self._is_watched.is_set()

    async def watched(self) -> None:
        """Waits until somebody watches."""
        await self._is_watched.wait()

    def close(self) -> None:
        """Ends every watch, at once, with ShuttingDown."""
        self._closed = True
        for audience in self._audiences.values():
            audience.stir_all()

    async def watch(self, merchant_id: str, wish: WatchPayments) -> AsyncGenerator[Watched, None]:
        """What happens, from the wish's cursor, from the beginning, or from now on.

        The first answer only has the cursor; one without an event comes every IDLE_SECONDS.
        Whoever leaves early closes the generator, which frees everything at once.
        Raises before the first answer InvalidRequest, PaymentNotFound, CursorExpired; at any time
        Overloaded, ShuttingDown, DatabaseUnavailable.
        """
        clock = asyncio.get_running_loop().time
        with self._place():
            watcher, tail = await self._opened(merchant_id, wish)
            with self._admitted(watcher, tail) as audience:
                yield watcher.told()
                told_at = clock()
                while True:
                    watcher.stirred.clear()
                    stretch = await self._read(watcher)
                    for entry in stretch.entries:
                        self._refuse_if_closed()
                        yield watcher.told(entry)
                        told_at = clock()
                    watcher.position = max(watcher.position, stretch.end)
                    if await self._has_more(watcher, audience, stretch, told_at + IDLE_SECONDS):
                        continue
                    yield watcher.told()
                    told_at = clock()

    async def look(self) -> None:
        """Wakes whom it concerns that something has come; waits first until that may be so."""
        await self._is_watched.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_PAUSE_SECONDS):
                await self._is_hinted.wait()
        self._is_hinted.clear()
        if not self._audiences:
            return
        seen = {merchant: audience.tail for merchant, audience in self._audiences.items()}
        limit = max(1, ARRIVALS_LIMIT // len(seen))
        arrivals = defaultdict(list)
        for each in await events.arrivals(self._database, seen, limit=limit):
            arrivals[each.merchant_id].append(each)
        for merchant_id, come in arrivals.items():
            if (audience := self._audiences.get(merchant_id)) is not None:
                audience.hear(come)
            if len(come) == limit:
                self._is_hinted.set()  # there is more
        self._looked_at = asyncio.get_running_loop().time()

    async def _opened(self, merchant_id: str, wish: WatchPayments) -> "tuple[_Watcher, Position]":
        """The watcher, and where the merchant's stream ends by now."""
        self._refuse_if_closed()
        database, position = read_cursor(wish.cursor) if wish.cursor else (None, BEGINNING)
        standing = await events.standing(self._database, merchant_id, position)
        if database not in (None, standing.database) or not standing.has_position:
            raise CursorExpired
        if not wish.cursor and not wish.from_beginning:
            position = standing.last
        watcher = _Watcher(merchant_id, wish, standing.database, position)
        if wish.payment_id:
            watcher.payment_id = await self._existing(merchant_id, wish.payment_id)
            watcher.version = await events.version_at(
                self._database, merchant_id, watcher.payment_id, position
            )
        return watcher, standing.last

    async def _existing(self, merchant_id: str, payment_id: str) -> str:
        known = ids.canonical(payment_id)
        if known is None or await payments.get(self._database, merchant_id, known) is None:
            raise PaymentNotFound(payment_id)
        return known

    async def _has_more(
        self, watcher: "_Watcher", audience: "_Audience", stretch: events.Stretch, idle_at: float
    ) -> bool:
        """Waits until there may be more to read; False when it is time to say that there is not."""
        self._refuse_if_closed()
        if stretch.is_full:
            return asyncio.get_running_loop().time() < idle_at
        if await watcher.is_stirred_before(idle_at):
            self._refuse_if_closed()
            return True
        self._refuse_if_blind()
        # What came since the last read concerns others: this one would have been stirred.
        watcher.position = max(watcher.position, audience.tail)
        return False

    async def _read(self, watcher: "_Watcher") -> events.Stretch:
        async with self._reads:
            if not watcher.payment_id:
                return await events.stretch(
                    self._database,
                    watcher.merchant_id,
                    watcher.position,
                    customer_id=watcher.customer_id,
                    limit=PAGE_ROWS,
                )
            entries = await events.stretch_of_payment(
                self._database,
                watcher.merchant_id,
                watcher.payment_id,
                after_version=watcher.version,
                limit=PAGE_ROWS,
            )
            end = entries[-1].position if entries else watcher.position
            return events.Stretch(entries, end, is_full=len(entries) == PAGE_ROWS)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._places == 0:
            raise Overloaded(f"{WATCHERS_LIMIT} watchers are served")
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    @contextmanager
    def _admitted(self, watcher: "_Watcher", tail: Position) -> "Iterator[_Audience]":
        """From here on the watcher is stirred by what concerns it; so it reads only after this."""
        audience = self._audiences.setdefault(watcher.merchant_id, _Audience(tail))
        audience.admit(watcher)
        if not self._is_watched.is_set():
            self._looked_at = asyncio.get_running_loop().time()
        self._is_watched.set()
        try:
            yield audience
        finally:
            audience.dismiss(watcher)
            if audience.is_empty:
                del self._audiences[watcher.merchant_id]
            if not self._audiences:
                self._is_watched.clear()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ShuttingDown("the service is shutting down; another one may answer")

    def _refuse_if_blind(self) -> None:
        if asyncio.get_running_loop().time() - self._looked_at > SIGHT_LIMIT_SECONDS:
            raise DatabaseUnavailable("the database does not say what has happened")


class _Watcher:
    """Whose events somebody watches, how far they have come, and whether there may be more."""

    def __init__(
        self, merchant_id: str, wish: WatchPayments, database: UUID, position: Position
    ) -> None:
        self.merchant_id = merchant_id
        self.customer_id = wish.customer_id
        self.payment_id = ""
        self.version = 0
        """Of the payment that is watched, at the position."""
        self.position = position
        self.stirred = asyncio.Event()
        self._database = database

    def told(self, entry: events.Entry | None = None) -> Watched:
        if entry is None:
            return Watched(cursor_of(self._database, self.position))
        self.version = entry.event.payment.version
        return Watched(cursor_of(self._database, entry.position), entry.event)

    async def is_stirred_before(self, moment: float) -> bool:
        """`moment` is of the loop's clock."""
        try:
            async with asyncio.timeout_at(moment):
                return await self.stirred.wait()
        except TimeoutError:
            # The time may have ended the wait in the very turn of the loop in which it was stirred.
            return self.stirred.is_set()


class _Audience:
    """Those who watch one merchant. What came up to `tail` they were stirred for."""

    def __init__(self, tail: Position) -> None:
        self.tail = tail
        self._watchers: defaultdict[_Subject, set[_Watcher]] = defaultdict(set)

    @property
    def is_empty(self) -> bool:
        return not self._watchers

    def admit(self, watcher: _Watcher) -> None:
        self._watchers[_subject_of(watcher)].add(watcher)

    def dismiss(self, watcher: _Watcher) -> None:
        subject = _subject_of(watcher)
        self._watchers[subject].discard(watcher)
        if not self._watchers[subject]:
            del self._watchers[subject]

    def hear(self, arrivals: Iterable[events.Arrival]) -> None:
        """Stirs those whom the arrivals concern. No pause between that and the new tail."""
        concerned = {_ALL}
        for each in arrivals:
            concerned |= {(each.position.payment_id, ""), ("", each.customer_id)}
            self.tail = max(self.tail, each.position)
        for subject in concerned:
            for watcher in self._watchers.get(subject, ()):
                watcher.stirred.set()

    def stir_all(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.stirred.set()


def _subject_of(watcher: _Watcher) -> _Subject:
    return watcher.payment_id, watcher.customer_id
