"""Hints between processes, through Redis: whose payments have changed, so that those who watch them
elsewhere need not wait until the next look at the database.

A hint says where to look and never what is there. It may be lost, late or repeated: watchers then
hear of a change when they would have heard of it without Redis.
"""

import asyncio
from contextlib import aclosing
from typing import Final

from payment_server.cache import Cache, RedisAway
from payment_server.domain import ids
from payment_server.watching import HINTS_PAUSE_SECONDS, LOOK_PAUSE_SECONDS, Watching

MERCHANTS_LIMIT: Final = 1_000
"""Of one message, 64 KiB at most. Under such a load the others look as often as they may anyway."""

RESUME_PAUSE_SECONDS: Final = 1.0  # before a subscription that was lost is tried again


class Hints:
    """Tells of this process's changes, and hears of those of others while anybody watches here.

    `publish` and `listen` have to be called again and again.
    """

    def __init__(self, cache: Cache, watching: Watching) -> None:
        self._cache = cache
        self._watching = watching
        self._sender = ids.new_id()
        self._changed: set[str] = set()
        self._is_changed = asyncio.Event()

    def changed(self, merchant_id: str) -> None:
        """A payment of the merchant has changed here. Waits for nothing, and while Redis is away
        only those hear of it who watch here."""
        self._watching.hint(merchant_id)
        if self._cache.is_up and len(self._changed) < MERCHANTS_LIMIT:
            self._changed.add(merchant_id)
            self._is_changed.set()

    async def publish(self) -> None:
        """Tells of what has changed, and then pauses, for as long as one look serves many hints."""
        await self._is_changed.wait()
        self._is_changed.clear()
        changed, self._changed = self._changed, set()
        try:
            listeners = await self._cache.publish(" ".join((self._sender, *changed)))
        except RedisAway:
            return
        # Nobody misses much of what nobody hears: a watcher that comes has the look of its own.
        await asyncio.sleep(HINTS_PAUSE_SECONDS if listeners else LOOK_PAUSE_SECONDS)

    async def listen(self) -> None:
        """Hears of what others have changed, until nobody watches or Redis is away."""
        await self._watching.watched()
        try:
            async with aclosing(self._cache.published()) as published:
                async for text in published:
                    sender, *merchants = text.split(" ")
                    if sender != self._sender:
                        self._hear(merchants)
                    if not self._watching.is_watched:
                        return
        except RedisAway:
            pass  # looks go on without hints

    def _hear(self, merchants: list[str]) -> None:
        for merchant_id in merchants:
            self._watching.hint(merchant_id)
