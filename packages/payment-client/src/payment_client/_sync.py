"""The blocking client: moves the calls of the shared core over one gRPC channel, nothing more."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Self

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


class _Connection:
    """One channel; it connects by itself when the first call needs it."""

    def __init__(self, settings: Settings) -> None:
        self._channel = grpc.insecure_channel(settings.target, options=CHANNEL_OPTIONS)
        self._stub = PaymentServiceStub(self._channel)
        self._closed = False

    def send(self, call: Call[RequestT, AnswerT, ValueT]) -> ValueT:
        if self._closed:
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
            if not self._closed:
                raise
            raise RuntimeError(CLOSED) from None
        return call.value(answer, ended.trailing_metadata())

    def close(self) -> None:
        self._closed = True
        self._channel.close()


class PaymentPager:
    """Payments over all pages, newest first; each iteration starts anew at the first page.

    A page is fetched when it is needed. Iterating raises what `Payments.list` says.
    """

    def __init__(self, connection: _Connection, first: ListCall) -> None:
        self._connection = connection
        self._first = first

    def __iter__(self) -> Iterator[Payment]:
        for page in self.pages():
            yield from page.payments

    def pages(self) -> Iterator[Page]:
        """The same, a page at a time; there is always one, which may be empty."""
        call: ListCall | None = self._first
        while call is not None:
            page = self._connection.send(call)
            yield page
            call = call.after(page)


class Payments:
    """The payments of one merchant; `client.payments` is one.

    Everywhere: `timeout_seconds` bounds the call, in place of the client's timeout; `headers` is
    gRPC metadata for this call (x-request-id, x-merchant-id …). Every method raises a
    `PaymentError` when the call fails: `Unavailable`, `DeadlineExceeded` and `Internal` at any
    time, others as told. A value that makes no sense before it is sent is a `TypeError`
    (an amount that is a float) or a `ValueError` (a time without zone).
    """

    def __init__(self, connection: _Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    def create(
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
        """Records a payment; no money moves before `process`.

        `amount` is in units of the currency ("10.00" USD, "1000" JPY). `idempotency_key` makes
        the payment happen once however often it is asked for; without one the client makes one
        for this call. Raises InvalidRequest, CardDataRejected, IdempotencyKeyReused.
        """
        return self._connection.send(
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

    def get(
        self,
        payment_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """The payment as it is now. Raises InvalidRequest, PaymentNotFound."""
        return self._connection.send(
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
    ) -> PaymentPager:
        """The payments that match every filter given, newest first; nothing is asked yet.

        Times are aware: from `created_from` on, before `created_before`. `metadata`: all of
        these entries. `page_size`: 1 to 1,000, the service's choice without one. `page_token`:
        where an earlier list with the same filters left off. `timeout_seconds` is per page.
        Iterating raises InvalidRequest.
        """
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
        return PaymentPager(self._connection, first)

    def process(
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
        """Moves the payment on; a decline is no error but a payment whose status is failed.

        `amount`: capture or refund so much, all that is left without one. `payment_method`: a
        new attempt with another one. `expected_version`: only if the payment has this version.
        `idempotency_key`: as for `create`. Raises InvalidRequest, PaymentNotFound,
        IllegalTransition, AmountTooLarge, IdempotencyKeyReused, VersionMismatch,
        TransactionAborted, OutcomeUnknown.
        """
        return self._connection.send(
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


class PaymentClient:
    """The payment service, blocking. Close it, or use it as a context manager.

    `target` is host:port (else PAYMENT_TARGET, else 127.0.0.1:50051), `timeout_seconds` the
    longest that a call may take (else PAYMENT_TIMEOUT_SECONDS, else 5). `merchant_id` goes with
    every call as x-merchant-id. ValueError for settings that make no sense.

    Making one does no I/O; the first call connects, in plaintext: keep it inside a network that
    you trust. One client serves any number of threads. It does not survive a fork: a process
    that forks makes its clients afterwards, in the child.
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
        self.payments = Payments(self._connection, self._settings)

    def health(
        self,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Health:
        """Whether the service can take payments now; Unavailable where it is not reached."""
        return self._connection.send(
            _calls.health_call(self._settings, timeout_seconds=timeout_seconds, headers=headers)
        )

    def close(self) -> None:
        """Ends the connection; calls that are under way end as Unavailable. May be repeated."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
