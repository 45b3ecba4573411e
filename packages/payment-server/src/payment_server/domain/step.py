"""The steps of a payment's life, pure: each returns the next version, and the database takes it
or not.

`begin` judges a wish and reserves what it needs; `settle` books the processor's verdict; `lapse`
is what time does; `reverse` takes a refund back that failed after it had succeeded.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from payment_server.domain.commands import ChangePayment
from payment_server.domain.errors import (
    AmountTooLarge,
    IllegalStep,
    InvalidRequest,
    VersionMismatch,
    Violation,
)
from payment_server.domain.money import MoneyInvalid, parse_amount
from payment_server.domain.operation import (
    Operation,
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
    Verdict,
)
from payment_server.domain.payment import (
    ATTEMPTS_LIMIT,
    LAPSING,
    REFUSALS,
    YES,
    Action,
    Advice,
    CaptureMethod,
    EventType,
    NextAction,
    Payment,
    Status,
    status_after,
)

BUSY_RETRY_SECONDS: Final = 1.0
"""When to ask again while an operation is under way: processors answer within about as long."""

HOLD: Final = timedelta(days=7)
"""How long issuers hold an amount for a merchant, where the processor does not say."""

CHALLENGE: Final = timedelta(minutes=15)
"""How long a customer has for a challenge, where the processor does not say."""

_PASSING: Final = frozenset(
    {"PAYMENT_PROCESSING", "CAPTURE_IN_PROGRESS", "CANCEL_IN_PROGRESS", "REFUND_IN_PROGRESS"}
)

_FINAL: Final = (OperationStatus.SUCCEEDED, OperationStatus.FAILED)
_VERDICTS: Final = {
    OperationKind.AUTHORIZE: (*_FINAL, OperationStatus.REQUIRES_ACTION),
    OperationKind.COMPLETE: (*_FINAL, OperationStatus.REQUIRES_ACTION),
    OperationKind.CAPTURE: _FINAL,
    OperationKind.CANCEL: _FINAL,
    OperationKind.REFUND: _FINAL,
}


class Change(msgspec.Struct, frozen=True):
    """The next version of a payment, and what happened to it."""

    payment: Payment
    event: EventType


class Step(Change, frozen=True):
    """A change by an operation."""

    operation: Operation


def begin(
    payment: Payment,
    wish: ChangePayment,
    *,
    operation_id: str,
    idempotency_key: str | None,
    now: datetime,
) -> Step:
    """Judges the wish (version, status, amounts: in this order) and reserves what it needs.

    The operation is pending, or settled at once where no processor is needed. Raises
    VersionMismatch, IllegalStep, AmountTooLarge, InvalidRequest.
    """
    if wish.expected_version not in (0, payment.version):
        raise VersionMismatch(expected=wish.expected_version, actual=payment.version)
    refusal = REFUSALS[payment.status, _judged_as(payment, wish)]
    if refusal != YES:
        raise _illegal(payment, refusal)
    asked = Operation(
        operation_id=operation_id,
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=OperationKind.AUTHORIZE,
        amount_minor=payment.amount_minor,
        payment_method=payment.payment_method,
        words=wish.reason or wish.result,
        idempotency_key=idempotency_key,
        created_at=now,
    )
    match wish.action:
        case Action.CAPTURE if payment.held_minor:
            step = _capture(payment, wish, asked)
        case Action.CANCEL if payment.held_minor:
            step = _release(payment, asked)
        case Action.CANCEL:
            step = _end(payment, asked)
        case Action.REFUND:
            step = _refund(payment, wish, asked)
        case Action.COMPLETE:
            step = _complete(payment, asked)
        case _:
            step = _attempt(payment, wish, asked)
    return _stepped(payment, step, now)


def settle(payment: Payment, operation: Operation, verdict: Verdict, now: datetime) -> Step:
    """Books a verdict that is not PENDING: moves what was reserved, or releases it.

    Raises ValueError for a verdict that the operation cannot have.
    """
    if verdict.status not in _VERDICTS[operation.kind]:
        raise ValueError(f"{operation.kind} cannot be answered with {verdict.status}")
    match operation.kind:
        case OperationKind.AUTHORIZE | OperationKind.COMPLETE:
            changed, event = _decided(payment, operation, verdict, now)
        case OperationKind.CAPTURE:
            changed, event = _captured(payment, operation, verdict)
        case OperationKind.CANCEL:
            changed, event = _released(payment, operation, verdict)
        case OperationKind.REFUND:
            changed, event = _refunded(payment, operation, verdict)
    settled = replace(operation, status=verdict.status, decline=verdict.decline, settled_at=now)
    return _stepped(payment, Step(changed, event, settled), now)


def lapse(payment: Payment, now: datetime) -> Change:
    """Time is up for the payment's deadline, challenge or hold. Raises IllegalStep while an
    operation is under way, and ValueError for a payment that does not lapse."""
    if payment.lapses_at is None:
        raise ValueError("the payment has no deadline, no challenge and no hold")
    if payment.capture_pending_minor or payment.void_pending_minor:
        raise _illegal(payment, _what_is_under_way(payment))
    left = payment.voided_minor + payment.held_minor
    is_open = payment.status is Status.PARTIALLY_CAPTURED
    event = EventType.CAPTURE_CLOSED if is_open else EventType.EXPIRED
    return _changed(payment, replace(payment, voided_minor=left), event, now)


def reverse(payment: Payment, refund: Refund, verdict: Verdict, now: datetime) -> Change:
    """Takes a refund back that had succeeded: the money is with the merchant again."""
    if refund.status is not RefundStatus.SUCCEEDED or verdict.decline is None:
        raise ValueError("only a refund that had succeeded can fail later, and for a reason")
    left = payment.refunded_minor - refund.amount_minor
    changed = replace(payment, refunded_minor=left)
    return _changed(payment, changed, EventType.REFUND_REVERSED, now)


# What a wish reserves. Each takes the operation with what it has in common with all others, and
# returns it with its own.


def _capture(payment: Payment, wish: ChangePayment, asked: Operation) -> Step:
    if wish.payment_method:
        raise _misplaced("payment_method", "the payment is authorized with its own already")
    left = payment.capturable_minor
    is_busy = payment.capture_pending_minor > 0 or payment.void_pending_minor > 0
    if is_busy and (wish.final or not left):
        raise _illegal(payment, _what_is_under_way(payment))
    amount = _part(payment, wish, left, "AMOUNT_EXCEEDS_CAPTURABLE")
    released = left - amount if wish.final else 0
    changed = replace(
        payment,
        capture_pending_minor=payment.capture_pending_minor + amount,
        void_pending_minor=payment.void_pending_minor + released,
    )
    operation = replace(
        asked, kind=OperationKind.CAPTURE, amount_minor=amount, released_minor=released
    )
    return Step(changed, EventType.CAPTURE_STARTED, operation)


def _release(payment: Payment, asked: Operation) -> Step:
    if payment.capture_pending_minor or payment.void_pending_minor:
        raise _illegal(payment, _what_is_under_way(payment))
    left = payment.held_minor
    operation = replace(asked, kind=OperationKind.CANCEL, amount_minor=left)
    changed = replace(payment, void_pending_minor=left)
    return Step(changed, EventType.CANCEL_STARTED, operation)


def _end(payment: Payment, asked: Operation) -> Step:
    """Nothing is held anywhere, so no processor has to be asked."""
    operation = replace(
        asked,
        kind=OperationKind.CANCEL,
        amount_minor=0,
        status=OperationStatus.SUCCEEDED,
        settled_at=asked.created_at,
    )
    return Step(replace(payment, decline=None), EventType.CANCELED, operation)


def _refund(payment: Payment, wish: ChangePayment, asked: Operation) -> Step:
    left = payment.refundable_minor
    if not left:
        raise _illegal(payment, "REFUND_IN_PROGRESS")
    amount = _part(payment, wish, left, "AMOUNT_EXCEEDS_REFUNDABLE")
    changed = replace(payment, refund_pending_minor=payment.refund_pending_minor + amount)
    operation = replace(asked, kind=OperationKind.REFUND, amount_minor=amount)
    return Step(changed, EventType.REFUND_STARTED, operation)


def _complete(payment: Payment, asked: Operation) -> Step:
    action = payment.next_action
    if action is None:
        raise ValueError("a payment that requires an action says which")
    operation = replace(
        asked,
        kind=OperationKind.COMPLETE,
        captures=action.captures,
        completes=action.operation_id,
    )
    return Step(payment, EventType.AUTHORIZATION_STARTED, operation)


def _attempt(payment: Payment, wish: ChangePayment, asked: Operation) -> Step:
    if payment.attempts >= ATTEMPTS_LIMIT:
        raise _illegal(payment, "ATTEMPTS_EXHAUSTED")
    method = wish.payment_method or payment.payment_method
    forbidden = payment.decline is not None and payment.decline.advice is Advice.NEVER
    if forbidden and method == payment.payment_method:
        raise _illegal(payment, "PAYMENT_METHOD_REFUSED")
    amount = payment.amount_minor
    if _part(payment, wish, amount, "AMOUNT_EXCEEDS_CAPTURABLE") != amount:
        raise _misplaced("amount", "the payment is not authorized yet, so it is captured whole")
    is_automatic = payment.capture_method is CaptureMethod.AUTOMATIC
    captures = wish.action is Action.CAPTURE or (wish.action is Action.PROCESS and is_automatic)
    changed = replace(payment, payment_method=method, attempts=payment.attempts + 1, decline=None)
    operation = replace(asked, payment_method=method, captures=captures)
    return Step(changed, EventType.AUTHORIZATION_STARTED, operation)


# What a verdict moves.


def _decided(
    payment: Payment, operation: Operation, verdict: Verdict, now: datetime
) -> tuple[Payment, EventType]:
    """An authorization's outcome, or that of its completion."""
    if verdict.status is OperationStatus.FAILED:
        return replace(payment, decline=verdict.decline), EventType.FAILED
    if verdict.status is OperationStatus.REQUIRES_ACTION:
        action = NextAction(
            type="challenge",
            url=verdict.url,
            operation_id=operation.completes or operation.operation_id,
            captures=operation.captures,
        )
        until = verdict.expires_at or now + CHALLENGE
        return replace(payment, next_action=action, lapses_at=until), EventType.ACTION_REQUIRED
    amount = operation.amount_minor
    if operation.captures:
        taken = replace(payment, authorized_minor=amount, captured_minor=amount)
        return taken, EventType.CAPTURED
    until = verdict.expires_at or now + HOLD
    return replace(payment, authorized_minor=amount, lapses_at=until), EventType.AUTHORIZED


