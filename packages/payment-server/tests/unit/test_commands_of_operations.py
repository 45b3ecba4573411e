"""The calls that stand for one operation, lists of what belongs to a payment, and watches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from payment_server.domain import commands
from payment_server.domain.commands import (
    ChangePayment,
    ListOfPayment,
    WatchPayments,
)
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.payment import Action


def captured(**fields: Any) -> ChangePayment:
    return commands.capture_payment(**{"payment_id": "an id", **fields})


def canceled(**fields: Any) -> ChangePayment:
    return commands.cancel_payment(**{"payment_id": "an id", **fields})


def refunded(**fields: Any) -> ChangePayment:
    return commands.refund_payment(**{"payment_id": "an id", **fields})


def completed(**fields: Any) -> ChangePayment:
    return commands.complete_payment_action(**{"payment_id": "an id", **fields})


def refunds_listed(**fields: Any) -> ListOfPayment:
    return commands.list_of_payment("refunds", **{"payment_id": "an id", **fields})


def events_listed(**fields: Any) -> ListOfPayment:
    return commands.list_of_payment("events", **{"payment_id": "an id", **fields})


def watched(**fields: Any) -> WatchPayments:
    return commands.watch_payments(**fields)


STRICT = (captured, canceled, refunded, completed)
UNSTORABLE = {"nul": "\x00", "line feed": "\n", "escape": "\x1b", "C1": "\x85", "alone": "\ud800"}


def faults(make: Callable[..., object], **fields: Any) -> dict[str, str]:
    """What is wrong with which field."""
    with pytest.raises(InvalidRequest) as caught:
        make(**fields)
    return {each.field: each.message for each in caught.value.violations}


def test_a_capture_is_strict_and_keeps_what_was_given() -> None:
    assert captured(amount="2.5", final=True, expected_version=3) == ChangePayment(
        payment_id="an id",
        action=Action.CAPTURE,
        amount="2.5",
        final=True,
        strict=True,
        expected_version=3,
    )


def test_a_capture_is_not_final_unless_asked_for() -> None:
    assert not captured().final


def test_the_capture_of_process_is_not_strict() -> None:
    assert not commands.process_payment(payment_id="an id", action="capture").strict


@pytest.mark.parametrize(
    ("call", "action", "fields"),
    [(canceled, "cancel", {}), (refunded, "refund", {}), (refunded, "refund", {"amount": "2.5"})],
)
def test_process_forwards_to_the_call_of_the_same_name(
    call: Callable[..., ChangePayment], action: str, fields: dict[str, Any]
) -> None:
    same = commands.process_payment(payment_id="an id", action=action, **fields)
    assert call(**fields) == same


def test_a_refund_keeps_its_reason() -> None:
    assert refunded(amount="2.5", reason="torn").reason == "torn"


def test_a_completion_keeps_its_result() -> None:
    wish = completed(result="approved")
    assert (wish.action, wish.result) == (Action.COMPLETE, "approved")


def test_process_does_not_complete() -> None:
    wish = {"payment_id": "an id", "action": "complete"}
    assert faults(commands.process_payment, **wish).keys() == {"action"}


@pytest.mark.parametrize("call", STRICT)
@pytest.mark.parametrize("payment_id", ["", "x" * 256, "\x00", "\ud800"], ids=["", "256", "0", "s"])
def test_what_can_be_no_payment_id_is_refused(call: Callable[..., object], payment_id: str) -> None:
    assert faults(call, payment_id=payment_id).keys() == {"payment_id"}


@pytest.mark.parametrize("call", STRICT)
def test_a_version_that_no_payment_can_have_is_refused(call: Callable[..., object]) -> None:
    assert faults(call, expected_version=2**63).keys() == {"expected_version"}
    assert faults(call, expected_version=-1).keys() == {"expected_version"}


@pytest.mark.parametrize("call", [captured, refunded])
@pytest.mark.parametrize(
    "amount", ["ten", "-1", "1e2", "01", "1.", ".5", "1.0000", "NaN", "\uff11"]
)
def test_a_part_has_the_grammar_of_amounts(call: Callable[..., object], amount: str) -> None:
    assert faults(call, amount=amount).keys() == {"amount"}


TEXTS: list[tuple[Callable[..., object], str, int]] = [
    (refunded, "reason", 255),
    (completed, "result", 1_000),
    (watched, "payment_id", 255),
    (watched, "customer_id", 255),
    (watched, "cursor", 255),
]


@pytest.mark.parametrize(("call", "field", "limit"), TEXTS)
def test_a_text_may_be_as_long_as_its_limit(
    call: Callable[..., object], field: str, limit: int
) -> None:
    assert getattr(call(**{field: "ñ" * limit}), field) == "ñ" * limit


@pytest.mark.parametrize(("call", "field", "limit"), TEXTS)
def test_a_text_over_its_limit_is_refused(
    call: Callable[..., object], field: str, limit: int
) -> None:
    message = f"has {limit + 1} characters; at most {limit} are allowed"
    assert faults(call, **{field: "ñ" * (limit + 1)}) == {field: message}


@pytest.mark.parametrize("character", UNSTORABLE.values(), ids=UNSTORABLE)
@pytest.mark.parametrize(("call", "field"), [(call, field) for call, field, _ in TEXTS])
def test_a_text_that_cannot_be_stored_is_refused(
    call: Callable[..., object], field: str, character: str
) -> None:
    assert faults(call, **{field: f"before{character}after"}) == {
        field: "has a control character or a lone surrogate"
    }


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (captured, {"payment_id": "", "amount": "ten", "expected_version": -1}),
        (canceled, {"payment_id": "", "expected_version": -1}),
        (
            refunded,
            {"payment_id": "\x00", "amount": "1e5", "reason": "\x00", "expected_version": -1},
        ),
        (completed, {"payment_id": "", "result": "x" * 1_001, "expected_version": -1}),
        (refunds_listed, {"payment_id": "", "page_size": -1}),
        (events_listed, {"payment_id": "", "page_size": -1}),
        (watched, {"payment_id": "\x00", "customer_id": "x" * 256, "cursor": "x" * 256}),
    ],
)
def test_everything_that_is_wrong_is_told_at_once(
    call: Callable[..., object], wrong: dict[str, Any]
) -> None:
    assert faults(call, **wrong).keys() == wrong.keys()


def test_a_read_of_a_refund_needs_an_id() -> None:
    assert faults(commands.get_refund, refund_id="") == {"refund_id": "is required"}
    assert faults(commands.get_refund, refund_id="x" * 256).keys() == {"refund_id"}


def test_a_refund_id_of_another_look_is_left_to_be_unknown() -> None:
    assert commands.get_refund("x" * 255) == "x" * 255


@pytest.mark.parametrize("call", [refunds_listed, events_listed])
@pytest.mark.parametrize(
    ("asked", "given"), [(0, 50), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)]
)
def test_a_page_has_the_size_asked_for_within_its_limit(
    call: Callable[..., ListOfPayment], asked: int, given: int
) -> None:
    assert call(page_size=asked).page_size == given


def test_a_list_says_what_it_is_of() -> None:
    assert (refunds_listed().what, events_listed().what) == ("refunds", "events")


def test_a_watch_is_of_everything_from_now_on_unless_told_otherwise() -> None:
    assert watched() == WatchPayments()


@pytest.mark.parametrize(
    "fields",
    [
        {"payment_id": "an id"},
        {"customer_id": "cust123"},
        {"payment_id": "an id", "cursor": "1.x"},
        {"customer_id": "cust123", "from_beginning": True},
    ],
    ids=str,
)
def test_a_watch_keeps_what_was_given(fields: dict[str, Any]) -> None:
    wish = watched(**fields)
    assert {name: getattr(wish, name) for name in fields} == fields


def test_a_watch_is_of_a_payment_or_of_a_customer() -> None:
    assert faults(watched, payment_id="an id", customer_id="cust123").keys() == {"customer_id"}


def test_a_watch_begins_at_a_cursor_or_at_the_beginning() -> None:
    assert faults(watched, cursor="1.x", from_beginning=True).keys() == {"from_beginning"}


def created(expires_at: datetime | None) -> datetime | None:
    return commands.create_payment(
        amount="10.00",
        currency="USD",
        customer_id="cust123",
        payment_method="card",
        metadata={},
        expires_at=expires_at,
    ).expires_at


def test_a_payment_has_no_deadline_unless_asked_for() -> None:
    assert created(None) is None


@pytest.mark.parametrize(
    "spelling",
    [
        datetime(2027, 1, 1, 12, 30, 0, 123_000, tzinfo=UTC),
        datetime(2027, 1, 1, 12, 30, 0, 123_999, tzinfo=UTC),
        datetime(2027, 1, 1, 14, 30, 0, 123_000, tzinfo=timezone(timedelta(hours=2))),
    ],
    ids=str,
)
def test_a_deadline_is_kept_in_utc_and_to_the_millisecond(spelling: datetime) -> None:
    kept = created(spelling)
    assert kept is not None
    assert kept.isoformat() == "2027-01-01T12:30:00.123000+00:00"


@pytest.mark.parametrize(
    "beyond",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
    ids=str,
)
def test_a_deadline_beyond_all_calendars_is_refused(beyond: datetime) -> None:
    with pytest.raises(InvalidRequest) as caught:
        created(beyond)
    assert [each.field for each in caught.value.violations] == ["expires_at"]
