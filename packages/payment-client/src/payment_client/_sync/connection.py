"""One channel to the service: single calls, and streams whose every silence has a limit."""

import math
import os
import time
from collections.abc import Callable
from threading import Condition, RLock, Thread
from threading import Event as Flag
from typing import TYPE_CHECKING
from weakref import WeakSet

import grpc

from payment.v1 import payment_pb2 as pb
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import _watch
from payment_client._calls import AnswerT, Call, RequestT, ValueT, WatchCall
from payment_client._channel import credentials_of, options_of, use_in_this_process
from payment_client._failure import failed_attempt
from payment_client._policy import Attempts, Budget
from payment_client._settings import CLOSED, FORKED, Settings
from payment_client._types import Watched

if TYPE_CHECKING:  # the type has no name at run time
    from grpc import _CallIterator


class Connection:
    """One channel, opened by the first call: it belongs to the process that opens it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = Budget()
        self._channel: grpc.Channel | None = None
        self._stub: PaymentServiceStub | None = None
        self._process_id = 0
        self._changing = RLock()  # a signal's handler may close what the same thread is opening
        self._ends = WeakSet[Flag]()
        self._end = Flag()

    @property
    def is_closed(self) -> bool:
        return self._end.is_set()

    def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        """The value of one call; its PaymentError where it fails for good."""
        terms, now = call.terms, time.monotonic
        attempts = Attempts(terms, self._budget, now())
        rpc: grpc.UnaryUnaryMultiCallable[RequestT, AnswerT] = getattr(self._opened(), call.rpc)
        while True:
            limit_seconds = attempts.next_limit_seconds(now())
            try:
                answer, sent = rpc.with_call(
                    call.request, timeout=limit_seconds, metadata=terms.metadata
                )
            except grpc.RpcError as failure:
                pause_seconds = attempts.pause_after(failed_attempt(terms, failure), now())
                if pause_seconds is None or self._end.wait(pause_seconds):
                    raise attempts.told() from failure
            except ValueError:
                # So grpcio says that another thread closed the channel just before the call left.
                if not self.is_closed:
                    raise
                raise attempts.told_or(RuntimeError(CLOSED)) from None
            else:
                attempts.succeeded()
                return call.value(answer, sent.trailing_metadata(), in_doubt=attempts.is_in_doubt)

    def new_end(self) -> Flag:
        """The end of a new watch: a flag that is set when the client is closed, or before."""
        with self._changing:
            if self.is_closed:
                raise RuntimeError(CLOSED)
            end = Flag()
            self._ends.add(end)
            return end

    def open(self, call: WatchCall) -> "Stream":
        """A stream of answers; it does not wait for any."""
        stub = self._opened()
        try:
            answers = stub.WatchPayments(call.request, metadata=call.terms.metadata)
        except ValueError:  # as above
            if not self.is_closed:
                raise
            raise _watch.cut_off(call) from None
        return Stream(call, answers)

    def close(self) -> None:
        with self._changing:
            self._end.set()
            ends = list(self._ends)
        if self._channel is not None:
            self._channel.close()
        for end in ends:
            end.set()

    def _opened(self) -> PaymentServiceStub:
        if self._end.is_set():
            raise RuntimeError(CLOSED)
        if self._process_id not in (0, os.getpid()):
            raise RuntimeError(FORKED)
        return self._stub or self._new_stub()

    def _new_stub(self) -> PaymentServiceStub:
        with self._changing:
            if self.is_closed:
                raise RuntimeError(CLOSED)
            if self._stub is None:  # no other thread was faster
                self._process_id = use_in_this_process()
                self._channel = _channel_of(self._settings)
                if self._end.is_set():  # by a signal's handler, meanwhile
                    self._channel.close()
                    raise RuntimeError(CLOSED)
                self._stub = PaymentServiceStub(self._channel)
            return self._stub


def _channel_of(settings: Settings) -> grpc.Channel:
    options, credentials = options_of(settings), credentials_of(settings)
    if credentials is None:
        return grpc.insecure_channel(settings.target, options)
    return grpc.secure_channel(settings.target, credentials, options)


class Stream:
    """One server stream. One thread reads; any may cancel."""

    def __init__(self, call: WatchCall, answers: "_CallIterator[pb.WatchPaymentsResponse]") -> None:
        self._call = call
        self._answers = answers
        self._guard = _Guard(answers.cancel)
        if not answers.add_callback(self._guard.end):
            self._guard.end()  # it has ended by now

    def read(self, limit_seconds: float) -> Watched:
        """The next answer; PaymentError where the stream ends, or says nothing for so long."""
        self._guard.expect_within(limit_seconds)
        try:
            return self._call.value(next(self._answers), ())
        except StopIteration:
            raise _watch.early_end(self._call) from None
        except grpc.RpcError as failure:
            if self._guard.has_cancelled:
                raise _watch.silence(self._call) from failure
            raise failed_attempt(self._call.terms, failure).error from failure
        finally:
            self._guard.expect_within(math.inf)

    def cancel(self) -> None:
        """Ends the stream, also for a thread that waits for it. May be repeated."""
        self._answers.cancel()

    def __del__(self) -> None:
        self.cancel()


class _Guard:
    """A thread that cancels a stream whose reader waits for too long: grpcio's waits have no limit.

    It ends with the stream. It sleeps until the time is up that it knows of, and only then looks
    whether there is more: a reader wakes it where it would sleep for too long, and not with every
    answer.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel
        self._changed = Condition()
        self._silent_at = math.inf
        self._sleeps_until = math.inf
        self._has_ended = False
        self.has_cancelled = False
        Thread(target=self._run, name="payment-watch-guard", daemon=True).start()

    def expect_within(self, limit_seconds: float) -> None:
        """An answer is due so soon; infinity: nobody waits for one."""
        with self._changed:
            self._silent_at = time.monotonic() + limit_seconds
            if self._silent_at < self._sleeps_until:
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._has_ended:
                left_seconds = self._silent_at - time.monotonic()
                if left_seconds <= 0:
                    self.has_cancelled = True
                    break
                self._sleeps_until = self._silent_at
                self._changed.wait(None if math.isinf(left_seconds) else left_seconds)
        if self.has_cancelled:  # outside the lock: grpcio has locks of its own
            self._cancel()
