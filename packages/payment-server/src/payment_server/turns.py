"""How changes of one payment keep out of each other's way: in this process they are decided one
after the other, and with other processes they pause for a random time and decide anew."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

TURN_LIMIT_SECONDS: Final = 10.0
"""For whoever waits behind other changes of the same payment: some thousand of them."""

ROUND_PAUSE_SECONDS: Final = 0.004
ROUND_PAUSE_LIMIT_SECONDS: Final = 0.2
"""Between rounds, a random part of a doubling pause: whoever collided does not do so in step."""


class Turns:
    """Of those who decide on one version at once all but one do so in vain, so nobody does."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, merchant_id: str, payment_id: str) -> AsyncIterator[None]:
        """Nobody else has a turn of the payment meanwhile. Raises TimeoutError before it begins."""
        name = (merchant_id, payment_id)
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with asyncio.timeout(TURN_LIMIT_SECONDS):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()


async def pause_after(round_: int) -> None:
    """Before the next round; `round_` is the number of the last, from 0 on."""
    longest = min(ROUND_PAUSE_SECONDS * 2**round_, ROUND_PAUSE_LIMIT_SECONDS)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret depends on it
