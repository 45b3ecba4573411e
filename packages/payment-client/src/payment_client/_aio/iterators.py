"""What a caller iterates over: lists, fetched a page at a time, and watches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Self

from payment_client._aio.connection import Connection, Stream
from payment_client._calls import ItemT, PageCall, PageT
from payment_client._errors import PaymentError
from payment_client._types import Event, EventPage, Page, Payment, Refund, RefundPage
from payment_client._watch import WaitingClock, Watch, cut_off


class AsyncPager(Generic[PageT, ItemT]):
    """The asyncio twin of `Pager`: `async for`."""

    def __init__(self, connection: Connection, first: PageCall[PageT, ItemT]) -> None:
        self._connection = connection
        self._first = first

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            for item in self._first.items(page):
                yield item

    async def pages(self) -> AsyncIterator[PageT]:
        """The same, a page at a time; there is always one, which may be empty."""
        call: PageCall[PageT, ItemT] | None = self._first
        while call is not None:
            page = await self._connection.send(call)
            yield page
            call = call.after(page)


class AsyncPaymentPager(AsyncPager[Page, Payment]):
    """The asyncio twin of `PaymentPager`."""


class AsyncRefundPager(AsyncPager[RefundPage, Refund]):
    """The asyncio twin of `RefundPager`."""


class AsyncEventPager(AsyncPager[EventPage, Event]):
    """The asyncio twin of `EventPager`."""


class AsyncPaymentWatcher:
    """The asyncio twin of `PaymentWatcher`: one task iterates, any of its loop may close.

    A wait that is cancelled or timed out loses nothing: the next one goes on where it was.
    """

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch
        self._waited = WaitingClock()
        self._stream: Stream | None = None
        self._ahead: Event | None = None
        self._is_closed = False
        self._end = connection.new_end()

    @property
    def cursor(self) -> str:
        """Where a later watch goes on behind what this one gave out; empty before it has begun."""
        return self._watch.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        with self._waited:
            while not self._is_closed:
                event, self._ahead = self._ahead or await self._step(), None
                if event is not None:
                    return event
        raise StopAsyncIteration

    async def close(self) -> None:
        """Ends the watch, also for a task that waits in it. May be repeated."""
        self._close()

    async def __aenter__(self) -> Self:
        with self._waited:
            while not (self._watch.has_begun or self._is_closed):
                self._ahead = await self._step()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    async def _step(self) -> Event | None:
        """One answer, or one failure and the pause after it."""
        if self._connection.is_closed:
            self._close()
            raise cut_off(self._watch.first_call)
        try:
            stream = self._opened()
            answer = await stream.read(self._watch.silence_limit_seconds(self._waited.now()))
            return self._watch.hand_over(answer, self._waited.now())
        except PaymentError as failure:
            self._drop_stream()
            if self._is_closed:
                return None
            pause_seconds = self._watch.pause_after(failure, self._waited.now())
            if pause_seconds is None:
                self._close()
                if (told := self._watch.told(failure)) is not failure:
                    raise told from failure
                raise
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_seconds):
                await self._end.wait()
        return None

    def _opened(self) -> Stream:
        """The stream, a new one where there is none."""
        if self._stream is None:
            self._stream = self._connection.open(self._watch.next_call(self._waited.now()))
        return self._stream

    def _drop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()

    def _close(self) -> None:
        self._is_closed = True
        self._end.set()
        self._drop_stream()
