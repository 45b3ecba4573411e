"""Concurrent calls as one statement.

A call goes in the next turn of the event loop, with all others of this turn. While as many batches
as may be are under way, calls wait together, and go as one when a batch has ended. So nothing ever
waits for a timer, and the busier the service, the less of PostgreSQL each call needs.

Nobody can tell from the answers. A row that fails, fails alone; calls about one subject go one
after the other, in the order in which they came; and a caller that leaves changes nothing for the
others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from payment_server.domain.errors import Overloaded

ROWS_LIMIT: Final = 128
"""In one statement: beyond that a row costs hardly less, and all wait for the last."""

BYTES_LIMIT: Final = 1024 * 1024
"""In one statement, or a single row: about ten milliseconds for PostgreSQL to read."""

BATCHES_LIMIT: Final = 2
"""Of one statement at once: one is made durable while the next is carried out."""

WAITING_LIMIT: Final = 16_384
"""Calls that wait: more than the gate lets in, so they are the service's own by then."""

WAIT_LIMIT_SECONDS: Final = 15.0
"""For callers without a deadline; others leave with theirs."""

Row = tuple[object, ...]
Answer = TypeVar("Answer")


class Gathered(Generic[Answer]):
    """The calls of one statement."""

    def __init__(
        self,
        run: Callable[[Sequence[Row]], Awaitable[Sequence[Answer]]],
        *,
        faults_of_rows: tuple[type[Exception], ...],
    ) -> None:
        """`run` carries out a statement with these rows, and answers each. Whatever it raises, all
        of its callers hear; but where it is a fault that one row may have, the rows are tried again
        in two halves, until whose fault it is is known."""
        self._run = run
        self._faults_of_rows = faults_of_rows
        self._ready: deque[_Call[Answer]] = deque()
        self._behind: dict[str, list[_Call[Answer]]] = {}
        """For each subject that is ready or under way: who comes after it."""
        self._batches: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._is_stirred = False

    async def answer(self, row: Row, *, subject: str = "", size_bytes: int = 0) -> Answer:
        """The answer to one row. Rows of one subject are never in the same statement, nor in two
        at once; empty is no subject. Raises Overloaded, and what the statement raises."""
        if self._waiting >= WAITING_LIMIT:
            raise Overloaded(f"{WAITING_LIMIT} calls wait for the database")
        call: _Call[Answer] = _Call(row, subject, size_bytes)
        self._waiting += 1
        if not subject:
            self._ready.append(call)
        elif (line := self._behind.get(subject)) is not None:
            line.append(call)
        else:
            self._behind[subject] = []
            self._ready.append(call)
        self._stir()
        return await call.answer

    def _stir(self) -> None:
        """Starts what may start once this turn of the loop is over, and everybody has come."""
        if not self._is_stirred:
            self._is_stirred = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_stirred = False
        while self._ready and len(self._batches) < BATCHES_LIMIT:
            if batch := self._next():
                task = asyncio.create_task(self._carry_out(batch))
                self._batches.add(task)
                task.add_done_callback(self._ended)

    def _next(self) -> "list[_Call[Answer]]":
        """Takes the next batch, ordered by subject, so that two processes cannot wait for each
        other's rows in turn."""
        batch: list[_Call[Answer]] = []
        left_bytes = BYTES_LIMIT
        too_late = asyncio.get_running_loop().time() - WAIT_LIMIT_SECONDS
        while self._ready and len(batch) < ROWS_LIMIT:
            call = self._ready[0]
            if batch and call.size_bytes > left_bytes:
                break
            self._ready.popleft()
            self._waiting -= 1
            if call.came_at < too_late:
                call.fail(Overloaded("the database was busy for too long"))
            if call.answer.done():  # too late, or its caller has left
                self._free(call)
                continue
            left_bytes -= call.size_bytes
            batch.append(call)
        batch.sort(key=lambda each: each.subject)
        return batch

    async def _carry_out(self, batch: "Sequence[_Call[Answer]]") -> None:
        try:
            await self._settle(batch)
        finally:
            for call in batch:
                call.answer.cancel()  # nothing, unless the service itself has ended
                self._free(call)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._start()

    async def _settle(self, batch: "Sequence[_Call[Answer]]") -> None:
        try:
            answers = await self._run([call.row for call in batch])
        except self._faults_of_rows as fault:
            if len(batch) == 1:
                batch[0].fail(fault)
                return
            half = len(batch) // 2
            await self._settle(batch[:half])
            await self._settle(batch[half:])
        except Exception as error:
            for call in batch:
                call.fail(error)
        else:
            for call, answer in zip(batch, answers, strict=True):
                if not call.answer.done():
                    call.answer.set_result(answer)

    def _free(self, call: "_Call[Answer]") -> None:
        """Who comes after it about the same subject is ready."""
        if not call.subject:
            return
        line = self._behind[call.subject]
        if line:
            self._ready.append(line.pop(0))
        else:
            del self._behind[call.subject]


class _Call(Generic[Answer]):
    """A row, and whoever waits for its answer."""

    __slots__ = ("answer", "came_at", "row", "size_bytes", "subject")

    def __init__(self, row: Row, subject: str, size_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self.row = row
        self.subject = subject
        self.size_bytes = size_bytes
        self.came_at = loop.time()
        self.answer: asyncio.Future[Answer] = loop.create_future()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
