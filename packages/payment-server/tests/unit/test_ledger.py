"""What moves between the accounts with each change; that it always adds up is in the lives."""

from datetime import timedelta

import pytest
from unit.steps import (
    CHALLENGED,
    LATER_STILL,
    approved,
    ask,
    declined,
    settled,
)

from payment_server.domain.ledger import Account, Transfer, transfers_between
from payment_server.domain.operation import refund_of
from payment_server.domain.payment import Payment
from payment_server.domain.step import lapse, reverse

CUSTOMER, HOLD = Account.CUSTOMER_FUNDS, Account.AUTHORIZATION_HOLD
MERCHANT, REFUNDS = Account.MERCHANT_BALANCE, Account.REFUNDS


def test_an_intent_to_authorize_moves_nothing(payment: Payment) -> None:
    assert transfers_between(payment, ask(payment, "process").payment) == ()


def test_an_authorization_puts_the_customers_money_on_hold(manual: Payment) -> None:
    step = ask(manual, "process")
    assert transfers_between(step.payment, approved(step)) == (Transfer(CUSTOMER, HOLD, 1000),)


def test_a_payment_captured_at_once_goes_through_the_hold(payment: Payment) -> None:
    step = ask(payment, "process")
    assert transfers_between(step.payment, approved(step)) == (
        Transfer(CUSTOMER, HOLD, 1000),
        Transfer(HOLD, MERCHANT, 1000),
    )


def test_neither_a_decline_nor_a_challenge_moves_anything(payment: Payment) -> None:
    step = ask(payment, "process")
    for verdict in (declined(), CHALLENGED):
        assert transfers_between(step.payment, settled(step, verdict).payment) == ()


def test_what_is_being_captured_stays_on_hold(authorized: Payment) -> None:
    step = ask(authorized, "CapturePayment", amount="4", final=True)
    assert transfers_between(authorized, step.payment) == ()


def test_a_capture_pays_the_merchant(authorized: Payment) -> None:
    step = ask(authorized, "CapturePayment", amount="4")
    assert transfers_between(step.payment, approved(step)) == (Transfer(HOLD, MERCHANT, 400),)


def test_a_final_capture_gives_the_rest_back_too(authorized: Payment) -> None:
    step = ask(authorized, "CapturePayment", amount="4", final=True)
    assert transfers_between(step.payment, approved(step)) == (
        Transfer(HOLD, MERCHANT, 400),
        Transfer(HOLD, CUSTOMER, 600),
    )


def test_a_cancellation_gives_the_hold_back(authorized: Payment) -> None:
    step = ask(authorized, "cancel")
    assert transfers_between(step.payment, approved(step)) == (Transfer(HOLD, CUSTOMER, 1000),)


def test_a_hold_that_lapses_is_given_back(partially_captured: Payment) -> None:
    after = lapse(partially_captured, LATER_STILL + timedelta(days=30)).payment
    assert transfers_between(partially_captured, after) == (Transfer(HOLD, CUSTOMER, 600),)


def test_an_intent_to_refund_sets_its_amount_aside(captured: Payment) -> None:
    step = ask(captured, "refund", amount="4")
    assert transfers_between(captured, step.payment) == (Transfer(MERCHANT, REFUNDS, 400),)


def test_a_refund_pays_the_customer(captured: Payment) -> None:
    step = ask(captured, "refund", amount="4")
    assert transfers_between(step.payment, approved(step)) == (Transfer(REFUNDS, CUSTOMER, 400),)


def test_a_refund_that_fails_is_the_merchants_again(captured: Payment) -> None:
    step = ask(captured, "refund", amount="4")
    after = settled(step, declined()).payment
    assert transfers_between(step.payment, after) == (Transfer(REFUNDS, MERCHANT, 400),)


def test_a_refund_that_fails_late_is_paid_back_by_the_customer(captured: Payment) -> None:
    step = settled(ask(captured, "refund", amount="4"))
    refund = refund_of(step.payment, step.operation)
    after = reverse(step.payment, refund, declined(), LATER_STILL).payment
    assert transfers_between(step.payment, after) == (Transfer(CUSTOMER, MERCHANT, 400),)


@pytest.mark.parametrize("fixture", ["payment", "authorized", "captured", "failed"])
def test_a_payment_that_does_not_change_moves_nothing(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    payment = request.getfixturevalue(fixture)
    assert transfers_between(payment, payment) == ()