def _captured(
    payment: Payment, operation: Operation, verdict: Verdict
) -> tuple[Payment, EventType]:
    amount, released = operation.amount_minor, operation.released_minor
    freed = replace(
        payment,
        capture_pending_minor=payment.capture_pending_minor - amount,
        void_pending_minor=payment.void_pending_minor - released,
    )
    if verdict.status is OperationStatus.FAILED:
        return freed, EventType.CAPTURE_FAILED
    taken = replace(
        freed,
        captured_minor=payment.captured_minor + amount,
        voided_minor=payment.voided_minor + released,
    )
    return taken, EventType.PARTIALLY_CAPTURED if taken.held_minor else EventType.CAPTURED


def _released(
    payment: Payment, operation: Operation, verdict: Verdict
) -> tuple[Payment, EventType]:
    amount = operation.amount_minor
    freed = replace(payment, void_pending_minor=payment.void_pending_minor - amount)
    if verdict.status is OperationStatus.FAILED:
        return freed, EventType.CANCEL_FAILED
    event = EventType.CAPTURE_CLOSED if payment.captured_minor else EventType.CANCELED
    return replace(freed, voided_minor=payment.voided_minor + amount), event


def _refunded(
    payment: Payment, operation: Operation, verdict: Verdict
) -> tuple[Payment, EventType]:
    amount = operation.amount_minor
    freed = replace(payment, refund_pending_minor=payment.refund_pending_minor - amount)
    if verdict.status is OperationStatus.FAILED:
        return freed, EventType.REFUND_FAILED
    given = replace(freed, refunded_minor=payment.refunded_minor + amount)
    is_all = given.refunded_minor == given.captured_minor
    return given, EventType.REFUNDED if is_all else EventType.PARTIALLY_REFUNDED


def _stepped(before: Payment, step: Step, now: datetime) -> Step:
    change = _changed(before, step.payment, step.event, now)
    return Step(change.payment, change.event, step.operation)


def _changed(before: Payment, moved: Payment, event: EventType, now: datetime) -> Change:
    """The next version: the status that the table gives for the event, and what goes with it."""
    status = status_after(moved, event)
    after = replace(
        moved,
        status=status,
        next_action=moved.next_action if status is Status.REQUIRES_ACTION else None,
        lapses_at=moved.lapses_at if status in LAPSING else None,
        version=before.version + 1,
        updated_at=now,
    )
    return Change(after, event)


def _judged_as(payment: Payment, wish: ChangePayment) -> Action:
    """ProcessPayment's capture of what nobody has authorized is an attempt that captures."""
    is_attempt = wish.action is Action.CAPTURE and not wish.strict and not payment.held_minor
    return Action.PROCESS if is_attempt else wish.action


def _what_is_under_way(payment: Payment) -> str:
    return "CAPTURE_IN_PROGRESS" if payment.capture_pending_minor else "CANCEL_IN_PROGRESS"


def _part(payment: Payment, wish: ChangePayment, left: int, reason: str) -> int:
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
