"""Concurrent calls as one statement.

A call goes with all others that come in the same turns of the event loop, as soon as a few turns
bring no more; an idle loop turns at once. While batches are under way, calls wait together, and go
as one when a batch has ended. So nothing waits for a timer, and the busier the service, the less of
PostgreSQL each call needs.

A row that the statement refuses, fails alone; what befalls the connection befalls the batch. Calls
about one subject go one after the other, as they came; and a caller that leaves changes nothing for
the others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Generic, TypeVar

from payment_server.domain.errors import Overloaded

ROWS_LIMIT: Final = 128
"""In one statement: beyond that a row costs hardly less, and all wait for the last."""

BYTES_LIMIT: Final = 1024 * 1024
"""In one statement, or a single row: about ten milliseconds for PostgreSQL to read."""

BATCHES_LIMIT: Final = 2
"""Of one statement at once: one is made durable while the next is carried out."""

SLOW_SECONDS: Final = 0.1
"""A batch that takes longer is held up, by a lock or a frozen server, and counts no more: others
must not wait for it."""

SLOW_BATCHES_LIMIT: Final = 8
"""At once, the slow ones among them; each has a connection."""

CALLERS_LIMIT: Final = 16_384
"""More than the gate lets in, and a batch's worth of the service's own."""

QUIET_TURNS: Final = 48
"""Turns of the loop that bring no call, after which those that have come go; fewer for callers that
come in groups. A lone call loses some tens of microseconds."""

GATHERING_SECONDS: Final = 0.02
"""Longer than that nobody waits for others, however busy the loop is: what it takes grpcio to hand
over some eighty calls."""

WAIT_LIMIT_SECONDS: Final = 15.0
"""Who has waited longer when a batch is formed is not sent; callers with deadlines leave before."""

Row = tuple[object, ...]
Reply = TypeVar("Reply")


class Gathered(Generic[Reply]):
    """The calls of one statement."""

    def __init__(
        self,
        run: Callable[[Callable[[], Sequence[Row]]], Awaitable[Sequence[Reply]]],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        *,
        faults_of_rows: tuple[type[Exception], ...],
        quiet_turns: int = QUIET_TURNS,
    ) -> None:
        """`run` asks for the rows when it can send them, and answers each; there may be none left
        by then. What it raises, all of their callers hear; but where it is a fault that a row may
        have, and nothing was changed, the rows are tried again in halves until the row is found.
        `start` makes the task of a batch, which nobody may cancel."""
        self._loop = asyncio.get_running_loop()  # asked for once: it is asked by a system call
        self._run = run
        self._start_task = start
        self._faults_of_rows = faults_of_rows
        self._quiet_turns_limit = quiet_turns
        self._ready: deque[_Call[Reply]] = deque()
        self._lines: dict[str, deque[_Call[Reply]]] = {}
        """For each subject that is ready or under way: who comes after it."""
        self._began: dict[asyncio.Task[None], float] = {}
        """The batches under way, and since when."""
        self._callers = 0
        self._is_starting = False
        self._counted = 0
        """Of those that are ready, who had come when the last turn of the loop ended."""
        self._quiet_turns = 0
        self._goes_at = 0.0

    async def reply(self, row: Row, *, subject: str | None = None, size_bytes: int = 0) -> Reply:
        """The reply to one row. Rows of one subject are never in the same statement, nor in two
        at once. Raises Overloaded, and what the statement raises."""
        self._refuse_beyond_limit(1)
        call = self._posted(row, subject, size_bytes)
        try:
            return await call.outcome
        finally:
            self._forget(call)

    async def replies(self, rows: Sequence[tuple[Row, str | None, int]]) -> list[Reply | Exception]:
        """The replies to many rows of one caller, each with its subject and size, in their order;
        what `reply` would have raised for a row is in its place. Raises Overloaded."""
        self._refuse_beyond_limit(len(rows))
        calls = [self._posted(*each) for each in rows]
        try:
            for call in calls:
                with suppress(Exception):  # which is told in its place
                    await call.outcome
            return [call.reply_or_fault() for call in calls]
        finally:
            for call in calls:
                call.leave()
                self._forget(call)

    def _refuse_beyond_limit(self, count: int) -> None:
        if self._callers + count > CALLERS_LIMIT:
            raise Overloaded(f"{self._callers} callers wait for one statement")

    def _posted(self, row: Row, subject: str | None, size_bytes: int) -> "_Call[Reply]":
        call: _Call[Reply] = _Call(row, subject, size_bytes, self._loop)
        if subject is None:
            self._ready.append(call)
        elif (line := self._lines.get(subject)) is not None:
            line.append(call)
        else:
            self._lines[subject] = deque()
            self._ready.append(call)
        self._start_soon()
        self._callers += 1
        return call

    def _forget(self, call: "_Call[Reply]") -> None:
        self._callers -= 1
        call.row = ()  # it may stay in a line for a while

    def _start_soon(self) -> None:
        """Once this turn of the loop is over, and everybody has come."""
        if not self._is_starting:
            self._is_starting = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        self._is_starting = False
        now = self._loop.time()
        slow = now - SLOW_SECONDS
        quick = sum(began > slow for began in self._began.values())
        if not self._ready or quick >= BATCHES_LIMIT or len(self._began) >= SLOW_BATCHES_LIMIT:
            return
        if self._more_may_come(now):
            self._start_soon()
            return
        task = self._start_task(self._carry_out())
        self._began[task] = now
        task.add_done_callback(self._ended)
        self._loop.call_later(SLOW_SECONDS, self._start_soon)

    def _more_may_come(self, now: float) -> bool:
        """Whether the loop is busy with calls: its last turns brought some."""
        count = len(self._ready)
        if not self._counted:
            self._goes_at = now + GATHERING_SECONDS
        self._quiet_turns = 0 if count > self._counted else self._quiet_turns + 1
        self._counted = count
        return (
            self._quiet_turns < self._quiet_turns_limit
            and count < ROWS_LIMIT
            and now < self._goes_at
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._began[task]
        self._start_soon()

    async def _carry_out(self) -> None:
        batch: list[_Call[Reply]] = []
        try:
            await self._settle(batch, partial(self._form, batch))
        except Exception as error:
            if not batch:  # it never came to that
                self._form(batch)
            for call in batch:
                call.fail(error)
        finally:
            for call in batch:
                self._let_next(call)

    async def _settle(self, calls: "list[_Call[Reply]]", rows: Callable[[], Sequence[Row]]) -> None:
        """Sends the rows, and where one of them is at fault, halves of them. Raises what is no
        row's fault, which ends the search."""
        try:
            replies = await self._run(rows)
            for call, reply in zip(calls, replies, strict=True):
                call.succeed(reply)
        except self._faults_of_rows as fault:
            if len(calls) == 1:
                calls[0].fail(fault)
                return
            half = len(calls) // 2
            for part in (calls[:half], calls[half:]):
                if waiting := [call for call in part if not call.outcome.done()]:
                    # Their rows as of now: whoever leaves meanwhile takes the row along.
                    await self._settle(waiting, _rows_of(waiting).copy)

    def _form(self, batch: "list[_Call[Reply]]") -> list[Row]:
        batch += self._next()
        self._counted = 0
        if self._ready:  # more than fits
            self._start_soon()
        return _rows_of(batch)

    def _next(self) -> "list[_Call[Reply]]":
        """The next batch, without those who have left or come too late.

        Ordered by subject: rows take their locks in this order, so that two processes do not wait
        for each other in turn.
        """
        batch: list[_Call[Reply]] = []
        left_bytes = BYTES_LIMIT
        too_late = self._loop.time() - WAIT_LIMIT_SECONDS
        while self._ready and len(batch) < ROWS_LIMIT:
            call = self._ready[0]
            if batch and call.size_bytes > left_bytes:
                break
            self._ready.popleft()
            if not call.is_wanted(too_late):
                self._let_next(call)
                continue
            left_bytes -= call.size_bytes
            batch.append(call)
        return sorted(batch, key=lambda call: call.subject or "")

    def _let_next(self, call: "_Call[Reply]") -> None:
        """Who comes after it about the same subject is ready."""
        if call.subject is None:
            return
        line = self._lines[call.subject]
        if line:
            self._ready.append(line.popleft())
        else:
            del self._lines[call.subject]


def _rows_of(calls: "Sequence[_Call[Reply]]") -> list[Row]:
    return [call.row for call in calls]


class _Call(Generic[Reply]):
    """A row, and what becomes of it for whoever waits."""

    __slots__ = ("came_at", "outcome", "row", "size_bytes", "subject")

    def __init__(
        self, row: Row, subject: str | None, size_bytes: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.row = row
        self.subject = subject
        self.size_bytes = size_bytes
        self.came_at = loop.time()
        self.outcome: asyncio.Future[Reply] = loop.create_future()

    def is_wanted(self, too_late: float) -> bool:
        if self.came_at < too_late:
            self.fail(Overloaded("the database was busy for too long"))
        return not self.outcome.done()

    def succeed(self, reply: Reply) -> None:
        if not self.outcome.done():
            self.outcome.set_result(reply)

    def reply_or_fault(self) -> Reply | Exception:
        fault = self.outcome.exception()
        return fault if isinstance(fault, Exception) else self.outcome.result()

    def leave(self) -> None:
        """Nobody waits any more. What has failed counts as heard, or the loop would complain."""
        if not (self.outcome.cancel() or self.outcome.cancelled()):
            self.outcome.exception()

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
