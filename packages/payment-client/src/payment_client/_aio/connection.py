"""One channel to the service: single calls, and streams whose every silence has a limit."""

import asyncio
from typing import TYPE_CHECKING, cast

import grpc

from payment.v1 import payment_pb2 as pb
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import _watch
from payment_client._calls import AnswerT, Call, RequestT, ValueT, WatchCall
from payment_client._policy import after_failure
from payment_client._settings import CHANNEL_OPTIONS, CLOSED, Settings
from payment_client._types import Watched

if TYPE_CHECKING:  # the stub's asyncio face exists in its types only
    from payment.v1.payment_pb2_grpc import PaymentServiceAsyncStub


class Connection:
    """One channel, opened by the first call: a channel belongs to the loop it is opened in."""

    def __init__(self, settings: Settings) -> None:
        self._target = settings.target
        self._channel: grpc.aio.Channel | None = None
        self._stub: PaymentServiceAsyncStub | None = None
        self.is_closed = False

    async def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        """The value of one call; its PaymentError where it fails."""
        rpc: grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT] = getattr(self._opened(), call.rpc)
        sent = rpc(call.request, timeout=call.terms.timeout_seconds, metadata=call.terms.metadata)
        try:
            answer = await self._outcome(sent)
        except grpc.RpcError as failure:
            raise after_failure(call.terms, failure) from failure
        return call.value(answer, await sent.trailing_metadata())

    def open(self, call: WatchCall) -> "Stream":
        """A stream of answers; it does not wait for any."""
        stub = self._opened()
        return Stream(call, stub.WatchPayments(call.request, metadata=call.terms.metadata))

    async def close(self) -> None:
        self.is_closed = True
        if self._channel is not None:
            await self._channel.close()

    def _opened(self) -> "PaymentServiceAsyncStub":
        if self.is_closed:
            raise RuntimeError(CLOSED)
        if self._stub is None:
            self._channel = grpc.aio.insecure_channel(self._target, options=CHANNEL_OPTIONS)
            self._stub = PaymentServiceStub(self._channel)
        return self._stub

    async def _outcome(self, sent: grpc.aio.UnaryUnaryCall[RequestT, AnswerT]) -> AnswerT:
        """The answer; closing the client ends a call as a failure, as it does in the other client.

        grpcio ends it as if the waiting task were cancelled, which nobody asked for: a task group
        would drop such a payment without a word.
        """
        try:
            return await sent
        except asyncio.CancelledError:
            if not self.is_closed or _task_is_cancelled():
                raise
            raise _cut_off() from None


class Stream:
    """One server stream. One task reads; any of the same loop may cancel."""

    def __init__(
        self,
        call: WatchCall,
        answers: grpc.aio.UnaryStreamCall[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse],
    ) -> None:
        self._call = call
        self._answers = answers

    async def read(self, limit_seconds: float) -> Watched:
        """The next answer; PaymentError where the stream ends, or says nothing for so long.

        A read that is cancelled ends the stream.
        """
        try:
            async with asyncio.timeout(limit_seconds):
                answer = await self._answer()
        except TimeoutError:
            raise _watch.silence(self._call, limit_seconds) from None
        except grpc.RpcError as failure:
            raise after_failure(self._call.terms, failure) from failure
        return self._call.value(answer, ())

    def cancel(self) -> None:
        """Ends the stream, also for a task that waits for it. May be repeated."""
        self._answers.cancel()

    async def _answer(self) -> pb.WatchPaymentsResponse | None:
        try:
            answer = await self._answers.read()
        except asyncio.CancelledError:
            if _task_is_cancelled():
                raise
            raise _cut_off() from None  # as in `Connection._outcome`
        if answer is grpc.aio.EOF:
            raise _watch.early_end(self._call)
        return cast("pb.WatchPaymentsResponse | None", answer)


def _task_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cut_off() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, CLOSED)
