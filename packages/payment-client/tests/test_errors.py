"""`payment_client._errors`: exceptions as a program uses them."""

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

import payment_client
from payment_client import (
    AmountTooLarge,
    FieldViolation,
    IllegalTransition,
    PaymentError,
    PaymentStatus,
    Unavailable,
)
from payment_client._errors import outcome_unknown
from payment_client._types import FrozenStrings


@pytest.fixture
def error() -> PaymentError:
    return AmountTooLarge(
        "at most 7.50 is left",
        reason="AMOUNT_EXCEEDS_CAPTURABLE",
        violations=(FieldViolation(field="amount", message="is too large"),),
        metadata=FrozenStrings({"limit": "7.50"}),
        retry_after=timedelta(seconds=1),
        request_id="r-1",
        idempotency_key="order-42",
    )


def test_the_text_names_reason_and_request(error: PaymentError) -> None:
    assert str(error) == "at most 7.50 is left (AMOUNT_EXCEEDS_CAPTURABLE, request r-1)"


def test_the_text_leaves_out_a_request_without_a_name() -> None:
    assert str(PaymentError("it failed")) == "it failed (UNKNOWN)"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301 - made here
def test_an_error_comes_whole_out_of_a_copy(
    error: PaymentError, copied: Callable[[PaymentError], PaymentError]
) -> None:
    assert (type(copied(error)), vars(copied(error))) == (type(error), vars(error))


def test_the_facts_of_an_error_cannot_be_changed(error: PaymentError) -> None:
    with pytest.raises(TypeError):
        error.metadata["limit"] = "9.99"  # type: ignore[index]


def test_a_limit_is_money() -> None:
    assert AmountTooLarge("", metadata={"limit": "7.50"}).limit == Decimal("7.50")


@pytest.mark.parametrize("metadata", [{}, {"limit": "much"}])
def test_a_limit_that_is_no_amount_is_none(metadata: dict[str, str]) -> None:
    assert AmountTooLarge("", metadata=metadata).limit is None


def test_an_illegal_transition_without_facts_says_so() -> None:
    error = IllegalTransition("")
    assert (error.status, error.allowed_actions) == (None, ())


def test_a_status_of_a_newer_service_is_unknown() -> None:
    error = IllegalTransition("", metadata={"status": "on_hold"})
    assert error.status is PaymentStatus.UNKNOWN


def test_allowed_actions_come_apart() -> None:
    error = IllegalTransition("", metadata={"allowed_actions": "capture, cancel"})
    assert error.allowed_actions == ("capture", "cancel")


def test_every_error_goes_through_pickle_with_its_facts() -> None:
    kinds = [
        each
        for each in vars(payment_client).values()
        if isinstance(each, type) and issubclass(each, PaymentError)
    ]
    errors = [each("lost", reason="R", idempotency_key="order-42") for each in kinds]
    lost = Unavailable("lost", reason="R", idempotency_key="order-42")
    errors.append(outcome_unknown(lost, is_about_it=True))
    for error in errors:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        assert (type(again), again.message) == (type(error), "lost")
        assert (again.reason, again.idempotency_key) == ("R", "order-42")
