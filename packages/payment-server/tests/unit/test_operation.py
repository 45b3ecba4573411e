"""Wishes judged and verdicts booked, fact by fact; whole lives are in test_operation_lives."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from payment_server.domain import commands
from payment_server.domain.errors import (
    AmountTooLarge,
    IllegalStep,
    InvalidRequest,
    PaymentServiceError,
    VersionMismatch,
)
from payment_server.domain.operation import (
    APPROVED,
    Operation,
    OperationKind,
    OperationStatus,
    Verdict,
)
from payment_server.domain.payment import Advice, CaptureMethod, Decline, Payment, Status
from payment_server.domain.step import BUSY_RETRY_SECONDS, Step, begin, settle

LATER = datetime(2026, 11, 23, 8, 15, 1, tzinfo=UTC)
LATER_STILL = datetime(2026, 11, 23, 8, 15, 2, tzinfo=UTC)


def ask(payment: Payment, action: str, **fields: Any) -> Step:
    wish = commands.process_payment(payment_id=payment.payment_id, action=action, **fields)
    return begin(payment, wish, operation_id="an operation", idempotency_key="k", now=LATER)


def refused(payment: Payment, action: str, **fields: Any) -> PaymentServiceError:
    with pytest.raises(PaymentServiceError) as caught:
        ask(payment, action, **fields)
    return caught.value


def approved(step: Step) -> Payment:
    return settle(step.payment, step.operation, APPROVED, LATER_STILL).payment


def declined(advice: Advice = Advice.LATER) -> Verdict:
    return Verdict(
        status=OperationStatus.FAILED, decline=Decline("a_code", advice, "Your card was declined.")
    )


@pytest.fixture(scope="session")
def manual(payment: Payment) -> Payment:
    return replace(payment, capture_method=CaptureMethod.MANUAL)


@pytest.fixture(scope="session")
def authorized(manual: Payment) -> Payment:
    return approved(ask(manual, "process"))


@pytest.fixture(scope="session")
def captured(payment: Payment) -> Payment:
    return approved(ask(payment, "process"))


@pytest.fixture(scope="session")
def failed(payment: Payment) -> Payment:
    step = ask(payment, "process")
    return settle(step.payment, step.operation, declined(Advice.NEVER), LATER_STILL).payment


def test_an_operation_says_what_is_asked_for_whom(payment: Payment) -> None:
    assert ask(payment, "process").operation == Operation(
        operation_id="an operation",
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=OperationKind.AUTHORIZE,
        amount_minor=1000,
        payment_method="card",
        captures=True,
        idempotency_key="k",
        created_at=LATER,
    )


@pytest.mark.parametrize(
    ("method", "action", "captures"),
    [
        (CaptureMethod.AUTOMATIC, "process", True),
        (CaptureMethod.MANUAL, "process", False),
        (CaptureMethod.AUTOMATIC, "authorize", False),
        (CaptureMethod.MANUAL, "authorize", False),
        (CaptureMethod.AUTOMATIC, "capture", True),
        (CaptureMethod.MANUAL, "capture", True),
    ],
)
def test_an_attempt_captures_as_the_action_and_the_capture_method_say(
    payment: Payment, method: CaptureMethod, action: str, captures: bool
) -> None:
    operation = ask(replace(payment, capture_method=method), action).operation
    assert (operation.kind, operation.captures) == (OperationKind.AUTHORIZE, captures)


def test_an_attempt_is_processing_until_its_verdict(payment: Payment) -> None:
    step = ask(payment, "process")
    assert (step.payment.status, step.payment.attempts) == (Status.PROCESSING, 1)
    assert step.operation.status is OperationStatus.PENDING


def test_a_step_is_the_next_version_of_its_time(payment: Payment) -> None:
    after = ask(payment, "process").payment
    assert (after.version, after.updated_at) == (2, LATER)


def test_a_settled_operation_knows_when(payment: Payment) -> None:
    step = ask(payment, "process")
    settled = settle(step.payment, step.operation, APPROVED, LATER_STILL)
    assert (settled.operation.status, settled.operation.settled_at) == (
        OperationStatus.SUCCEEDED,
        LATER_STILL,
    )
    assert (settled.payment.version, settled.payment.updated_at) == (3, LATER_STILL)


def test_a_declined_authorization_fails_the_payment_and_says_why(payment: Payment) -> None:
    step = ask(payment, "process")
    settled = settle(step.payment, step.operation, declined(), LATER_STILL)
    assert settled.payment.status is Status.FAILED
    assert settled.payment.decline == settled.operation.decline == declined().decline


def test_a_new_attempt_forgets_the_decline(failed: Payment) -> None:
    assert ask(failed, "process", payment_method="card_visa").payment.decline is None


def test_a_new_attempt_keeps_its_new_payment_method(failed: Payment) -> None:
    step = ask(failed, "process", payment_method="card_visa")
    assert step.payment.payment_method == step.operation.payment_method == "card_visa"


@pytest.mark.parametrize("method", ["", "card"])
def test_a_method_that_was_refused_for_good_is_not_tried_again(
    failed: Payment, method: str
) -> None:
    assert refused(failed, "process", payment_method=method).reason == "PAYMENT_METHOD_REFUSED"


@pytest.mark.parametrize("advice", [advice for advice in Advice if advice is not Advice.NEVER])
def test_after_any_other_decline_the_same_method_may_be_tried(
    payment: Payment, advice: Advice
) -> None:
    first = ask(payment, "process")
    after = settle(first.payment, first.operation, declined(advice), LATER_STILL).payment
    assert ask(after, "process").payment.attempts == 2


def test_attempts_are_counted_out(failed: Payment) -> None:
    tired = replace(failed, attempts=10)
    error = refused(tired, "process", payment_method="card_visa")
    assert (error.reason, error.facts()["allowed_actions"]) == ("ATTEMPTS_EXHAUSTED", "cancel")


def test_the_tenth_attempt_may_be_made(failed: Payment) -> None:
    nine = replace(failed, attempts=9)
    assert ask(nine, "process", payment_method="card_visa").payment.attempts == 10


def test_a_capture_reserves_its_part_and_keeps_the_status(authorized: Payment) -> None:
    step = ask(authorized, "capture", amount="4")
    assert (step.payment.status, step.payment.capture_pending_minor) == (Status.AUTHORIZED, 400)
    assert (step.operation.kind, step.operation.amount_minor) == (OperationKind.CAPTURE, 400)


def test_a_capture_without_an_amount_takes_the_rest(authorized: Payment) -> None:
    some = approved(ask(authorized, "capture", amount="4"))
    assert ask(some, "capture").operation.amount_minor == 600


def test_a_declined_capture_releases_its_part_and_fails_nothing_else(authorized: Payment) -> None:
    step = ask(authorized, "capture", amount="4")
    settled = settle(step.payment, step.operation, declined(), LATER_STILL)
    assert settled.payment == replace(authorized, version=5, updated_at=LATER_STILL)
    assert settled.operation.decline == declined().decline


def test_a_cancellation_reserves_all_that_is_held(authorized: Payment) -> None:
    step = ask(authorized, "cancel")
    assert (step.payment.status, step.payment.void_pending_minor) == (Status.AUTHORIZED, 1000)


def test_the_cancellation_of_the_rest_leaves_the_part_captured(authorized: Payment) -> None:
    part = approved(ask(authorized, "capture", amount="4"))
    rest = approved(ask(part, "cancel"))
    assert (rest.status, rest.captured_minor, rest.voided_minor) == (Status.CAPTURED, 400, 600)


@pytest.mark.parametrize("status", [Status.CREATED, Status.REQUIRES_ACTION])
def test_where_nothing_is_held_a_cancellation_is_settled_at_once(
    payment: Payment, status: Status
) -> None:
    step = ask(replace(payment, status=status), "cancel")
    assert (step.payment.status, step.payment.version) == (Status.CANCELED, 2)
    assert (step.operation.status, step.operation.settled_at) == (OperationStatus.SUCCEEDED, LATER)


def test_a_canceled_payment_shows_no_decline(failed: Payment) -> None:
    assert ask(failed, "cancel").payment.decline is None


def test_a_refund_reserves_its_part_and_keeps_the_status(captured: Payment) -> None:
    step = ask(captured, "refund", amount="2.50")
    assert (step.payment.status, step.payment.refund_pending_minor) == (Status.CAPTURED, 250)
    assert (step.payment.refundable_minor, step.payment.refunded_minor) == (750, 0)


def test_refunds_may_be_under_way_side_by_side(captured: Payment) -> None:
    one = ask(captured, "refund", amount="4")
    two = ask(one.payment, "refund")
    assert two.operation.amount_minor == 600
    after_two = settle(two.payment, two.operation, APPROVED, LATER_STILL).payment
    assert (after_two.status, after_two.refund_pending_minor) == (Status.PARTIALLY_REFUNDED, 400)
    after_both = settle(after_two, one.operation, APPROVED, LATER_STILL).payment
    assert (after_both.status, after_both.refunded_minor) == (Status.REFUNDED, 1000)


def test_a_declined_refund_can_be_refunded_again(captured: Payment) -> None:
    step = ask(captured, "refund")
    after = settle(step.payment, step.operation, declined(), LATER_STILL).payment
    assert (after.status, after.refundable_minor) == (Status.CAPTURED, 1000)


@pytest.mark.parametrize("version", [0, 1])
def test_the_expected_version_may_be_the_payments_own_or_none(
    payment: Payment, version: int
) -> None:
    assert ask(payment, "process", expected_version=version).payment.version == 2


def test_a_stale_version_is_refused_before_the_status(captured: Payment) -> None:
    error = refused(captured, "process", expected_version=1)
    assert isinstance(error, VersionMismatch)
    assert (error.expected, error.actual) == (1, 3)


def test_the_status_is_judged_before_the_amount(payment: Payment) -> None:
    assert refused(payment, "refund", amount="99999").reason == "NOT_CAPTURED"


def test_an_illegal_step_names_status_and_allowed_actions(captured: Payment) -> None:
    error = refused(captured, "capture")
    assert isinstance(error, IllegalStep)
    assert (error.reason, error.payment_id) == ("ALREADY_CAPTURED", captured.payment_id)
    assert error.facts() == {"status": "captured", "allowed_actions": "refund"}


def test_more_than_is_left_to_capture_names_the_limit(authorized: Payment) -> None:
    part = approved(ask(authorized, "capture", amount="4"))
    error = refused(part, "capture", amount="6.01")
    assert isinstance(error, AmountTooLarge)
    assert (error.reason, error.limit) == ("AMOUNT_EXCEEDS_CAPTURABLE", "6.00")


def test_more_than_is_left_to_refund_names_the_limit(captured: Payment) -> None:
    error = refused(ask(captured, "refund", amount="4").payment, "refund", amount="6.01")
    assert isinstance(error, AmountTooLarge)
    assert (error.reason, error.limit) == ("AMOUNT_EXCEEDS_REFUNDABLE", "6.00")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("capture", "capture", "CAPTURE_IN_PROGRESS"),
        ("capture", "cancel", "CAPTURE_IN_PROGRESS"),
        ("cancel", "cancel", "CANCEL_IN_PROGRESS"),
        ("cancel", "capture", "CANCEL_IN_PROGRESS"),
    ],
)
def test_what_has_to_wait_is_told_when_to_ask_again(
    authorized: Payment, first: str, second: str, reason: str
) -> None:
    error = refused(ask(authorized, first).payment, second)
    assert (error.reason, error.retry_after_seconds) == (reason, BUSY_RETRY_SECONDS)


def test_a_refund_waits_for_one_of_all_that_is_left(captured: Payment) -> None:
    error = refused(ask(captured, "refund").payment, "refund")
    assert (error.reason, error.retry_after_seconds) == ("REFUND_IN_PROGRESS", BUSY_RETRY_SECONDS)


@pytest.mark.parametrize("action", ["process", "authorize", "capture", "cancel", "refund"])
def test_everything_waits_for_an_authorization(payment: Payment, action: str) -> None:
    error = refused(ask(payment, "process").payment, action)
    assert (error.reason, error.retry_after_seconds) == ("PAYMENT_PROCESSING", BUSY_RETRY_SECONDS)


def test_what_is_over_is_not_worth_a_retry(captured: Payment) -> None:
    assert refused(captured, "process").retry_after_seconds is None


@pytest.mark.parametrize("amount", ["1.234", "0.001", "1.000", "2.500"])
def test_a_part_has_no_more_decimals_than_the_currency(captured: Payment, amount: str) -> None:
    error = refused(captured, "refund", amount=amount)
    assert isinstance(error, InvalidRequest)
    assert [each.field for each in error.violations] == ["amount"]


@pytest.mark.parametrize(
    ("status", "decline"),
    [
        (OperationStatus.FAILED, None),
        (OperationStatus.SUCCEEDED, declined().decline),
        (OperationStatus.PENDING, declined().decline),
    ],
)
def test_a_verdict_has_a_decline_exactly_where_it_is_a_failure(
    status: OperationStatus, decline: Decline | None
) -> None:
    with pytest.raises(ValueError, match="decline"):
        Verdict(status=status, decline=decline)


def test_nothing_cannot_be_refunded(captured: Payment) -> None:
    error = refused(captured, "refund", amount="0.00")
    assert isinstance(error, InvalidRequest)


def test_a_payment_that_is_not_authorized_is_captured_whole(payment: Payment) -> None:
    error = refused(payment, "capture", amount="4")
    assert isinstance(error, InvalidRequest)
    assert [each.field for each in error.violations] == ["amount"]


def test_what_is_authorized_keeps_its_payment_method(authorized: Payment) -> None:
    error = refused(authorized, "capture", payment_method="card_visa")
    assert isinstance(error, InvalidRequest)
    assert [each.field for each in error.violations] == ["payment_method"]
