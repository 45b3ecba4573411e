"""One channel to the service: single calls, and streams whose every silence has a limit."""

import math
import time
import weakref
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Final

import grpc

from payment.v1 import payment_pb2 as pb
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import _watch
from payment_client._calls import AnswerT, Call, RequestT, ValueT, WatchCall
from payment_client._policy import after_failure
from payment_client._settings import CHANNEL_OPTIONS, CLOSED, Settings
from payment_client._types import Watched

if TYPE_CHECKING:  # the type has no name at run time
    from grpc import _CallIterator

_GUARD_LOOKS_EVERY_SECONDS: Final = 0.25
"""A silence is noticed so much late at most; to look costs next to nothing."""


class Connection:
    """One channel; it connects by itself when the first call needs it."""

    def __init__(self, settings: Settings) -> None:
        self._channel = grpc.insecure_channel(settings.target, options=CHANNEL_OPTIONS)
        self._stub = PaymentServiceStub(self._channel)
        self.is_closed = False

    def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        """The value of one call; its PaymentError where it fails."""
        if self.is_closed:
            raise RuntimeError(CLOSED)
        rpc: grpc.UnaryUnaryMultiCallable[RequestT, AnswerT] = getattr(self._stub, call.rpc)
        try:
            answer, ended = rpc.with_call(
                call.request, timeout=call.terms.timeout_seconds, metadata=call.terms.metadata
            )
        except grpc.RpcError as failure:
            raise after_failure(call.terms, failure) from failure
        except ValueError:
            # So grpcio says that another thread closed the channel just before the call left.
            if not self.is_closed:
                raise
            raise RuntimeError(CLOSED) from None
        return call.value(answer, ended.trailing_metadata())

    def open(self, call: WatchCall) -> "Stream":
        """A stream of answers; it does not wait for any."""
        if self.is_closed:
            raise RuntimeError(CLOSED)
        try:
            answers = self._stub.WatchPayments(call.request, metadata=call.terms.metadata)
        except ValueError:  # as above
            if not self.is_closed:
                raise
            raise RuntimeError(CLOSED) from None
        return Stream(call, answers)

    def close(self) -> None:
        self.is_closed = True
        self._channel.close()


class Stream:
    """One server stream. One thread reads; any may cancel."""

    def __init__(self, call: WatchCall, answers: "_CallIterator[pb.WatchPaymentsResponse]") -> None:
        self._call = call
        self._answers = answers
        self._silent_at = math.inf
        self._was_silent = False
        self._ended = Flag()
        # grpcio's blocking streams wait for ever. The guard keeps no stream alive: one that is
        # dropped ends, and so does its guard.
        Thread(target=_guard, args=(weakref.ref(self), self._ended), daemon=True).start()

    def read(self, limit_seconds: float) -> Watched:
        """The next answer; PaymentError where the stream ends, or says nothing for so long."""
        self._silent_at = time.monotonic() + limit_seconds
        try:
            return self._call.value(next(self._answers), ())
        except StopIteration:
            raise _watch.early_end(self._call) from None
        except grpc.RpcError as failure:
            if self._was_silent:
                raise _watch.silence(self._call, limit_seconds) from failure
            raise after_failure(self._call.terms, failure) from failure
        finally:
            self._silent_at = math.inf

    def cancel(self) -> None:
        """Ends the stream, also for a thread that waits for it. May be repeated."""
        self._ended.set()
        self._answers.cancel()

    def cancel_if_silent(self) -> None:
        """Ends the stream where a thread has waited for longer than its limit."""
        if time.monotonic() >= self._silent_at:
            self._was_silent = True
            self.cancel()

    def __del__(self) -> None:
        self._ended.set()


def _guard(stream: "weakref.ref[Stream]", ended: Flag) -> None:
    """Cancels a stream that is silent for too long."""
    while not ended.wait(_GUARD_LOOKS_EVERY_SECONDS):
        guarded = stream()
        if guarded is None:
            return
        guarded.cancel_if_silent()
        del guarded
