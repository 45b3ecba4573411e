"""The door that every call passes: how many may be inside, whether any may still enter, and how
often a merchant may."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from payment_server.domain.errors import Overloaded, ShuttingDown
from payment_server.limits import Limits

CALLS_LIMIT: Final = 8_192
"""Calls inside at once: what a worker answers within a few seconds. More would only wait, and
each that waits holds memory."""

ITEMS_LIMIT: Final = 8_000
"""Items of batches inside at once, beside the calls. Both together are fewer than may wait for one
statement, so that a batch is refused before any of it is done, or not at all."""


class Gate:
    """A context around a call; raises Overloaded or ShuttingDown instead of letting it in.

    `limits` are asked before it, by the doors that each wire puts in front where there are any.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self._inside = 0
        self._items = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.is_closed = False

    def close(self) -> None:
        """Nobody enters any more; who is inside finishes."""
        self.is_closed = True

    async def emptied(self, limit_seconds: float) -> bool:
        """Whether everybody has left within the limit."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def with_items(self, merchant_id: str, count: int) -> Iterator[None]:
        """A context around what a call does with so many items, each of which counts as a call of
        the merchant; raises Overloaded or RateLimited instead."""
        if self._items + count > ITEMS_LIMIT:
            raise Overloaded(f"{self._items} items of batches are under way")
        if self.limits is not None:
            self.limits.charge(merchant_id, count - 1)  # the call itself was counted
        self._items += count
        try:
            yield
        finally:
            self._items -= count

    def __enter__(self) -> Self:
        if self.is_closed:
            raise ShuttingDown("the service is shutting down; another one may answer")
        if self._inside >= CALLS_LIMIT:
            raise Overloaded(f"{CALLS_LIMIT} calls are under way")
        self._inside += 1
        self._empty.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()
