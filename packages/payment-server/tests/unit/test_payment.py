"""The table of what may happen in which status, and what a payment's amounts mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payment_server.domain.payment import (
    ALLOWED_ACTIONS,
    ATTEMPTS_LIMIT,
    REFUSALS,
    YES,
    Action,
    Payment,
    Status,
    agrees,
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


@pytest.mark.parametrize(
    ("authorized", "captured", "voided", "refunded", "status"),
    [
        (1000, 0, 0, 0, "authorized"),
        (1000, 400, 0, 0, "partially_captured"),
        (1000, 400, 100, 0, "partially_captured"),
        (1000, 1000, 0, 0, "captured"),
        (1000, 400, 600, 0, "captured"),
        (1000, 0, 1000, 0, "canceled"),
        (1000, 1000, 0, 1, "partially_refunded"),
        (1000, 400, 600, 399, "partially_refunded"),
        (1000, 1000, 0, 1000, "refunded"),
        (1000, 400, 600, 400, "refunded"),
    ],
)
def test_amounts_mean_a_status(
    payment: Payment, authorized: int, captured: int, voided: int, refunded: int, status: str
) -> None:
    changed = replace(
        payment,
        authorized_minor=authorized,
        captured_minor=captured,
        voided_minor=voided,
        refunded_minor=refunded,
    )
    assert agrees(changed, Status(status))


def test_what_is_only_reserved_does_not_change_the_status(payment: Payment) -> None:
    reserved = replace(payment, authorized_minor=1000, capture_pending_minor=1000)
    assert agrees(reserved, Status.AUTHORIZED)


@pytest.mark.parametrize(("exponent", "text"), [(0, "1000"), (2, "10.00"), (3, "1.000")])
def test_an_amount_is_shown_in_the_payments_own_currency(
    payment: Payment, exponent: int, text: str
) -> None:
    assert replace(payment, exponent=exponent).format(1000) == text
