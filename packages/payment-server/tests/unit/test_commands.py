"""Requests as commands: what fills in, what is refused, and that all faults are told at once."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from payment_server.domain import commands
from payment_server.domain.commands import ChangePayment, CreatePayment, ListPayments
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.money import Currency
from payment_server.domain.payment import Action, CaptureMethod, Status


def created(**fields: Any) -> CreatePayment:
    words = {"amount": "10.00", "currency": "USD", "customer_id": "cust123", "payment_method": ""}
    return commands.create_payment(**{**words, "metadata": {}, **fields})


def processed(**fields: Any) -> ChangePayment:
    return commands.process_payment(**{"payment_id": "an id", "action": "", **fields})


def listed(**fields: Any) -> ListPayments:
    return commands.list_payments(**{"metadata": {}, **fields})


def faults(make: Callable[..., object], **fields: Any) -> dict[str, str]:
    """What is wrong with which field."""
    with pytest.raises(InvalidRequest) as caught:
        make(**fields)
    return {each.field: each.message for each in caught.value.violations}


def test_a_creation_keeps_what_was_given() -> None:
    assert created(
        amount="1.5",
        currency="kwd",
        payment_method="card_visa",
        capture_method=CaptureMethod.MANUAL,
        description="two tickets",
        metadata={"order": "77"},
    ) == CreatePayment(
        amount_minor=1500,
        currency=Currency("KWD", 3),
        customer_id="cust123",
        payment_method="card_visa",
        capture_method=CaptureMethod.MANUAL,
        description="two tickets",
        metadata={"order": "77"},
    )


def test_the_currency_is_usd_unless_named() -> None:
    assert created(currency="").currency == Currency("USD", 2)


def test_the_payment_method_is_card_unless_named() -> None:
    assert created(payment_method="").payment_method == "card"


def test_the_capture_method_is_automatic_unless_named() -> None:
    assert created().capture_method is CaptureMethod.AUTOMATIC


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert faults(
        created,
        amount="ten",
        currency="XAU",
        customer_id="",
        payment_method="x" * 256,
        description="\x00",
        metadata={"note": "x" * 501},
    ).keys() == {
        *("amount", "currency", "customer_id", "payment_method", "description", "metadata.note"),
    }


def test_an_absent_amount_is_called_absent() -> None:
    assert faults(created, amount="") == {"amount": "is required"}


def test_an_amount_is_judged_by_its_own_currency() -> None:
    assert faults(created, amount="10.5", currency="JPY") == {
        "amount": "has 1 decimals; the currency has 0"
    }


def test_an_unknown_currency_does_not_hide_a_bad_amount() -> None:
    assert faults(created, amount="1e5", currency="ZZZ").keys() == {"amount", "currency"}


def test_an_absent_customer_is_called_absent() -> None:
    assert faults(created, customer_id="") == {"customer_id": "is required"}


LIMITS = [("customer_id", 255), ("payment_method", 255), ("description", 1_000)]


@pytest.mark.parametrize(("field", "limit"), LIMITS)
def test_a_text_may_be_as_long_as_its_limit(field: str, limit: int) -> None:
    assert getattr(created(**{field: "ñ" * limit}), field) == "ñ" * limit


@pytest.mark.parametrize(("field", "limit"), LIMITS)
def test_a_text_over_its_limit_is_refused(field: str, limit: int) -> None:
    message = f"has {limit + 1} characters; at most {limit} are allowed"
    assert faults(created, **{field: "ñ" * (limit + 1)}) == {field: message}


def test_a_character_counts_as_one_whatever_its_bytes() -> None:
    assert created(customer_id="😀" * 255).customer_id == "😀" * 255


UNSTORABLE = {
    "nul": "\x00",
    "line feed": "\n",
    "carriage return": "\r",
    "tab": "\t",
    "escape": "\x1b",
    "delete": "\x7f",
    "C1 control": "\x85",
    "high surrogate alone": "\ud800",
    "low surrogate alone": "\udfff",
}


@pytest.mark.parametrize("character", UNSTORABLE.values(), ids=UNSTORABLE)
@pytest.mark.parametrize("field", ["customer_id", "payment_method", "description"])
def test_a_text_that_cannot_be_stored_is_refused(field: str, character: str) -> None:
    assert faults(created, **{field: f"before{character}after"}) == {
        field: "has a control character or a lone surrogate"
    }


@pytest.mark.parametrize("text", ["Zoë Müller", "山田", "👩‍💻", "שלום", "a b"])
def test_people_may_write_as_they_do(text: str) -> None:
    assert created(description=text).description == text


def test_metadata_may_be_as_large_as_its_limits() -> None:
    full = {f"{number:040d}": "x" * 500 for number in range(50)}
    assert created(metadata=full).metadata == full


def test_a_metadata_value_may_be_empty() -> None:
    assert created(metadata={"gift": ""}).metadata == {"gift": ""}


def test_too_many_metadata_entries_are_refused() -> None:
    entries = {str(number): "" for number in range(51)}
    assert faults(created, metadata=entries) == {
        "metadata": "has 51 entries; at most 50 are allowed"
    }


def test_a_metadata_value_over_its_limit_is_named_by_its_key() -> None:
    assert faults(created, metadata={"a": "", "note": "x" * 501}).keys() == {"metadata.note"}


def test_a_key_of_40_characters_is_named_in_full() -> None:
    assert faults(created, metadata={"k" * 40: "x" * 501}).keys() == {f"metadata.{'k' * 40}"}


def test_a_metadata_value_that_cannot_be_stored_is_named_by_its_key() -> None:
    assert faults(created, metadata={"note": "\x00"}).keys() == {"metadata.note"}


@pytest.mark.parametrize("key", ["x" * 41, "\x00", "\ud800", "line\nfeed"], ids=ascii)
def test_a_bad_metadata_key_is_named_by_its_place_and_not_repeated(key: str) -> None:
    assert faults(created, metadata={"fine": "", key: ""}).keys() == {"metadata[1]"}


@pytest.mark.parametrize("key", ["4242424242424242", "größe", "a b", "<b>", "1234567890123"])
def test_a_key_that_may_be_secret_or_strange_is_not_repeated_either(key: str) -> None:
    assert faults(created, metadata={"fine": "", key: "\x00"}).keys() == {"metadata[1]"}


@pytest.mark.parametrize("name", ["order", "Order_no-7.b", "k" * 40, "123456789012"])
def test_a_short_plain_name_may_be_told(name: str) -> None:
    assert commands.is_tellable(name)


@pytest.mark.parametrize("name", ["", "k" * 41, "a b", "é", "a\n", "4242-4242-4242-4242"])
def test_any_other_name_may_not_be_told(name: str) -> None:
    assert not commands.is_tellable(name)


def test_an_empty_metadata_key_is_refused() -> None:
    assert "is required" in faults(created, metadata={"": "value"}).values()


@pytest.mark.parametrize("action", [each for each in Action if each is not Action.COMPLETE])
def test_an_action_is_known_by_its_name(action: Action) -> None:
    assert processed(action=str(action)).action is action


def test_no_action_is_process() -> None:
    assert processed(action="").action is Action.PROCESS


@pytest.mark.parametrize(
    "action", ["settle", "Process", "PROCESS", " process", "process\n", "\x00"]
)
def test_an_unknown_action_is_refused_with_the_known_ones(action: str) -> None:
    assert faults(processed, action=action) == {
        "action": "must be one of process, authorize, capture, cancel, refund"
    }


def test_an_unknown_action_is_not_judged_by_its_amount() -> None:
    assert faults(processed, action="settle", amount="2.50").keys() == {"action"}


@pytest.mark.parametrize("action", ["capture", "refund"])
def test_a_part_may_be_captured_or_refunded(action: str) -> None:
    assert processed(action=action, amount="2.5").amount == "2.5"


@pytest.mark.parametrize("action", ["", "process", "authorize", "cancel"])
def test_other_actions_take_no_amount(action: str) -> None:
    assert faults(processed, action=action, amount="2.50").keys() == {"amount"}


@pytest.mark.parametrize(
    "amount", ["ten", "-1", "1e2", "01", "1.", ".5", "1.0000", "NaN", "\uff11"]
)
def test_an_amount_of_a_part_has_the_same_grammar(amount: str) -> None:
    assert faults(processed, action="refund", amount=amount).keys() == {"amount"}


@pytest.mark.parametrize("action", ["", "process", "authorize", "capture"])
def test_a_new_attempt_may_name_a_payment_method(action: str) -> None:
    assert processed(action=action, payment_method="card_visa").payment_method == "card_visa"


@pytest.mark.parametrize("action", ["cancel", "refund"])
def test_other_actions_take_no_payment_method(action: str) -> None:
    assert faults(processed, action=action, payment_method="card").keys() == {"payment_method"}


@pytest.mark.parametrize("version", [0, 1, 2**63 - 1])
def test_a_version_of_any_size_may_be_expected(version: int) -> None:
    assert processed(expected_version=version).expected_version == version


@pytest.mark.parametrize("version", [-1, -(2**63), 2**63])
def test_a_version_that_no_payment_can_have_is_refused(version: int) -> None:
    assert faults(processed, expected_version=version).keys() == {"expected_version"}


@pytest.mark.parametrize("payment_id", ["", "x" * 256, "\x00", "\ud800"], ids=["", "256", "0", "s"])
def test_what_can_be_no_payment_id_is_refused(payment_id: str) -> None:
    assert faults(processed, payment_id=payment_id).keys() == {"payment_id"}


@pytest.mark.parametrize("payment_id", ["", "x" * 256, "\x00"], ids=["", "256", "0"])
def test_a_read_refuses_the_same_payment_ids(payment_id: str) -> None:
    assert faults(commands.get_payment, payment_id=payment_id).keys() == {"payment_id"}


def test_a_payment_id_of_another_look_is_left_to_be_unknown() -> None:
    assert commands.get_payment("x" * 255) == "x" * 255


def test_a_list_keeps_its_filters() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    wish = listed(
        customer_id="cust123",
        status=Status.CAPTURED,
        created_from=moment,
        created_before=moment,
        metadata={"order": "77"},
        page_token="token",
    )
    assert (wish.customer_id, wish.status, wish.metadata) == (
        "cust123",
        Status.CAPTURED,
        {"order": "77"},
    )
    assert (wish.created_from, wish.created_before, wish.page_token) == (moment, moment, "token")


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 50), (1, 1), (999, 999), (1_000, 1_000), (1_001, 1_000)]
)
def test_a_page_has_the_size_asked_for_within_its_limit(asked: int, given: int) -> None:
    assert listed(page_size=asked).page_size == given


def test_a_page_size_below_zero_is_refused() -> None:
    assert faults(listed, page_size=-1) == {"page_size": "must not be below zero"}


def test_filters_have_the_limits_of_what_they_look_for() -> None:
    assert faults(listed, customer_id="x" * 256, metadata={"note": "\x00"}).keys() == {
        *("customer_id", "metadata.note"),
    }


@pytest.mark.parametrize("text", ["a", "shop_1-x", "0", "z" * 64])
def test_a_merchant_may_be_named(text: str) -> None:
    assert commands.merchant_id(text) == text


def test_the_merchant_is_default_unless_named() -> None:
    assert commands.merchant_id("") == "default"


@pytest.mark.parametrize(
    "text", ["Shop", "a b", "a.b", "ä", "z" * 65, "a\n", "../a", "\u0661"], ids=ascii
)
def test_what_is_no_merchant_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        commands.merchant_id(text)
    assert [each.field for each in caught.value.violations] == ["x-merchant-id"]
