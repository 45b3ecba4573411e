"""`payment_client._types`: values that compare, hash, pickle, copy, and do not change."""

import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    CallInfo,
    CaptureMethod,
    DeclineAdvice,
    Event,
    EventPage,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    PaymentStatus,
    Refund,
    RefundPage,
    RefundStatus,
)
from payment_client._types import FrozenStrings

MOMENT = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
ZERO = Decimal("0.00")


@pytest.fixture
def payment() -> Payment:
    return Payment(
        payment_id="019ab000-0000-7000-8000-000000000001",
        merchant_id="default",
        customer_id="cust123",
        payment_method="card",
        capture_method=CaptureMethod.AUTOMATIC,
        description="Two tickets for Ada Lovelace",
        metadata=FrozenStrings({"order": "42"}),
        currency="USD",
        amount=Decimal("10.00"),
        status=PaymentStatus.CREATED,
        amount_authorized=ZERO,
        amount_captured=ZERO,
        amount_capturable=ZERO,
        amount_voided=ZERO,
        amount_refunded=ZERO,
        amount_refund_pending=ZERO,
        amount_refundable=ZERO,
        decline=None,
        next_action=None,
        attempts=0,
        version=1,
        allowed_actions=("process", "cancel"),
        created_at=MOMENT,
        updated_at=MOMENT,
        authorization_expires_at=None,
        expires_at=None,
    )


@pytest.fixture
def refund() -> Refund:
    return Refund(
        refund_id="019ab000-0000-7000-8000-000000000002",
        payment_id="019ab000-0000-7000-8000-000000000001",
        amount=Decimal("2.50"),
        currency="USD",
        status=RefundStatus.PENDING,
        reason="Ada Lovelace changed her mind",
        decline=None,
        created_at=MOMENT,
        updated_at=MOMENT,
    )


@pytest.fixture
def event(payment: Payment) -> Event:
    return Event(
        event_id="019ab000-0000-7000-8000-000000000003",
        payment_id=payment.payment_id,
        version=1,
        type="payment.created",
        occurred_at=MOMENT,
        payment=payment,
    )


def test_a_payment_cannot_be_changed(payment: Payment) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        payment.amount = Decimal(0)  # type: ignore[misc]


def test_the_metadata_of_a_payment_cannot_be_changed(payment: Payment) -> None:
    with pytest.raises(TypeError):
        payment.metadata["order"] = "43"  # type: ignore[index]


def test_metadata_equals_a_dict_of_the_same_entries(payment: Payment) -> None:
    assert payment.metadata == {"order": "42"}


def test_how_the_answer_came_about_is_no_part_of_its_value(payment: Payment) -> None:
    replay = dataclasses.replace(payment, call=CallInfo(request_id="r-1", replayed=True))
    assert replay == payment
    assert hash(replay) == hash(payment)


def test_a_payment_can_be_pickled(payment: Payment) -> None:
    assert pickle.loads(pickle.dumps(payment)) == payment  # noqa: S301 - made a line before


def test_a_payment_can_be_copied_deeply(payment: Payment) -> None:
    assert copy.deepcopy(payment) == payment


def test_a_payment_can_be_taken_apart(payment: Payment) -> None:
    assert dataclasses.asdict(payment)["metadata"] == {"order": "42"}


def test_a_payment_shows_itself_in_short_and_without_anybodys_words(payment: Payment) -> None:
    assert repr(payment) == "Payment(019ab000-0000-7000-8000-000000000001 10.00 USD created)"


def test_a_page_shows_how_many_it_has_and_whether_more_follow(payment: Payment) -> None:
    page = Page(payments=(payment,), next_page_token="abc")
    assert repr(page) == "Page(1 payments, more follow)"


def test_a_refund_shows_itself_in_short_and_without_anybodys_words(refund: Refund) -> None:
    assert repr(refund) == "Refund(019ab000-0000-7000-8000-000000000002 2.50 USD pending)"


def test_a_page_of_refunds_shows_how_many_it_has(refund: Refund) -> None:
    page = RefundPage(refunds=(refund,), next_page_token="")
    assert repr(page) == "RefundPage(1 refunds, the last page)"


def test_an_event_shows_itself_in_short_and_without_anybodys_words(event: Event) -> None:
    shown = "Event(payment.created 019ab000-0000-7000-8000-000000000001 version 1)"
    assert repr(event) == shown


def test_a_page_of_events_shows_how_many_it_has(event: Event) -> None:
    page = EventPage(events=(event,), next_page_token="abc")
    assert repr(page) == "EventPage(1 events, more follow)"


def test_an_event_can_be_pickled(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - made a line before


@pytest.mark.parametrize(
    ("names", "prefix", "numbers"),
    [
        (PaymentStatus, "PAYMENT_STATUS_", pb.PaymentStatus.items()),
        (CaptureMethod, "CAPTURE_METHOD_", pb.CaptureMethod.items()),
        (OperationKind, "OPERATION_KIND_", pb.OperationKind.items()),
        (OperationStatus, "OPERATION_STATUS_", pb.OperationStatus.items()),
        (RefundStatus, "REFUND_STATUS_", pb.RefundStatus.items()),
        (DeclineAdvice, "DECLINE_ADVICE_", pb.DeclineAdvice.items()),
    ],
)
def test_an_enumeration_has_the_contracts_names_and_unknown(
    names: type[StrEnum], prefix: str, numbers: list[tuple[str, int]]
) -> None:
    contract = {name.removeprefix(prefix).lower() for name, number in numbers if number}
    assert {name.value for name in names} == contract | {"unknown"}
