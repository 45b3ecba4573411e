"""What is asked of the processor, and what that makes of a payment.

`begin` judges a wish and reserves; `settle` books the processor's verdict. Both are pure: they
return the next version of the payment, and the database accepts it or not.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from payment_server.domain.commands import ProcessPayment
from payment_server.domain.errors import (
    AmountTooLarge,
    IllegalStep,
    InvalidRequest,
    VersionMismatch,
    Violation,
)
from payment_server.domain.money import MoneyInvalid, parse_amount
from payment_server.domain.payment import (
    ATTEMPTS_LIMIT,
    REFUSALS,
    YES,
    Action,
    Advice,
    CaptureMethod,
    Decline,
    Payment,
    Status,
    status_of_amounts,
)

BUSY_RETRY_SECONDS: Final = 1.0
"""When to ask again while an operation is under way: processors answer within about as long."""

_PASSING: Final = frozenset(
    {"PAYMENT_PROCESSING", "CAPTURE_IN_PROGRESS", "CANCEL_IN_PROGRESS", "REFUND_IN_PROGRESS"}
)


class OperationKind(StrEnum):
    """What is asked of the processor."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


class OperationStatus(StrEnum):
    """How far an operation has come."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing asked of the processor. `captures`: an authorization that takes the money too."""

    operation_id: str
    payment_id: str
    merchant_id: str
    kind: OperationKind
    amount_minor: int
    payment_method: str
    captures: bool = False
    status: OperationStatus = OperationStatus.PENDING
    decline: Decline | None = None
    idempotency_key: str | None = None
    created_at: datetime
    settled_at: datetime | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What the processor said; PENDING where it has not said anything yet, and FAILED says why."""

    status: OperationStatus
    decline: Decline | None = None

    def __post_init__(self) -> None:
        if (self.decline is not None) != (self.status is OperationStatus.FAILED):
            raise ValueError("a verdict has a decline exactly where it failed")


APPROVED: Final = Verdict(OperationStatus.SUCCEEDED)
UNKNOWN: Final = Verdict(OperationStatus.PENDING)


class Step(msgspec.Struct, frozen=True):
    """The next version of a payment, and the operation that leads to it."""

    payment: Payment
    operation: Operation


def begin(
    payment: Payment,
    wish: ProcessPayment,
    *,
    operation_id: str,
    idempotency_key: str | None,
    now: datetime,
) -> Step:
    """Judges the wish (version, status, amounts: in this order) and reserves what it needs.

    The operation of the returned step is pending, or settled at once where no processor is
    needed. Raises VersionMismatch, IllegalStep, AmountTooLarge, InvalidRequest.
    """
    if wish.expected_version not in (0, payment.version):
        raise VersionMismatch(expected=wish.expected_version, actual=payment.version)
    refusal = REFUSALS[payment.status, wish.action]
    if refusal != YES:
        raise _illegal(payment, refusal)
    match wish.action:
        case Action.REFUND:
            kind, changed, amount = _reserve_refund(payment, wish)
        case Action.CANCEL:
            kind, changed, amount = _reserve_release(payment)
        case Action.CAPTURE if payment.held_minor:
            kind, changed, amount = _reserve_capture(payment, wish)
        case _:
            kind, changed, amount = _attempt(payment, wish)
    operation = Operation(
        operation_id=operation_id,
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=kind,
        amount_minor=amount,
        payment_method=changed.payment_method,
        captures=kind is OperationKind.AUTHORIZE and _captures(payment, wish),
        idempotency_key=idempotency_key,
        created_at=now,
    )
    if changed.status is Status.CANCELED:
        operation = replace(operation, status=OperationStatus.SUCCEEDED, settled_at=now)
    return Step(replace(changed, version=payment.version + 1, updated_at=now), operation)


def settle(payment: Payment, operation: Operation, verdict: Verdict, now: datetime) -> Step:
    """Books a verdict that is not PENDING: moves what was reserved, or releases it."""
    amount = operation.amount_minor
    done = verdict.status is OperationStatus.SUCCEEDED
    taken = amount if done else 0
    match operation.kind:
        case OperationKind.AUTHORIZE if done:
            changed = replace(
                payment,
                authorized_minor=amount,
                captured_minor=amount if operation.captures else 0,
            )
        case OperationKind.AUTHORIZE:
            changed = replace(payment, decline=verdict.decline)
        case OperationKind.CAPTURE:
            changed = replace(
                payment,
                capture_pending_minor=payment.capture_pending_minor - amount,
                captured_minor=payment.captured_minor + taken,
            )
        case OperationKind.CANCEL:
            changed = replace(
                payment,
                void_pending_minor=payment.void_pending_minor - amount,
                voided_minor=payment.voided_minor + taken,
            )
        case OperationKind.REFUND:
            changed = replace(
                payment,
                refund_pending_minor=payment.refund_pending_minor - amount,
                refunded_minor=payment.refunded_minor + taken,
            )
    declined = operation.kind is OperationKind.AUTHORIZE and not done
    return Step(
        replace(
            changed,
            status=Status.FAILED if declined else status_of_amounts(changed),
            version=payment.version + 1,
            updated_at=now,
        ),
        replace(operation, status=verdict.status, decline=verdict.decline, settled_at=now),
    )


def _captures(payment: Payment, wish: ProcessPayment) -> bool:
    if wish.action is Action.PROCESS:
        return payment.capture_method is CaptureMethod.AUTOMATIC
    return wish.action is Action.CAPTURE


_Reservation = tuple[OperationKind, Payment, int]


def _attempt(payment: Payment, wish: ProcessPayment) -> _Reservation:
    if payment.attempts >= ATTEMPTS_LIMIT:
        raise _illegal(payment, "ATTEMPTS_EXHAUSTED")
    method = wish.payment_method or payment.payment_method
    forbidden = payment.decline is not None and payment.decline.advice is Advice.NEVER
    if forbidden and method == payment.payment_method:
        raise _illegal(payment, "PAYMENT_METHOD_REFUSED")
    amount = payment.amount_minor
    if _part(payment, wish, amount, "AMOUNT_EXCEEDS_CAPTURABLE") != amount:
        raise _misplaced("amount", "the payment is not authorized yet, so it is captured whole")
    changed = replace(
        payment,
        status=Status.PROCESSING,
        payment_method=method,
        attempts=payment.attempts + 1,
        decline=None,
    )
    return OperationKind.AUTHORIZE, changed, amount


def _reserve_capture(payment: Payment, wish: ProcessPayment) -> _Reservation:
    if wish.payment_method:
        raise _misplaced("payment_method", "the payment is authorized with its own already")
    left = payment.capturable_minor
    if payment.void_pending_minor:
        raise _illegal(payment, "CANCEL_IN_PROGRESS")
    if not left and not wish.amount:
        raise _illegal(payment, "CAPTURE_IN_PROGRESS")
    amount = _part(payment, wish, left, "AMOUNT_EXCEEDS_CAPTURABLE")
    changed = replace(payment, capture_pending_minor=payment.capture_pending_minor + amount)
    return OperationKind.CAPTURE, changed, amount


def _reserve_release(payment: Payment) -> _Reservation:
    if payment.capture_pending_minor:
        raise _illegal(payment, "CAPTURE_IN_PROGRESS")
    if payment.void_pending_minor:
        raise _illegal(payment, "CANCEL_IN_PROGRESS")
    left = payment.held_minor
    if not left:  # nothing is held anywhere, so no processor has to be asked
        changed = replace(payment, status=Status.CANCELED, decline=None)
        return OperationKind.CANCEL, changed, 0
    return OperationKind.CANCEL, replace(payment, void_pending_minor=left), left


def _reserve_refund(payment: Payment, wish: ProcessPayment) -> _Reservation:
    left = payment.refundable_minor
    if not left and not wish.amount:
        raise _illegal(payment, "REFUND_IN_PROGRESS")
    amount = _part(payment, wish, left, "AMOUNT_EXCEEDS_REFUNDABLE")
    changed = replace(payment, refund_pending_minor=payment.refund_pending_minor + amount)
    return OperationKind.REFUND, changed, amount


def _part(payment: Payment, wish: ProcessPayment, left: int, reason: str) -> int:
    if not wish.amount:
        return left
    try:
        amount = parse_amount(wish.amount, payment.exponent)
    except MoneyInvalid as error:
        raise _misplaced("amount", str(error)) from None
    if amount > left:
        raise AmountTooLarge(
            reason,
            limit=payment.format(left),
            payment_id=payment.payment_id,
            status=payment.status,
            allowed=payment.allowed_actions,
        )
    return amount


def _illegal(payment: Payment, reason: str) -> IllegalStep:
    return IllegalStep(
        reason,
        payment_id=payment.payment_id,
        status=payment.status,
        allowed_actions=payment.allowed_actions,
        message=f"the payment is {payment.status}: {reason.replace('_', ' ').lower()}",
        retry_after_seconds=BUSY_RETRY_SECONDS if reason in _PASSING else None,
    )


def _misplaced(field: str, message: str) -> InvalidRequest:
    return InvalidRequest([Violation(field, message)])
