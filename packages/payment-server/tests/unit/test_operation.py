"""Operations, verdicts, and the refunds that come of operations."""

import pytest
from unit.steps import LATER, LATER_STILL, OPERATION_ID, ask, declined, settled

from payment_server.domain.operation import (
    APPROVED,
    UNKNOWN,
    OperationStatus,
    RefundStatus,
    Verdict,
    refund_of,
)
from payment_server.domain.payment import Decline, Payment


@pytest.mark.parametrize(
    ("status", "decline"),
    [
        (OperationStatus.FAILED, None),
        (OperationStatus.SUCCEEDED, declined().decline),
        (OperationStatus.PENDING, declined().decline),
        (OperationStatus.REQUIRES_ACTION, declined().decline),
    ],
)
def test_a_verdict_has_a_decline_exactly_where_it_is_a_failure(
    status: OperationStatus, decline: Decline | None
) -> None:
    with pytest.raises(ValueError, match="decline"):
        Verdict(status=status, decline=decline)


def test_an_approval_succeeds_and_what_is_unknown_is_pending() -> None:
    assert (APPROVED.status, UNKNOWN.status) == (OperationStatus.SUCCEEDED, OperationStatus.PENDING)


def test_a_refund_begins_as_its_operation_does(captured: Payment) -> None:
    step = ask(captured, "RefundPayment", amount="2.5", reason="torn")
    refund = refund_of(step.payment, step.operation)
    assert (refund.refund_id, refund.payment_id) == (OPERATION_ID, captured.payment_id)
    assert (refund.status, refund.reason, refund.amount) == (RefundStatus.PENDING, "torn", "2.50")
    assert (refund.merchant_id, refund.currency, refund.exponent) == ("default", "USD", 2)
    assert refund.created_at == refund.updated_at == LATER


def test_a_refund_that_succeeded_says_since_when(captured: Payment) -> None:
    step = settled(ask(captured, "RefundPayment"))
    refund = refund_of(step.payment, step.operation)
    assert (refund.status, refund.decline) == (RefundStatus.SUCCEEDED, None)
    assert (refund.created_at, refund.updated_at) == (LATER, LATER_STILL)


def test_a_refund_that_failed_says_why(captured: Payment) -> None:
    step = settled(ask(captured, "RefundPayment"), declined())
    refund = refund_of(step.payment, step.operation)
    assert (refund.status, refund.decline) == (RefundStatus.FAILED, declined().decline)
