"""What can be done with payments; each method makes a call of the shared core and sends it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from payment_client._aio.connection import Connection
from payment_client._aio.iterators import (
    AsyncEventPager,
    AsyncPaymentPager,
    AsyncPaymentWatcher,
    AsyncRefundPager,
)
from payment_client._batch import CreatedPayments, NewPayment
from payment_client._calls import (
    CANCEL,
    CAPTURE,
    COMPLETE,
    CREATE,
    CREATE_MANY,
    EVENTS,
    GET,
    GET_REFUND,
    LIST,
    PROCESS,
    REFUND,
    REFUNDS,
    WATCH,
)
from payment_client._settings import DEFAULT_PATIENCE_SECONDS, Settings
from payment_client._terms import terms_of_change, terms_of_changes, terms_of_read
from payment_client._types import (
    Action,
    CaptureMethod,
    Payment,
    PaymentStatus,
    ProcessedPayment,
    Refund,
    RefundedPayment,
)
from payment_client._watch import Watch


class AsyncPayments:
    """The asyncio twin of `Payments`: the same arguments, values and errors."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
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
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """Records a payment; see `Payments.create`."""
        return await self._connection.send(
            CREATE.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                amount=amount,
                customer_id=customer_id,
                currency=currency,
                payment_method=payment_method,
                capture_method=capture_method,
                description=description,
                metadata=metadata,
                expires_at=expires_at,
            )
        )

    async def create_many(
        self,
        payments: Iterable[NewPayment],
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> CreatedPayments:
        """Records up to 1,000 payments in one call; see `Payments.create_many`."""
        terms = terms_of_changes(self._settings, timeout_seconds, headers)
        return await self._connection.send(CREATE_MANY.call(terms, payments))

    async def get(
        self,
        payment_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """The payment as it is now; see `Payments.get`."""
        return await self._connection.send(
            GET.call(terms_of_read(self._settings, timeout_seconds, headers), payment_id)
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
        first = LIST.call(
            terms_of_read(self._settings, timeout_seconds, headers),
            customer_id=customer_id,
            status=status,
            created_from=created_from,
            created_before=created_before,
            metadata=metadata,
            page_size=page_size,
            page_token=page_token,
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
            PROCESS.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                action=action,
                amount=amount,
                payment_method=payment_method,
                expected_version=expected_version,
            )
        )

    async def capture(
        self,
        payment_id: str,
        *,
        amount: Decimal | str | int | None = None,
        final: bool = False,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Takes what is held, or a part of it; see `Payments.capture`."""
        return await self._connection.send(
            CAPTURE.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                amount=amount,
                final=final,
                expected_version=expected_version,
            )
        )

    async def cancel(
        self,
        payment_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Ends a payment, or releases what is left of a hold; see `Payments.cancel`."""
        return await self._connection.send(
            CANCEL.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                expected_version=expected_version,
            )
        )

    async def complete(
        self,
        payment_id: str,
        *,
        result: str = "",
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Goes on once the customer has acted; see `Payments.complete`."""
        return await self._connection.send(
            COMPLETE.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                result=result,
                expected_version=expected_version,
            )
        )

    async def refund(
        self,
        payment_id: str,
        *,
        amount: Decimal | str | int | None = None,
        reason: str = "",
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RefundedPayment:
        """Gives back what was captured, or a part of it; see `Payments.refund`."""
        return await self._connection.send(
            REFUND.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                amount=amount,
                reason=reason,
                expected_version=expected_version,
            )
        )

    async def get_refund(
        self,
        refund_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Refund:
        """The refund as it is now; see `Payments.get_refund`."""
        return await self._connection.send(
            GET_REFUND.call(terms_of_read(self._settings, timeout_seconds, headers), refund_id)
        )

    def refunds(
        self,
        payment_id: str,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncRefundPager:
        """The payment's refunds, newest first; see `Payments.refunds`."""
        first = REFUNDS.call(
            terms_of_read(self._settings, timeout_seconds, headers),
            payment_id=payment_id,
            page_size=page_size,
            page_token=page_token,
        )
        return AsyncRefundPager(self._connection, first)

    def events(
        self,
        payment_id: str,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncEventPager:
        """What has happened to the payment, oldest first; see `Payments.events`."""
        first = EVENTS.call(
            terms_of_read(self._settings, timeout_seconds, headers),
            payment_id=payment_id,
            page_size=page_size,
            page_token=page_token,
        )
        return AsyncEventPager(self._connection, first)

    def watch(
        self,
        *,
        payment_id: str | None = None,
        customer_id: str | None = None,
        cursor: str | None = None,
        from_beginning: bool = False,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncPaymentWatcher:
        """Events as they happen; see `Payments.watch`."""
        call = WATCH.call(
            terms_of_read(self._settings, None, headers),
            payment_id=payment_id,
            customer_id=customer_id,
            cursor=cursor,
            from_beginning=from_beginning,
        )
        return AsyncPaymentWatcher(self._connection, Watch(call, patience_seconds))
