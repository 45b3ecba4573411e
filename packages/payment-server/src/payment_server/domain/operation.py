"""What is asked of the processor, what it answers, and the refunds that come of it."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from payment_server.domain.money import format_amount
from payment_server.domain.payment import Advice, Decline, Payment


class OperationKind(StrEnum):
    """What is asked of the processor."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    COMPLETE = "complete"


class OperationStatus(StrEnum):
    """How far an operation has come."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing asked of the processor.

    `captures`: an authorization, or its completion, that takes the money too. `released_minor`:
    what a final capture releases beside what it takes. `completes`: the authorization that a
    completion goes on with. `words`: a refund's reason or a challenge's result, as the caller
    said it.
    """

    operation_id: str
    payment_id: str
    merchant_id: str
    kind: OperationKind
    amount_minor: int
    payment_method: str
    captures: bool = False
    released_minor: int = 0
    completes: str | None = None
    words: str = ""
    status: OperationStatus = OperationStatus.PENDING
    decline: Decline | None = None
    idempotency_key: str | None = None
    created_at: datetime
    settled_at: datetime | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the processor said.

    PENDING where it has not said anything yet; FAILED with a decline that says why.
    `expires_at`: when the hold or the challenge ends, if the processor has a say in it.
    `recheck_at`: a refund that may still fail: when to look it up again. `url`: where a challenge
    sends the customer.
    """

    status: OperationStatus
    decline: Decline | None = None
    expires_at: datetime | None = None
    recheck_at: datetime | None = None
    url: str = ""

    def __post_init__(self) -> None:
        if (self.decline is not None) != (self.status is OperationStatus.FAILED):
            raise ValueError("a verdict has a decline exactly where it failed")


APPROVED: Final = Verdict(status=OperationStatus.SUCCEEDED)
UNKNOWN: Final = Verdict(status=OperationStatus.PENDING)
GIVEN_UP: Final = Verdict(
    status=OperationStatus.FAILED,
    decline=Decline(
        code="processor_unknown",
        advice=Advice.CHECK,
        message="Your card could not be charged. Please try again.",
    ),
)
"""The processor was never reached, and it is too late to charge anybody now."""


class RefundStatus(StrEnum):
    """How far a refund has come."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money given back; its id is that of the operation that asked for it."""

    refund_id: str
    payment_id: str
    merchant_id: str
    amount_minor: int
    currency: str
    exponent: int
    status: RefundStatus
    reason: str
    decline: Decline | None
    created_at: datetime
    updated_at: datetime

    @property
    def amount(self) -> str:
        """A decimal string with all the digits of the currency."""
        return format_amount(self.amount_minor, self.exponent)


def refund_of(payment: Payment, operation: Operation) -> Refund:
    """The refund as its operation leaves it; only a later failure makes the two differ."""
    return Refund(
        refund_id=operation.operation_id,
        payment_id=operation.payment_id,
        merchant_id=operation.merchant_id,
        amount_minor=operation.amount_minor,
        currency=payment.currency,
        exponent=payment.exponent,
        status=RefundStatus(operation.status),
        reason=operation.words,
        decline=operation.decline,
        created_at=operation.created_at,
        updated_at=operation.settled_at or operation.created_at,
    )
