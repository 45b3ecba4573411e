"""The table of what may happen in which status, and what a payment's amounts mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from unit.steps import ask

from payment_server.domain.payment import (
    ALLOWED_ACTIONS,
    AMOUNTS,
    ATTEMPTS_LIMIT,
    REFUSALS,
    TRANSITIONS,
    YES,
    Action,
    EventType,
    Payment,
    Status,
    agrees,
    status_after,
)

ATTEMPT = ("process", "authorize", "cancel")


@pytest.mark.parametrize(
    ("status", "actions"),
    [
        ("created", ATTEMPT),
        ("requires_action", ("cancel", "complete")),
        ("processing", ()),
        ("authorized", ("capture", "cancel")),
        ("partially_captured", ("capture", "cancel")),
        ("captured", ("refund",)),
        ("partially_refunded", ("refund",)),
        ("refunded", ()),
        ("failed", ATTEMPT),
        ("canceled", ()),
        ("expired", ()),
    ],
)
def test_a_status_allows_these_actions_and_no_others(status: str, actions: tuple[str, ...]) -> None:
    assert ALLOWED_ACTIONS[Status(status)] == actions


def test_every_status_says_something_to_every_action() -> None:
    assert REFUSALS.keys() == {(status, action) for status in Status for action in Action}


def test_a_new_payment_says_what_its_status_allows(payment: Payment) -> None:
    assert payment.allowed_actions == ATTEMPT


@pytest.mark.parametrize("status", Status)
def test_allowed_is_what_is_not_refused(status: Status) -> None:
    refused = {action for action in Action if REFUSALS[status, action] != YES}
    assert set(ALLOWED_ACTIONS[status]) == set(Action) - refused


@pytest.mark.parametrize(
    ("status", "action", "reason"),
    [
        ("created", "refund", "NOT_CAPTURED"),
        ("created", "capture", "NOT_AUTHORIZED"),
        ("created", "complete", "ACTION_NOT_REQUIRED"),
        ("failed", "capture", "NOT_AUTHORIZED"),
        ("failed", "complete", "ACTION_NOT_REQUIRED"),
        ("requires_action", "capture", "PAYMENT_REQUIRES_ACTION"),
        ("processing", "complete", "PAYMENT_PROCESSING"),
        ("authorized", "complete", "ALREADY_AUTHORIZED"),
        ("partially_captured", "complete", "ALREADY_AUTHORIZED"),
        ("captured", "complete", "ALREADY_CAPTURED"),
        ("partially_refunded", "complete", "ALREADY_CAPTURED"),
        ("refunded", "complete", "ALREADY_REFUNDED"),
        ("canceled", "complete", "PAYMENT_CANCELED"),
        ("expired", "complete", "PAYMENT_EXPIRED"),
        ("requires_action", "process", "PAYMENT_REQUIRES_ACTION"),
        ("processing", "cancel", "PAYMENT_PROCESSING"),
        ("processing", "refund", "PAYMENT_PROCESSING"),
        ("authorized", "process", "ALREADY_AUTHORIZED"),
        ("authorized", "refund", "NOT_CAPTURED"),
        ("partially_captured", "refund", "CAPTURE_NOT_FINAL"),
        ("captured", "capture", "ALREADY_CAPTURED"),
        ("captured", "cancel", "ALREADY_CAPTURED"),
        ("refunded", "refund", "ALREADY_REFUNDED"),
        ("canceled", "process", "PAYMENT_CANCELED"),
        ("expired", "capture", "PAYMENT_EXPIRED"),
    ],
)
def test_a_refusal_says_why(status: str, action: str, reason: str) -> None:
    assert REFUSALS[Status(status), Action(action)] == reason


def test_the_table_cannot_be_changed() -> None:
    table: Any = REFUSALS
    with pytest.raises(TypeError):
        table[Status.REFUNDED, Action.REFUND] = YES


def test_after_the_last_attempt_only_cancel_is_left(payment: Payment) -> None:
    failed = replace(payment, status=Status.FAILED, attempts=ATTEMPTS_LIMIT)
    assert failed.allowed_actions == (Action.CANCEL,)


def test_before_the_last_attempt_all_is_left(payment: Payment) -> None:
    failed = replace(payment, status=Status.FAILED, attempts=ATTEMPTS_LIMIT - 1)
    assert failed.allowed_actions == ATTEMPT


def test_a_payment_is_tried_ten_times_at_most() -> None:
    assert ATTEMPTS_LIMIT == 10


def test_a_payment_begins_as_created_with_version_1_and_no_amounts(payment: Payment) -> None:
    assert (payment.status, payment.version, payment.attempts) == (Status.CREATED, 1, 0)
    assert payment.held_minor == payment.capturable_minor == payment.refundable_minor == 0


AMOUNT = st.integers(0, 10**12)


@given(authorized=AMOUNT, captured=AMOUNT, capturing=AMOUNT, voided=AMOUNT, voiding=AMOUNT)
def test_capturable_is_what_is_authorized_and_neither_taken_nor_released_nor_reserved(
    payment: Payment, authorized: int, captured: int, capturing: int, voided: int, voiding: int
) -> None:
    changed = replace(
        payment,
        authorized_minor=authorized,
        captured_minor=captured,
        capture_pending_minor=capturing,
        voided_minor=voided,
        void_pending_minor=voiding,
    )
    assert changed.capturable_minor == authorized - captured - capturing - voided - voiding


@given(captured=AMOUNT, refunded=AMOUNT, refunding=AMOUNT)
def test_refundable_is_what_is_captured_and_neither_given_back_nor_on_its_way(
    payment: Payment, captured: int, refunded: int, refunding: int
) -> None:
    changed = replace(
        payment,
        captured_minor=captured,
        refunded_minor=refunded,
        refund_pending_minor=refunding,
    )
    assert changed.refundable_minor == captured - refunded - refunding


MEANINGS = [
    # authorized, captured, voided, refunded, and the statuses of such a payment
    ((0, 0, 0, 0), "created requires_action processing failed canceled expired"),
    ((1000, 0, 0, 0), "authorized"),
    ((1000, 400, 0, 0), "partially_captured"),
    ((1000, 400, 100, 0), "partially_captured"),
    ((1000, 1000, 0, 0), "captured"),
    ((1000, 400, 600, 0), "captured"),
    ((1000, 0, 1000, 0), "canceled expired"),
    ((1000, 1000, 0, 1), "partially_refunded"),
    ((1000, 400, 600, 399), "partially_refunded"),
    ((1000, 1000, 0, 1000), "refunded"),
    ((1000, 400, 600, 400), "refunded"),
    ((1000, 400, 0, 100), ""),
]


@pytest.mark.parametrize(("amounts", "statuses"), MEANINGS, ids=str)
def test_amounts_mean_certain_statuses(
    payment: Payment, amounts: tuple[int, int, int, int], statuses: str
) -> None:
    changed = with_amounts(payment, *amounts)
    assert {status for status in Status if agrees(changed, status)} == set(statuses.split())


def test_what_is_only_reserved_says_nothing_of_the_status(payment: Payment) -> None:
    reserved = replace(payment, authorized_minor=1000, capture_pending_minor=1000)
    assert agrees(reserved, Status.AUTHORIZED)


def test_every_status_says_what_its_amounts_are() -> None:
    assert AMOUNTS.keys() == set(Status)


def with_amounts(
    payment: Payment, authorized: int, captured: int, voided: int, refunded: int
) -> Payment:
    return replace(
        payment,
        authorized_minor=authorized,
        captured_minor=captured,
        voided_minor=voided,
        refunded_minor=refunded,
    )


@pytest.mark.parametrize(
    ("status", "event", "amounts", "target"),
    [
        ("processing", EventType.AUTHORIZED, (1000, 0, 0, 0), "authorized"),
        ("refunded", EventType.REFUND_REVERSED, (1000, 1000, 0, 0), "captured"),
        ("refunded", EventType.REFUND_REVERSED, (1000, 1000, 0, 1), "partially_refunded"),
        ("authorized", EventType.CAPTURE_FAILED, (1000, 0, 0, 0), "authorized"),
        ("partially_captured", EventType.CAPTURE_CLOSED, (1000, 400, 600, 0), "captured"),
    ],
)
def test_an_event_leads_to_the_status_that_the_amounts_have(
    payment: Payment,
    status: str,
    event: EventType,
    amounts: tuple[int, int, int, int],
    target: str,
) -> None:
    moved = with_amounts(replace(payment, status=Status(status)), *amounts)
    assert status_after(moved, event) == target


def test_an_event_with_amounts_of_another_is_a_bug_that_is_told(payment: Payment) -> None:
    held = with_amounts(replace(payment, status=Status.PROCESSING), 1000, 0, 0, 0)
    with pytest.raises(ValueError, match="captured"):
        status_after(held, EventType.CAPTURED)


def test_an_event_of_another_status_is_a_bug_that_is_told(payment: Payment) -> None:
    with pytest.raises(KeyError):
        status_after(payment, EventType.CAPTURED)


ENDS = {Status.REFUNDED, Status.CANCELED, Status.EXPIRED}


def test_what_is_over_stays_so_but_for_a_refund_that_fails_late() -> None:
    left = {(status, event) for status, event in TRANSITIONS if status in ENDS}
    assert left == {(Status.REFUNDED, EventType.REFUND_REVERSED)}


def test_every_event_but_the_first_happens_in_some_status() -> None:
    assert {event for _, event in TRANSITIONS} == set(EventType) - {
        EventType.CREATED,
        EventType.IMPORTED,
    }


def test_every_status_but_the_first_can_be_reached() -> None:
    reached = {target for targets in TRANSITIONS.values() for target in targets}
    assert reached >= set(Status) - {Status.CREATED}
    assert (Status.CREATED, EventType.CREATED) not in TRANSITIONS


@pytest.mark.parametrize(
    ("fixture", "action", "fields", "allowed"),
    [
        ("authorized", "CapturePayment", {"amount": "4"}, ["capture"]),
        ("authorized", "CapturePayment", {}, []),
        ("authorized", "CapturePayment", {"amount": "4", "final": True}, []),
        ("authorized", "CancelPayment", {}, []),
        ("partially_captured", "CapturePayment", {"amount": "1"}, ["capture"]),
        ("captured", "RefundPayment", {"amount": "4"}, ["refund"]),
        ("captured", "RefundPayment", {}, []),
    ],
)
def test_what_has_to_wait_is_not_allowed_meanwhile(
    fixture: str,
    action: str,
    fields: dict[str, Any],
    allowed: list[str],
    request: pytest.FixtureRequest,
) -> None:
    busy = ask(request.getfixturevalue(fixture), action, **fields).payment
    assert list(busy.allowed_actions) == allowed


def test_only_a_hold_has_an_end_that_is_told_as_one(
    authorized: Payment, partially_captured: Payment, challenged: Payment, captured: Payment
) -> None:
    assert authorized.authorization_expires_at == authorized.lapses_at
    assert partially_captured.authorization_expires_at == partially_captured.lapses_at
    assert challenged.authorization_expires_at is None
    assert captured.authorization_expires_at is None


@pytest.mark.parametrize(("exponent", "text"), [(0, "1000"), (2, "10.00"), (3, "1.000")])
def test_an_amount_is_shown_in_the_payments_own_currency(
    payment: Payment, exponent: int, text: str
) -> None:
    assert replace(payment, exponent=exponent).format(1000) == text
