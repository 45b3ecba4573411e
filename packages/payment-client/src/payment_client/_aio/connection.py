"""One channel to the service: single calls, and streams whose every silence has a limit."""

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import grpc

from payment.v1 import payment_pb2 as pb
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import _watch
from payment_client._calls import AnswerT, Call, RequestT, ValueT, WatchCall
from payment_client._channel import credentials_of, options_of, use_in_this_process
from payment_client._failure import failed_attempt
from payment_client._policy import Attempts, Budget
from payment_client._settings import CLOSED, FORKED, OF_ANOTHER_LOOP, Settings
from payment_client._types import Watched

if TYPE_CHECKING:  # the stub's asyncio face exists in its types only
    from payment.v1.payment_pb2_grpc import PaymentServiceAsyncStub


class Connection:
    """One channel, opened by the first call: it belongs to the loop and process that open it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = Budget()
        self._channel: grpc.aio.Channel | None = None
        self._stub: PaymentServiceAsyncStub | None = None
        self._process_id = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ends = WeakSet[asyncio.Event]()
        self._end = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._end.is_set()

    async def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        """The value of one call; its PaymentError where it fails for good."""
        terms, now = call.terms, time.monotonic
        attempts = Attempts(terms, self._budget, now())
        rpc: grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT] = getattr(self._opened(), call.rpc)
        while True:
            limit_seconds = attempts.next_limit_seconds(now())
            sent = rpc(call.request, timeout=limit_seconds, metadata=terms.metadata)
            try:
                answer = await self._outcome(sent)
            except grpc.RpcError as failure:
                pause_seconds = attempts.pause_after(failed_attempt(terms, failure), now())
                if pause_seconds is None or await self._is_closed_within(pause_seconds):
                    raise attempts.told() from failure
            else:
                attempts.succeeded()
                trailing = await sent.trailing_metadata()
                return call.value(answer, trailing, in_doubt=attempts.is_in_doubt)

    def new_end(self) -> asyncio.Event:
        """The end of a new watch: a flag that is set when the client is closed, or before."""
        if self.is_closed:
            raise RuntimeError(CLOSED)
        end = asyncio.Event()
        self._ends.add(end)
        return end

    def open(self, call: WatchCall) -> "Stream":
        """A stream of answers; it does not wait for any."""
        stub = self._opened()
        return Stream(call, stub.WatchPayments(call.request, metadata=call.terms.metadata))

    async def close(self) -> None:
        self._end.set()
        for end in list(self._ends):
            end.set()
        if self._channel is not None:
            await self._channel.close()

    def _opened(self) -> "PaymentServiceAsyncStub":
        if self._end.is_set():
            raise RuntimeError(CLOSED)
        loop = asyncio.get_running_loop()
        if self._stub is None:
            self._process_id = use_in_this_process()
            self._loop = loop
            self._channel = _channel_of(self._settings)
            self._stub = PaymentServiceStub(self._channel)
        elif self._process_id != os.getpid():
            raise RuntimeError(FORKED)
        elif self._loop is not loop:
            raise RuntimeError(OF_ANOTHER_LOOP)
        return self._stub

    async def _is_closed_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()
        return self.is_closed

    async def _outcome(self, sent: grpc.aio.UnaryUnaryCall[RequestT, AnswerT]) -> AnswerT:
        """The answer; closing the client ends a call as a failure, as it does in the other client.

        grpcio ends it as if the waiting task were cancelled, which nobody asked for: a task group
        would drop such a payment without a word.
        """
        before = _cancellations()
        try:
            return await sent
        except asyncio.CancelledError:
            if not self.is_closed or _cancellations() > before:
                raise
            raise _cut_off() from None


def _channel_of(settings: Settings) -> grpc.aio.Channel:
    options, credentials = options_of(settings), credentials_of(settings)
    if credentials is None:
        return grpc.aio.insecure_channel(settings.target, options=options)
    return grpc.aio.secure_channel(settings.target, credentials, options=options)


class Stream:
    """One server stream. One task reads; any of the same loop may cancel."""

    def __init__(
        self,
        call: WatchCall,
        answers: grpc.aio.UnaryStreamCall[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse],
    ) -> None:
        self._call = call
        self._answers = answers
        self._reading: asyncio.Task[object] | None = None

    async def read(self, limit_seconds: float) -> Watched:
        """The next answer; PaymentError where the stream ends, or says nothing for so long.

        A read that is cancelled is taken up by the next one.
        """
        if self._reading is None:
            # A task of its own, as grpcio ends a stream whose read is cancelled.
            self._reading = asyncio.create_task(_outcome(self._answers))
        await asyncio.wait({self._reading}, timeout=limit_seconds)
        if not self._reading.done():
            raise _watch.silence(self._call)
        reading, self._reading = self._reading, None
        if reading.cancelled():  # so grpcio ends the streams of a channel that is closed
            raise _watch.cut_off(self._call)
        outcome = reading.result()
        if isinstance(outcome, grpc.RpcError):
            raise failed_attempt(self._call.terms, outcome).error from outcome
        if outcome is grpc.aio.EOF:
            raise _watch.early_end(self._call)
        return self._call.value(cast("pb.WatchPaymentsResponse | None", outcome), ())

    def cancel(self) -> None:
        """Ends the stream, also for a task that waits for it. May be repeated."""
        self._answers.cancel()

    def __del__(self) -> None:
        self.cancel()


async def _outcome(
    answers: grpc.aio.UnaryStreamCall[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse],
) -> object:
    """What the stream brings next; a failure as a value, as it may be that nobody asks for it."""
    try:
        return await answers.read()
    except grpc.RpcError as failure:
        return failure


def _cancellations() -> int:
    """How often the task was cancelled; it may have outlived some."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _cut_off() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, CLOSED)
