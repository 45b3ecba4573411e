"""What can be done with payments; each method makes a call of the shared core and sends it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

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
from payment_client._sync.connection import Connection
from payment_client._sync.iterators import (
    EventPager,
    PaymentPager,
    PaymentWatcher,
    RefundPager,
)
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


class Payments:
    """The payments of one merchant; `client.payments` is one.

    Everywhere: `timeout_seconds` bounds the call, in place of the client's timeout; `headers` is
    gRPC metadata for this call (x-request-id, x-merchant-id …). Every method raises a
    `PaymentError` when the call fails: `Unavailable`, `DeadlineExceeded` and `Internal` at any
    time, others as told. A value that makes no sense before it is sent is a `TypeError`
    (an amount that is a float) or a `ValueError` (a time without zone).
    """

    def __init__(self, connection: Connection, settings: Settings) -> None:
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
        expires_at: datetime | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """Records a payment; no money moves before `process`.

        `amount` is in units of the currency ("10.00" USD, "1000" JPY). `idempotency_key` makes
        the payment happen once however often it is asked for; without one the client makes one
        for this call. A payment that nobody has tried by `expires_at` (aware) expires. Raises
        InvalidRequest, CardDataRejected, IdempotencyKeyReused.
        """
        return self._connection.send(
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

    def create_many(
        self,
        payments: Iterable[NewPayment],
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> CreatedPayments:
        """Records up to 1,000 payments in one call, the quickest way in, and says what became of
        each.

        One that is refused holds up no other: its error is among the results, and not raised.
        Whatever ends the call, it may be repeated with the same `NewPayment`s: each happens once.
        More than 1,000, or none, is InvalidRequest, and more than 1 MiB ResourceExhausted; what
        cannot be sent is raised with its position, before anything is.
        """
        terms = terms_of_changes(self._settings, timeout_seconds, headers)
        return self._connection.send(CREATE_MANY.call(terms, payments))

    def get(
        self,
        payment_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Payment:
        """The payment as it is now. Raises InvalidRequest, PaymentNotFound."""
        return self._connection.send(
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
    ) -> PaymentPager:
        """The payments that match every filter given, newest first; nothing is asked yet.

        Times are aware: from `created_from` on, before `created_before`. `metadata`: all of
        these entries. `page_size`: 1 to 1,000, the service's choice without one. `page_token`:
        where an earlier list with the same filters left off. `timeout_seconds` is per page.
        Iterating raises InvalidRequest.
        """
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
            PROCESS.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                action=action,
                amount=amount,
                payment_method=payment_method,
                expected_version=expected_version,
            )
        )

    def capture(
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
        """Takes what is held, or `amount` of it; with `final`, what is left is released.

        Unlike `process` it authorizes nothing. Otherwise as `process`.
        """
        return self._connection.send(
            CAPTURE.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                amount=amount,
                final=final,
                expected_version=expected_version,
            )
        )

    def cancel(
        self,
        payment_id: str,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Ends a payment of which nothing is captured, or releases what is left of a hold.

        Otherwise as `process`.
        """
        return self._connection.send(
            CANCEL.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                expected_version=expected_version,
            )
        )

    def complete(
        self,
        payment_id: str,
        *,
        result: str = "",
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ProcessedPayment:
        """Goes on once the customer has done what `payment.next_action` asked.

        `result`: what the processor needs to know of it; in the sandbox empty or "approved", or
        "refused". Otherwise as `process`.
        """
        return self._connection.send(
            COMPLETE.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                result=result,
                expected_version=expected_version,
            )
        )

    def refund(
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
        """Gives back what was captured, or `amount` of it.

        The refund may be pending for days, and may fail after it had succeeded: `get_refund` and
        the payment's events tell. `reason`: your own words, at most 255 characters. Otherwise as
        `process`.
        """
        return self._connection.send(
            REFUND.call(
                terms_of_change(self._settings, timeout_seconds, headers, idempotency_key),
                payment_id=payment_id,
                amount=amount,
                reason=reason,
                expected_version=expected_version,
            )
        )

    def get_refund(
        self,
        refund_id: str,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Refund:
        """The refund as it is now. Raises InvalidRequest, RefundNotFound."""
        return self._connection.send(
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
    ) -> RefundPager:
        """The payment's refunds, newest first; pages are those of `list`.

        Iterating raises InvalidRequest, PaymentNotFound.
        """
        first = REFUNDS.call(
            terms_of_read(self._settings, timeout_seconds, headers),
            payment_id=payment_id,
            page_size=page_size,
            page_token=page_token,
        )
        return RefundPager(self._connection, first)

    def events(
        self,
        payment_id: str,
        *,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> EventPager:
        """What has happened to the payment, oldest first; pages are those of `list`.

        Iterating raises InvalidRequest, PaymentNotFound.
        """
        first = EVENTS.call(
            terms_of_read(self._settings, timeout_seconds, headers),
            payment_id=payment_id,
            page_size=page_size,
            page_token=page_token,
        )
        return EventPager(self._connection, first)

    def watch(
        self,
        *,
        payment_id: str | None = None,
        customer_id: str | None = None,
        cursor: str | None = None,
        from_beginning: bool = False,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> PaymentWatcher:
        """Events of one payment, of one customer's payments, or of all, as they happen.

        From now on, or behind a `cursor`, or, where there is no cursor, from the first event that
        there is. A broken stream is resumed without a gap or a repetition, until nothing was heard
        of the service for `patience_seconds` (math.inf: for ever) since it broke; then what broke
        it is raised. A stream that goes dead without a word counts as broken after 45 s, so that
        this may take patience and 45 s. Only time in which somebody waits is counted.
        Iterating raises InvalidRequest, PaymentNotFound, CursorExpired.
        """
        call = WATCH.call(
            terms_of_read(self._settings, None, headers),
            payment_id=payment_id,
            customer_id=customer_id,
            cursor=cursor,
            from_beginning=from_beginning,
        )
        return PaymentWatcher(self._connection, Watch(call, patience_seconds))
