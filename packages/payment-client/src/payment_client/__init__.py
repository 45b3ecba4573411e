"""The typed client of the payment service.

    from payment_client import PaymentClient

    with PaymentClient() as client:
        payment = client.payments.create(amount="10.00", customer_id="cust123")
        print(client.payments.process(payment.payment_id).payment.status)

`AsyncPaymentClient` is the same for asyncio. Everything public is here; the modules with an
underscore are not.
"""

from payment_client._aio.client import AsyncPaymentClient
from payment_client._aio.iterators import (
    AsyncEventPager,
    AsyncPaymentPager,
    AsyncPaymentWatcher,
    AsyncRefundPager,
)
from payment_client._aio.payments import AsyncPayments
from payment_client._batch import CreatedPayments, NewPayment
from payment_client._errors import (
    AmountTooLarge,
    CardDataRejected,
    CursorExpired,
    DeadlineExceeded,
    IdempotencyKeyReused,
    IllegalTransition,
    Internal,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    PaymentNotFound,
    RateLimited,
    RefundNotFound,
    ResourceExhausted,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
    WatcherTooSlow,
)
from payment_client._settings import Tls
from payment_client._sync.client import PaymentClient
from payment_client._sync.iterators import EventPager, PaymentPager, PaymentWatcher, RefundPager
from payment_client._sync.payments import Payments
from payment_client._types import (
    Action,
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    Event,
    EventPage,
    FieldViolation,
    Health,
    NextAction,
    Operation,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
    Refund,
    RefundedPayment,
    RefundPage,
    RefundStatus,
)

__all__ = [
    "Action",
    "AmountTooLarge",
    "AsyncEventPager",
    "AsyncPaymentClient",
    "AsyncPaymentPager",
    "AsyncPaymentWatcher",
    "AsyncPayments",
    "AsyncRefundPager",
    "CallInfo",
    "CaptureMethod",
    "CardDataRejected",
    "CreatedPayments",
    "CursorExpired",
    "DeadlineExceeded",
    "Decline",
    "DeclineAdvice",
    "Event",
    "EventPage",
    "EventPager",
    "FieldViolation",
    "Health",
    "IdempotencyKeyReused",
    "IllegalTransition",
    "Internal",
    "InvalidRequest",
    "NewPayment",
    "NextAction",
    "Operation",
    "OperationKind",
    "OperationStatus",
    "OutcomeUnknown",
    "Page",
    "Payment",
    "PaymentClient",
    "PaymentError",
    "PaymentNotFound",
    "PaymentPager",
    "PaymentStatus",
    "PaymentWatcher",
    "Payments",
    "ProcessedPayment",
    "RateLimited",
    "Refund",
    "RefundNotFound",
    "RefundPage",
    "RefundPager",
    "RefundStatus",
    "RefundedPayment",
    "ResourceExhausted",
    "Tls",
    "TransactionAborted",
    "Unavailable",
    "VersionMismatch",
    "WatcherTooSlow",
]
