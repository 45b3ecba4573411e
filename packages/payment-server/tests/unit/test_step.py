"""Wishes judged, fact by fact; test_step_outcomes has what follows, test_operation_lives whole
lives."""

from typing import Any

import pytest
from msgspec.structs import replace
from unit.steps import (
    LATER,
    OPERATION_ID,
    PROCESS_ACTIONS,
    approved,
    ask,
    declined,
    refused,
    settled,
)

from payment_server.domain.errors import (
    AmountTooLarge,
    IllegalStep,
    InvalidRequest,
    VersionMismatch,
)
from payment_server.domain.operation import Operation, OperationKind, OperationStatus
from payment_server.domain.payment import Advice, CaptureMethod, EventType, Payment, Status
from payment_server.domain.step import BUSY_RETRY_SECONDS


def test_an_operation_says_what_is_asked_for_whom(payment: Payment) -> None:
    assert ask(payment, "process").operation == Operation(
        operation_id=OPERATION_ID,
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


@pytest.mark.parametrize(
    ("fixture", "action", "event"),
    [
        ("payment", "process", EventType.AUTHORIZATION_STARTED),
        ("failed", "CancelPayment", EventType.CANCELED),
        ("challenged", "CompletePaymentAction", EventType.AUTHORIZATION_STARTED),
        ("authorized", "CapturePayment", EventType.CAPTURE_STARTED),
        ("authorized", "CancelPayment", EventType.CANCEL_STARTED),
        ("partially_captured", "CancelPayment", EventType.CANCEL_STARTED),
        ("captured", "RefundPayment", EventType.REFUND_STARTED),
    ],
)
def test_what_is_begun_is_an_event(
    fixture: str, action: str, event: EventType, request: pytest.FixtureRequest
) -> None:
    assert ask(request.getfixturevalue(fixture), action).event is event


def test_what_is_processing_has_no_deadline_any_more(payment: Payment) -> None:
    due = replace(payment, expires_at=LATER, lapses_at=LATER)
    after = ask(due, "process").payment
    assert (after.expires_at, after.lapses_at) == (LATER, None)


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
    after = settled(ask(payment, "process"), declined(advice)).payment
    assert ask(after, "process").payment.attempts == 2


def test_attempts_are_counted_out(failed: Payment) -> None:
    tired = replace(failed, attempts=10)
    error = refused(tired, "process", payment_method="card_visa")
    assert (error.reason, error.facts()["allowed_actions"]) == ("ATTEMPTS_EXHAUSTED", "cancel")


def test_the_tenth_attempt_may_be_made(failed: Payment) -> None:
    nine = replace(failed, attempts=9)
    assert ask(nine, "process", payment_method="card_visa").payment.attempts == 10


def test_a_payment_that_is_not_authorized_is_captured_whole(payment: Payment) -> None:
    error = refused(payment, "capture", amount="4")
    assert isinstance(error, InvalidRequest)
    assert [each.field for each in error.violations] == ["amount"]


def test_more_than_the_payment_is_not_captured_at_once_either(payment: Payment) -> None:
    error = refused(payment, "capture", amount="10.01")
    assert isinstance(error, AmountTooLarge)
    assert (error.reason, error.limit) == ("AMOUNT_EXCEEDS_CAPTURABLE", "10.00")


@pytest.mark.parametrize("fixture", ["payment", "failed"])
def test_a_strict_capture_does_not_authorize(fixture: str, request: pytest.FixtureRequest) -> None:
    error = refused(request.getfixturevalue(fixture), "CapturePayment")
    assert (error.reason, error.retry_after_seconds) == ("NOT_AUTHORIZED", None)


def test_a_strict_capture_waits_for_the_customer(challenged: Payment) -> None:
    assert refused(challenged, "CapturePayment").reason == "PAYMENT_REQUIRES_ACTION"


def test_the_completion_of_a_challenge_goes_on_with_its_authorization(challenged: Payment) -> None:
    another_id = "019a206f-073f-73d0-bb2c-7581a22cc176"
    operation = ask(challenged, "CompletePaymentAction", another_id, result="approved").operation
    assert (operation.kind, operation.completes) == (OperationKind.COMPLETE, OPERATION_ID)
    assert (operation.captures, operation.amount_minor) == (True, 1000)
    assert operation.words == "approved"


def test_a_completion_is_no_attempt_of_its_own(challenged: Payment) -> None:
    assert ask(challenged, "CompletePaymentAction").payment.attempts == 1


def test_a_challenge_is_gone_once_it_is_completed(challenged: Payment) -> None:
    after = ask(challenged, "CompletePaymentAction").payment
    assert (after.status, after.next_action, after.lapses_at) == (Status.PROCESSING, None, None)


@pytest.mark.parametrize("fixture", ["payment", "failed"])
def test_where_no_challenge_is_there_is_none_to_complete(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    error = refused(request.getfixturevalue(fixture), "CompletePaymentAction")
    assert error.reason == "ACTION_NOT_REQUIRED"


def test_a_capture_reserves_its_part_and_keeps_the_status(authorized: Payment) -> None:
    step = ask(authorized, "capture", amount="4")
    assert (step.payment.status, step.payment.capture_pending_minor) == (Status.AUTHORIZED, 400)
    assert (step.operation.kind, step.operation.amount_minor) == (OperationKind.CAPTURE, 400)


@pytest.mark.parametrize("call", ["capture", "CapturePayment"])
def test_a_capture_without_an_amount_takes_the_rest(partially_captured: Payment, call: str) -> None:
    assert ask(partially_captured, call).operation.amount_minor == 600


def test_a_final_capture_reserves_the_rest_for_its_release(authorized: Payment) -> None:
    step = ask(authorized, "CapturePayment", amount="4", final=True)
    assert (step.operation.amount_minor, step.operation.released_minor) == (400, 600)
    assert (step.payment.capture_pending_minor, step.payment.void_pending_minor) == (400, 600)
    assert step.payment.capturable_minor == 0


def test_a_final_capture_of_all_releases_nothing(authorized: Payment) -> None:
    assert ask(authorized, "CapturePayment", final=True).operation.released_minor == 0


def test_a_capture_that_is_not_final_releases_nothing(authorized: Payment) -> None:
    assert ask(authorized, "CapturePayment", amount="4").operation.released_minor == 0


def test_captures_of_parts_may_be_under_way_side_by_side(authorized: Payment) -> None:
    one = ask(authorized, "CapturePayment", amount="4").payment
    assert ask(one, "CapturePayment", amount="6").payment.capture_pending_minor == 1000


def test_what_is_authorized_keeps_its_payment_method(authorized: Payment) -> None:
    error = refused(authorized, "capture", payment_method="card_visa")
    assert isinstance(error, InvalidRequest)
    assert [each.field for each in error.violations] == ["payment_method"]


def test_a_cancellation_reserves_all_that_is_held(partially_captured: Payment) -> None:
    step = ask(partially_captured, "cancel")
    assert step.payment.status is Status.PARTIALLY_CAPTURED
    assert step.payment.void_pending_minor == step.operation.amount_minor == 600


@pytest.mark.parametrize("fixture", ["payment", "challenged", "failed"])
def test_where_nothing_is_held_a_cancellation_is_settled_at_once(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    before = request.getfixturevalue(fixture)
    step = ask(before, "cancel")
    assert (step.payment.status, step.payment.version) == (Status.CANCELED, before.version + 1)
    assert (step.operation.status, step.operation.settled_at) == (OperationStatus.SUCCEEDED, LATER)
    assert step.operation.amount_minor == 0


def test_a_canceled_payment_shows_no_decline_no_challenge_and_no_deadline(
    failed: Payment, challenged: Payment
) -> None:
    assert ask(failed, "cancel").payment.decline is None
    after = ask(challenged, "cancel").payment
    assert (after.next_action, after.lapses_at) == (None, None)


def test_a_refund_reserves_its_part_and_keeps_the_status(captured: Payment) -> None:
    step = ask(captured, "refund", amount="2.50")
    assert (step.payment.status, step.payment.refund_pending_minor) == (Status.CAPTURED, 250)
    assert (step.payment.refundable_minor, step.payment.refunded_minor) == (750, 0)


def test_a_refund_keeps_its_reason(captured: Payment) -> None:
    assert ask(captured, "RefundPayment", reason="torn").operation.words == "torn"


def test_a_refund_of_what_was_captured_leaves_out_what_was_released(authorized: Payment) -> None:
    closed = approved(ask(authorized, "CapturePayment", amount="4", final=True))
    assert ask(closed, "RefundPayment").operation.amount_minor == 400


def test_a_refund_waits_until_the_capture_is_closed(partially_captured: Payment) -> None:
    error = refused(partially_captured, "RefundPayment")
    assert (error.reason, error.retry_after_seconds) == ("CAPTURE_NOT_FINAL", None)


@pytest.mark.parametrize("version", [0, 1])
def test_the_expected_version_may_be_the_payments_own_or_none(
    payment: Payment, version: int
) -> None:
    assert ask(payment, "process", expected_version=version).payment.version == 2


def test_a_stale_version_is_refused_before_the_status(captured: Payment) -> None:
    error = refused(captured, "process", expected_version=1)
    assert isinstance(error, VersionMismatch)
    assert (error.expected, error.actual) == (1, 3)


def test_a_version_to_come_is_refused_too(payment: Payment) -> None:
    assert refused(payment, "process", expected_version=2).reason == "VERSION_MISMATCH"


def test_the_status_is_judged_before_the_amount(payment: Payment) -> None:
    assert refused(payment, "refund", amount="99999").reason == "NOT_CAPTURED"


def test_what_is_under_way_is_judged_before_the_amount(authorized: Payment) -> None:
    busy = ask(authorized, "CapturePayment").payment
    assert refused(busy, "CapturePayment", amount="99999").reason == "CAPTURE_IN_PROGRESS"


def test_an_illegal_step_names_status_and_allowed_actions(captured: Payment) -> None:
    error = refused(captured, "capture")
    assert isinstance(error, IllegalStep)
    assert (error.reason, error.payment_id) == ("ALREADY_CAPTURED", captured.payment_id)
    assert error.facts() == {"status": "captured", "allowed_actions": "refund"}


def test_more_than_is_left_to_capture_names_the_limit(partially_captured: Payment) -> None:
    error = refused(partially_captured, "CapturePayment", amount="6.01")
    assert isinstance(error, AmountTooLarge)
    assert (error.reason, error.limit) == ("AMOUNT_EXCEEDS_CAPTURABLE", "6.00")


def test_more_than_is_left_to_refund_names_the_limit(captured: Payment) -> None:
    error = refused(ask(captured, "refund", amount="4").payment, "refund", amount="6.01")
    assert isinstance(error, AmountTooLarge)
    assert (error.reason, error.limit) == ("AMOUNT_EXCEEDS_REFUNDABLE", "6.00")


FINAL = {"amount": "4", "final": True}


@pytest.mark.parametrize(
    ("first", "fields", "second", "more", "reason"),
    [
        ("CapturePayment", {}, "CapturePayment", {}, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", {}, "CancelPayment", {}, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", {"amount": "4"}, "CapturePayment", FINAL, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", {"amount": "4"}, "CancelPayment", {}, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", FINAL, "CapturePayment", {}, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", FINAL, "CapturePayment", {"amount": "1"}, "CAPTURE_IN_PROGRESS"),
        ("CapturePayment", FINAL, "CancelPayment", {}, "CAPTURE_IN_PROGRESS"),
        ("CancelPayment", {}, "CancelPayment", {}, "CANCEL_IN_PROGRESS"),
        ("CancelPayment", {}, "CapturePayment", {}, "CANCEL_IN_PROGRESS"),
        ("CancelPayment", {}, "CapturePayment", FINAL, "CANCEL_IN_PROGRESS"),
    ],
)
def test_what_has_to_wait_is_told_when_to_ask_again(
    authorized: Payment,
    first: str,
    fields: dict[str, Any],
    second: str,
    more: dict[str, Any],
    reason: str,
) -> None:
    error = refused(ask(authorized, first, **fields).payment, second, **more)
    assert (error.reason, error.retry_after_seconds) == (reason, BUSY_RETRY_SECONDS)


def test_a_refund_waits_for_one_of_all_that_is_left(captured: Payment) -> None:
    error = refused(ask(captured, "refund").payment, "refund")
    assert (error.reason, error.retry_after_seconds) == ("REFUND_IN_PROGRESS", BUSY_RETRY_SECONDS)


@pytest.mark.parametrize("action", [*PROCESS_ACTIONS, "CapturePayment", "CompletePaymentAction"])
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


@pytest.mark.parametrize("action", ["RefundPayment", "refund"])
def test_nothing_cannot_be_refunded(captured: Payment, action: str) -> None:
    assert isinstance(refused(captured, action, amount="0.00"), InvalidRequest)
