"""Verdicts booked, time that is up, and refunds taken back: what `domain.step` moves, and when."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from unit.steps import (
    CHALLENGED,
    LATER_STILL,
    OPERATION_ID,
    approved,
    ask,
    declined,
    settled,
)

from payment_server.domain.errors import IllegalStep
from payment_server.domain.operation import (
    APPROVED,
    UNKNOWN,
    OperationStatus,
    Verdict,
    refund_of,
)
from payment_server.domain.payment import CaptureMethod, EventType, NextAction, Payment, Status
from payment_server.domain.step import CHALLENGE, HOLD, Step, lapse, reverse

ANOTHER_ID = "019a206f-073f-73d0-bb2c-7581a22cc176"
SOON = LATER_STILL + timedelta(hours=1)
MUCH_LATER = LATER_STILL + timedelta(days=30)


def test_a_settled_operation_knows_when(payment: Payment) -> None:
    after = settled(ask(payment, "process"))
    assert after.operation.status is OperationStatus.SUCCEEDED
    assert after.operation.settled_at == after.payment.updated_at == LATER_STILL
    assert after.payment.version == 3


@pytest.mark.parametrize(
    ("fixture", "action", "verdict", "event"),
    [
        ("payment", "process", APPROVED, EventType.CAPTURED),
        ("manual", "process", APPROVED, EventType.AUTHORIZED),
        ("payment", "process", declined(), EventType.FAILED),
        ("payment", "process", CHALLENGED, EventType.ACTION_REQUIRED),
        ("challenged", "CompletePaymentAction", APPROVED, EventType.CAPTURED),
        ("challenged", "CompletePaymentAction", declined(), EventType.FAILED),
        ("authorized", "CapturePayment", APPROVED, EventType.CAPTURED),
        ("authorized", "CapturePayment", declined(), EventType.CAPTURE_FAILED),
        ("authorized", "CancelPayment", APPROVED, EventType.CANCELED),
        ("authorized", "CancelPayment", declined(), EventType.CANCEL_FAILED),
        ("partially_captured", "CancelPayment", APPROVED, EventType.CAPTURE_CLOSED),
        ("captured", "RefundPayment", APPROVED, EventType.REFUNDED),
        ("captured", "RefundPayment", declined(), EventType.REFUND_FAILED),
    ],
)
def test_what_is_settled_is_an_event(
    fixture: str,
    action: str,
    verdict: Verdict,
    event: EventType,
    request: pytest.FixtureRequest,
) -> None:
    assert settled(ask(request.getfixturevalue(fixture), action), verdict).event is event


def test_a_declined_authorization_fails_the_payment_and_says_why(payment: Payment) -> None:
    after = settled(ask(payment, "process"), declined())
    assert after.payment.status is Status.FAILED
    assert after.payment.decline == after.operation.decline == declined().decline


def test_a_hold_lasts_seven_days_unless_the_processor_says_otherwise(authorized: Payment) -> None:
    assert timedelta(days=7) == HOLD
    assert authorized.authorization_expires_at == LATER_STILL + HOLD


def test_a_hold_lasts_as_long_as_the_processor_says(manual: Payment) -> None:
    verdict = Verdict(status=OperationStatus.SUCCEEDED, expires_at=SOON)
    after = settled(ask(manual, "process"), verdict).payment
    assert after.authorization_expires_at == after.lapses_at == SOON


def test_what_is_captured_at_once_is_no_hold_that_ends(payment: Payment) -> None:
    verdict = Verdict(status=OperationStatus.SUCCEEDED, expires_at=SOON)
    assert settled(ask(payment, "process"), verdict).payment.lapses_at is None


def test_a_capture_does_not_prolong_the_hold_of_the_rest(
    authorized: Payment, partially_captured: Payment
) -> None:
    assert partially_captured.lapses_at == authorized.lapses_at


def test_a_challenge_asks_the_customer(payment: Payment) -> None:
    verdict = Verdict(status=OperationStatus.REQUIRES_ACTION, url="https://bank.example/")
    after = settled(ask(payment, "process"), verdict)
    assert (after.payment.status, after.payment.authorized_minor) == (Status.REQUIRES_ACTION, 0)
    assert after.operation.status is OperationStatus.REQUIRES_ACTION
    assert after.payment.next_action == NextAction(
        type="challenge", url="https://bank.example/", operation_id=OPERATION_ID, captures=True
    )


def test_a_challenge_has_a_quarter_of_an_hour_unless_the_processor_says_otherwise(
    challenged: Payment,
) -> None:
    assert timedelta(minutes=15) == CHALLENGE
    assert challenged.lapses_at == LATER_STILL + CHALLENGE
    assert challenged.authorization_expires_at is None


def test_a_challenge_has_as_long_as_the_processor_says(payment: Payment) -> None:
    verdict = Verdict(status=OperationStatus.REQUIRES_ACTION, expires_at=SOON)
    assert settled(ask(payment, "process"), verdict).payment.lapses_at == SOON


@pytest.mark.parametrize(
    ("action", "status"), [("capture", Status.CAPTURED), ("authorize", Status.AUTHORIZED)]
)
@pytest.mark.parametrize("method", CaptureMethod)
def test_a_completed_challenge_ends_as_its_authorization_would_have(
    payment: Payment, method: CaptureMethod, action: str, status: Status
) -> None:
    begun = ask(replace(payment, capture_method=method), action)
    waiting = settled(begun, CHALLENGED).payment
    assert approved(ask(waiting, "CompletePaymentAction", ANOTHER_ID)).status is status


def test_a_refused_challenge_fails_the_payment(challenged: Payment) -> None:
    after = settled(ask(challenged, "CompletePaymentAction", ANOTHER_ID), declined()).payment
    assert (after.status, after.decline) == (Status.FAILED, declined().decline)


def test_a_second_challenge_is_one_of_the_same_authorization(challenged: Payment) -> None:
    again = settled(ask(challenged, "CompletePaymentAction", ANOTHER_ID), CHALLENGED).payment
    assert again.next_action is not None
    assert (again.next_action.operation_id, again.next_action.captures) == (OPERATION_ID, True)


def test_a_declined_capture_releases_its_part_and_fails_nothing_else(authorized: Payment) -> None:
    after = settled(ask(authorized, "capture", amount="4"), declined())
    assert after.payment == replace(authorized, version=5, updated_at=LATER_STILL)
    assert after.operation.decline == declined().decline


def test_a_final_capture_takes_its_part_and_releases_the_rest(authorized: Payment) -> None:
    after = approved(ask(authorized, "CapturePayment", amount="4", final=True))
    assert (after.status, after.captured_minor, after.voided_minor) == (Status.CAPTURED, 400, 600)
    assert (after.capture_pending_minor, after.void_pending_minor) == (0, 0)


def test_a_final_capture_that_is_declined_leaves_the_hold_as_it_was(authorized: Payment) -> None:
    after = settled(ask(authorized, "CapturePayment", amount="4", final=True), declined()).payment
    assert after == replace(authorized, version=5, updated_at=LATER_STILL)


def test_captures_under_way_side_by_side_settle_in_any_order(authorized: Payment) -> None:
    one = ask(authorized, "CapturePayment", amount="4")
    two = ask(one.payment, "CapturePayment", ANOTHER_ID, amount="6")
    after_two = approved(two)
    assert after_two.status is Status.PARTIALLY_CAPTURED
    assert (after_two.captured_minor, after_two.capture_pending_minor) == (600, 400)
    assert approved(one, on=after_two).status is Status.CAPTURED


def test_the_cancellation_of_the_rest_leaves_the_part_captured(partially_captured: Payment) -> None:
    rest = approved(ask(partially_captured, "cancel"))
    assert (rest.status, rest.captured_minor, rest.voided_minor) == (Status.CAPTURED, 400, 600)
    assert rest.lapses_at is None


def test_refunds_under_way_side_by_side_settle_in_any_order(captured: Payment) -> None:
    one = ask(captured, "refund", amount="4")
    two = ask(one.payment, "refund", ANOTHER_ID)
    assert two.operation.amount_minor == 600
    after_two = approved(two)
    assert (after_two.status, after_two.refund_pending_minor) == (Status.PARTIALLY_REFUNDED, 400)
    after_both = approved(one, on=after_two)
    assert (after_both.status, after_both.refunded_minor) == (Status.REFUNDED, 1000)


def test_a_declined_refund_can_be_refunded_again(captured: Payment) -> None:
    after = settled(ask(captured, "refund"), declined()).payment
    assert (after.status, after.refundable_minor) == (Status.CAPTURED, 1000)


@pytest.mark.parametrize(
    ("fixture", "action"),
    [
        *(("authorized", "CapturePayment"), ("authorized", "CancelPayment")),
        ("captured", "RefundPayment"),
    ],
)
def test_only_an_authorization_may_ask_for_the_customer(
    fixture: str, action: str, request: pytest.FixtureRequest
) -> None:
    step = ask(request.getfixturevalue(fixture), action)
    with pytest.raises(ValueError, match="requires_action"):
        settled(step, CHALLENGED)


@pytest.mark.parametrize("action", ["process", "authorize"])
def test_a_verdict_that_is_none_yet_is_not_booked(payment: Payment, action: str) -> None:
    with pytest.raises(ValueError, match="pending"):
        settled(ask(payment, action), UNKNOWN)


def test_a_hold_that_lapses_is_released_and_the_payment_expired(authorized: Payment) -> None:
    change = lapse(authorized, MUCH_LATER)
    assert (change.event, change.payment.status) == (EventType.EXPIRED, Status.EXPIRED)
    assert (change.payment.voided_minor, change.payment.capturable_minor) == (1000, 0)
    assert (change.payment.version, change.payment.updated_at) == (4, MUCH_LATER)
    assert change.payment.lapses_at is None


def test_a_hold_that_lapses_leaves_the_part_captured(partially_captured: Payment) -> None:
    change = lapse(partially_captured, MUCH_LATER)
    assert (change.event, change.payment.status) == (EventType.CAPTURE_CLOSED, Status.CAPTURED)
    assert (change.payment.captured_minor, change.payment.voided_minor) == (400, 600)


def test_an_abandoned_challenge_expires(challenged: Payment) -> None:
    after = lapse(challenged, MUCH_LATER).payment
    assert (after.status, after.next_action, after.lapses_at) == (Status.EXPIRED, None, None)


def test_a_payment_that_nobody_has_tried_expires_at_its_deadline(payment: Payment) -> None:
    after = lapse(replace(payment, expires_at=SOON, lapses_at=SOON), MUCH_LATER).payment
    assert (after.status, after.expires_at, after.lapses_at) == (Status.EXPIRED, SOON, None)


@pytest.mark.parametrize("fixture", ["payment", "failed", "captured"])
def test_what_has_no_end_of_its_own_does_not_lapse(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ValueError, match="no deadline"):
        lapse(request.getfixturevalue(fixture), MUCH_LATER)


@pytest.mark.parametrize(
    ("action", "reason"),
    [("CapturePayment", "CAPTURE_IN_PROGRESS"), ("CancelPayment", "CANCEL_IN_PROGRESS")],
)
def test_a_hold_does_not_lapse_below_an_operation(
    authorized: Payment, action: str, reason: str
) -> None:
    busy = ask(authorized, action).payment
    with pytest.raises(IllegalStep) as caught:
        lapse(busy, MUCH_LATER)
    assert caught.value.reason == reason


def refunded(payment: Payment, *amounts: str) -> tuple[Payment, Step]:
    """The payment after these refunds, and the last of them."""
    for amount in amounts:
        step = settled(ask(payment, "refund", amount=amount))
        payment = step.payment
    return payment, step


@pytest.mark.parametrize(
    ("amounts", "status", "left"),
    [
        (("10",), Status.CAPTURED, 0),
        (("4",), Status.CAPTURED, 0),
        (("4", "6"), Status.PARTIALLY_REFUNDED, 400),
        (("4", "3"), Status.PARTIALLY_REFUNDED, 400),
    ],
)
def test_a_refund_that_fails_late_is_with_the_merchant_again(
    captured: Payment, amounts: tuple[str, ...], status: Status, left: int
) -> None:
    payment, last = refunded(captured, *amounts)
    change = reverse(payment, refund_of(payment, last.operation), declined(), MUCH_LATER)
    assert (change.event, change.payment.status) == (EventType.REFUND_REVERSED, status)
    assert change.payment.refunded_minor == left
    assert (change.payment.version, change.payment.updated_at) == (payment.version + 1, MUCH_LATER)


def test_what_has_come_back_can_be_refunded_again(captured: Payment) -> None:
    payment, last = refunded(captured, "10")
    after = reverse(payment, refund_of(payment, last.operation), declined(), MUCH_LATER).payment
    assert ask(after, "refund").operation.amount_minor == 1000


def test_a_refund_that_fails_late_leaves_another_one_under_way(captured: Payment) -> None:
    payment, last = refunded(captured, "4")
    busy = ask(payment, "refund", ANOTHER_ID, amount="3").payment
    after = reverse(busy, refund_of(busy, last.operation), declined(), MUCH_LATER).payment
    assert (after.status, after.refund_pending_minor) == (Status.CAPTURED, 300)
    assert after.refundable_minor == 700


@pytest.mark.parametrize("verdict", [APPROVED, UNKNOWN], ids=["approved", "unknown"])
def test_a_refund_is_taken_back_for_a_reason_only(captured: Payment, verdict: Verdict) -> None:
    payment, last = refunded(captured, "4")
    with pytest.raises(ValueError, match="reason"):
        reverse(payment, refund_of(payment, last.operation), verdict, MUCH_LATER)


@pytest.mark.parametrize("verdict", [None, declined()], ids=["pending", "failed"])
def test_only_a_refund_that_succeeded_is_taken_back(
    captured: Payment, verdict: Verdict | None
) -> None:
    begun = ask(captured, "refund")
    step = settled(begun, verdict) if verdict else begun
    with pytest.raises(ValueError, match="succeeded"):
        reverse(step.payment, refund_of(step.payment, step.operation), declined(), MUCH_LATER)
