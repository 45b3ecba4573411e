"""The typed client of the payment service.

    from payment_client import PaymentClient

    with PaymentClient() as client:
        payment = client.payments.create(amount="10.00", customer_id="cust123")
        print(client.payments.process(payment.payment_id).payment.status)

`AsyncPaymentClient` is the same for asyncio. Everything public is here; the modules with an
underscore are not.
"""

from payment_client._aio import AsyncPaymentClient, AsyncPaymentPager, AsyncPayments
from payment_client._errors import (
    AmountTooLarge,
    CardDataRejected,
    DeadlineExceeded,
    IdempotencyKeyReused,
    IllegalTransition,
    Internal,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    PaymentNotFound,
    ResourceExhausted,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
)
from payment_client._sync import PaymentClient, PaymentPager, Payments
from payment_client._types import (
    Action,
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    FieldViolation,
    Health,
    Operation,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
)

__all__ = [
    "Action",
    "AmountTooLarge",
    "AsyncPaymentClient",
    "AsyncPaymentPager",
    "AsyncPayments",
    "CallInfo",
    "CaptureMethod",
    "CardDataRejected",
    "DeadlineExceeded",
    "Decline",
    "DeclineAdvice",
    "FieldViolation",
    "Health",
    "IdempotencyKeyReused",
    "IllegalTransition",
    "Internal",
    "InvalidRequest",
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
    "Payments",
    "ProcessedPayment",
    "ResourceExhausted",
    "TransactionAborted",
    "Unavailable",
    "VersionMismatch",
]
