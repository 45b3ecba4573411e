"""The asyncio client: moves the calls of the shared core over one gRPC channel, nothing more."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import _calls
from payment_client._calls import AnswerT, Call, ListCall, RequestT, ValueT
from payment_client._policy import after_failure
from payment_client._settings import CHANNEL_OPTIONS, CLOSED, Settings, read_settings
from payment_client._types import (
    Action,
    CaptureMethod,
    Health,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
)

if TYPE_CHECKING:  # the stub's asyncio face exists in its types only
    from payment.v1.payment_pb2_grpc import PaymentServiceAsyncStub


class _Connection:
    """One channel, opened by the first call: a channel belongs to the loop it is opened in."""

    def __init__(self, settings: Settings) -> None:
        self._target = settings.target
        self._channel: grpc.aio.Channel | None = None
        self._stub: PaymentServiceAsyncStub | None = None
        self._closed = False

    async def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        rpc: grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT] = getattr(self._opened(), call.rpc)
        sent = rpc(call.request, timeout=call.terms.timeout_seconds, metadata=call.terms.metadata)
        try:
            answer = await self._outcome(sent)
        except grpc.RpcError as failure:
            raise after_failure(call.terms, failure) from failure
        return call.value(answer, await sent.trailing_metadata())

    async def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    def _opened(self) -> "PaymentServiceAsyncStub":
        if self._closed:
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
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.CANCELLED, nothing, nothing, CLOSED
            ) from None


class AsyncPaymentPager:
    """The asyncio twin of `PaymentPager`: `async for`."""

    def __init__(self, connection: _Connection, first: ListCall) -> None:
        self._connection = connection
        self._first = first

    async def __aiter__(self) -> AsyncIterator[Payment]:
        async for page in self.pages():
            for payment in page.payments:
                yield payment

    async def pages(self) -> AsyncIterator[Page]:
        """The same, a page at a time; there is always one, which may be empty."""
        call: ListCall | None = self._first
        while call is not None:
            page = await self._connection.send(call)
            yield page
            call = call.after(page)


class AsyncPayments:
    """The asyncio twin of `Payments`: the same arguments, values and errors."""

    def __init__(self, connection: _Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    async def create(
        self,
        *,
        amount: Decimal | str | int,
        customer_id: str,
        currency: str = "USD",
        payment_method: str = "card",
        capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """Records a payment; see `Payments.create`."""
        return await self._connection.send(
            _calls.create_call(
                self._settings,
                amount=amount,
                customer_id=customer_id,
                currency=currency,
                payment_method=payment_method,
                capture_method=capture_method,
                description=description,
                metadata=metadata,
                idempotency_key=idempotency_key,
                timeout_seconds=timeout_seconds,
                headers=headers,
            )
        )

    async def get(
        self,
        payment_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """The payment as it is now; see `Payments.get`."""
        return await self._connection.send(
            _calls.get_call(
                self._settings, payment_id, timeout_seconds=timeout_seconds, headers=headers
            )
        )

    def list(
        self,
        *,
        customer_id: str | None = None,
        status: PaymentStatus | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncPaymentPager:
        """The payments that match every filter given; see `Payments.list`."""
        first = _calls.list_call(
            self._settings,
            customer_id=customer_id,
            status=status,
            created_from=created_from,
            created_before=created_before,
            metadata=metadata,
            page_size=page_size,
            page_token=page_token,
            timeout_seconds=timeout_seconds,
            headers=headers,
        )
        return AsyncPaymentPager(self._connection, first)

    async def process(
        self,
        payment_id: str,
        action: Action | str = Action.PROCESS,
        *,
        amount: Decimal | str | int | None = None,
        payment_method: str | None = None,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Moves the payment on; see `Payments.process`."""
        return await self._connection.send(
            _calls.process_call(
                self._settings,
                payment_id,
                action,
                amount=amount,
                payment_method=payment_method,
                expected_version=expected_version,
                idempotency_key=idempotency_key,
                timeout_seconds=timeout_seconds,
                headers=headers,
            )
        )


class AsyncPaymentClient:
    """The payment service for asyncio; settings and errors are those of `PaymentClient`.

    Close it, or use it as an asynchronous context manager. It may be made anywhere; it belongs
    to the event loop of its first call, and does not survive a fork. A call whose task is
    cancelled is cancelled at the service too and may have happened: whoever cancels and wants to
    know gives the call an `idempotency_key` of their own.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        merchant_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self._settings = read_settings(target, merchant_id, timeout_seconds)
        self._connection = _Connection(self._settings)
        self.payments = AsyncPayments(self._connection, self._settings)

    async def health(
        self,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Health:
        """Whether the service can take payments now; Unavailable where it is not reached."""
        return await self._connection.send(
            _calls.health_call(self._settings, timeout_seconds=timeout_seconds, headers=headers)
        )

    async def close(self) -> None:
        """Ends the connection; calls that are under way end as Unavailable. May be repeated."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
