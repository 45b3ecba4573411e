"""Work that goes on to its end when its caller leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Tasks:
    """The tasks of one owner, who ends them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begins with the loop's next turn."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return task

    async def result(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Of work that no cancellation of its caller stops."""
        return await asyncio.shield(self.start(work))

    async def ended(self, limit_seconds: float) -> None:
        """Waits for all of them, as long as that."""
        if self._running:
            await asyncio.wait(self._running, timeout=limit_seconds)

    async def cancel(self) -> None:
        """Ends all of them now."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # its caller is told, or gone
