"""Steps of a payment in one line each, for the tests that look at single ones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from payment_server.domain import commands
from payment_server.domain.errors import PaymentServiceError
from payment_server.domain.operation import APPROVED, OperationStatus, Verdict
from payment_server.domain.payment import Advice, Decline, Payment
from payment_server.domain.step import Step, begin, settle

OPERATION_ID = "019a206f-073f-73d0-bb2c-7581a22cc175"
LATER = datetime(2026, 11, 23, 8, 15, 1, tzinfo=UTC)
LATER_STILL = datetime(2026, 11, 23, 8, 15, 2, tzinfo=UTC)
CHALLENGED = Verdict(status=OperationStatus.REQUIRES_ACTION)
PROCESS_ACTIONS = ("process", "authorize", "capture", "cancel", "refund")
STRICT = {
    "CapturePayment": commands.capture_payment,
    "CancelPayment": commands.cancel_payment,
    "RefundPayment": commands.refund_payment,
    "CompletePaymentAction": commands.complete_payment_action,
}


def ask(payment: Payment, action: str, operation_id: str = OPERATION_ID, **fields: Any) -> Step:
    """An action of ProcessPayment, or one of the calls that stand for one action each."""
    if action in STRICT:
        wish = STRICT[action](payment_id=payment.payment_id, **fields)
    else:
        wish = commands.process_payment(payment_id=payment.payment_id, action=action, **fields)
    return begin(payment, wish, operation_id=operation_id, idempotency_key="k", now=LATER)


def refused(payment: Payment, action: str, **fields: Any) -> PaymentServiceError:
    with pytest.raises(PaymentServiceError) as caught:
        ask(payment, action, **fields)
    return caught.value


def settled(step: Step, verdict: Verdict = APPROVED, *, on: Payment | None = None) -> Step:
    """The step's outcome on the payment as the step left it, or as others have left it since."""
    return settle(on or step.payment, step.operation, verdict, LATER_STILL)


def approved(step: Step, *, on: Payment | None = None) -> Payment:
    return settled(step, on=on).payment


def declined(advice: Advice = Advice.LATER) -> Verdict:
    decline = Decline("a_code", advice, "Your card was declined.")
    return Verdict(status=OperationStatus.FAILED, decline=decline)
