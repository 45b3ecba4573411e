"""What a caller iterates over: lists, fetched a page at a time, and watches."""

from collections.abc import Iterator
from threading import RLock
from types import TracebackType
from typing import Generic, Self

from payment_client._calls import ItemT, PageCall, PageT
from payment_client._errors import PaymentError
from payment_client._sync.connection import Connection, Stream
from payment_client._types import Event, EventPage, Page, Payment, Refund, RefundPage
from payment_client._watch import WaitingClock, Watch, cut_off


class Pager(Generic[PageT, ItemT]):
    """What a list has over all its pages; each iteration starts anew at the first page.

    A page is fetched when it is needed.
    """

    def __init__(self, connection: Connection, first: PageCall[PageT, ItemT]) -> None:
        self._connection = connection
        self._first = first

    def __iter__(self) -> Iterator[ItemT]:
        for page in self.pages():
            yield from self._first.items(page)

    def pages(self) -> Iterator[PageT]:
        """The same, a page at a time; there is always one, which may be empty."""
        call: PageCall[PageT, ItemT] | None = self._first
        while call is not None:
            page = self._connection.send(call)
            yield page
            call = call.after(page)


class PaymentPager(Pager[Page, Payment]):
    """Payments, newest first; iterating raises what `Payments.list` says."""


class RefundPager(Pager[RefundPage, Refund]):
    """Refunds of a payment, newest first; iterating raises what `Payments.refunds` says."""


class EventPager(Pager[EventPage, Event]):
    """Events of a payment, oldest first; iterating raises what `Payments.events` says."""


class PaymentWatcher:
    """Events as they happen, until it is closed; `Payments.watch` says what it raises.

    As a context manager it waits on entering until the service watches, so that nothing that
    happens inside is missed. One thread iterates; any may `close`, which ends the iteration.
    A watcher that has raised an error is closed.
    """

    def __init__(self, connection: Connection, watch: Watch) -> None:
        self._connection = connection
        self._watch = watch
        self._waited = WaitingClock()
        self._stream: Stream | None = None
        self._ahead: Event | None = None
        self._is_closed = False
        self._end = connection.new_end()
        self._opening = RLock()  # a signal handler of the reading thread may close

    @property
    def cursor(self) -> str:
        """Where a later watch goes on behind what this one gave out; empty before it has begun."""
        return self._watch.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        with self._waited:
            while not self._is_closed:
                event, self._ahead = self._ahead or self._step(), None
                if event is not None:
                    return event
        raise StopIteration

    def close(self) -> None:
        """Ends the watch, also for a thread that waits in it. May be repeated."""
        self._is_closed = True
        self._end.set()
        self._drop_stream()

    def __enter__(self) -> Self:
        with self._waited:
            while not (self._watch.has_begun or self._is_closed):
                self._ahead = self._step()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _step(self) -> Event | None:
        """One answer, or one failure and the pause after it."""
        if self._connection.is_closed:
            self.close()
            raise cut_off(self._watch.first_call)
        try:
            stream = self._opened()
            if stream is None:
                return None
            answer = stream.read(self._watch.silence_limit_seconds(self._waited.now()))
            return self._watch.hand_over(answer, self._waited.now())
        except PaymentError as failure:
            self._drop_stream()
            if self._is_closed:
                return None
            pause_seconds = self._watch.pause_after(failure, self._waited.now())
            if pause_seconds is None:
                self.close()
                if (told := self._watch.told(failure)) is not failure:
                    raise told from failure
                raise
        except BaseException:
            # Such as KeyboardInterrupt in the middle of a read, after which grpcio's stream is of
            # no use; the next step begins another one, behind the cursor.
            self._drop_stream()
            raise
        self._end.wait(pause_seconds)
        return None

    def _opened(self) -> Stream | None:
        """The stream, a new one where there is none; None when the watcher is closed."""
        with self._opening:  # so that `close` meets either no stream or one that it cancels
            if self._stream is None and not self._is_closed:
                self._stream = self._connection.open(self._watch.next_call(self._waited.now()))
            return self._stream

    def _drop_stream(self) -> None:
        with self._opening:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
