"""Card data: looked for in every text of a request, and named by its place alone.

What a card number looks like is in test_card_numbers.
"""

from typing import Any

import pytest

from payment_server.domain import commands
from payment_server.domain.card_data import refuse_card_data
from payment_server.domain.commands import ChangePayment, CreatePayment
from payment_server.domain.errors import CardDataRejected
from payment_server.domain.money import Currency
from payment_server.domain.payment import Action

VISA = "4242424242424242"


def places_of(command: CreatePayment | ChangePayment) -> list[str]:
    """Where card data is found."""
    try:
        refuse_card_data(command)
    except CardDataRejected as error:
        return [each.field for each in error.violations]
    return []


def places(**fields: Any) -> list[str]:
    """Where card data is found in a creation."""
    innocent: dict[str, Any] = {"customer_id": "cust123", "payment_method": "card"}
    return places_of(
        CreatePayment(
            **{"amount_minor": 1000, "currency": Currency("USD", 2), **innocent, **fields}
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        f"%B{VISA}^DOE/JANE^26121010000000000000?",
        f"b{VISA}^DOE/JANE^2612",
        f";{VISA}=26121010000000000000?",
        ";9999999999999=2612",
        f"read: ;{VISA}=2612 ok",
        "\uff1b9999999999999\uff1d2612",  # full-width marks
    ],
    ids=ascii,
)
def test_what_a_magnetic_stripe_holds_is_card_data(text: str) -> None:
    assert places(description=text) == ["description"]


@pytest.mark.parametrize("text", [";12=2612", "B2B^", "a;b=c", "%B123^"])
def test_what_only_resembles_a_stripe_passes(text: str) -> None:
    assert places(description=text) == []


@pytest.mark.parametrize("field", ["payment_method", "description"])
def test_every_text_of_a_creation_is_looked_at(field: str) -> None:
    assert places(**{field: VISA}) == [field]


@pytest.mark.parametrize("field", ["payment_method", "reason", "result"])
def test_every_text_of_a_step_is_looked_at(field: str) -> None:
    texts: dict[str, Any] = {field: f"card {VISA}"}
    wish = ChangePayment(payment_id="id", action=Action.PROCESS, **texts)
    assert places_of(wish) == [field]


@pytest.mark.parametrize(
    "wish",
    [
        commands.refund_payment(payment_id="id", reason="order ORD-2026-000123 came torn"),
        commands.complete_payment_action(payment_id="id", result="approved"),
        commands.capture_payment(payment_id="id", amount="4242424242.42"),
    ],
    ids=["reason", "result", "amount"],
)
def test_an_innocent_step_passes(wish: ChangePayment) -> None:
    assert places_of(wish) == []


def test_a_customers_id_may_look_like_a_card_number_but_not_like_a_track() -> None:
    assert places(customer_id=VISA) == []
    assert places(customer_id=f";{VISA}=2612") == ["customer_id"]


def test_a_metadata_value_is_named_by_its_key() -> None:
    assert places(metadata={"order": "77", "note": VISA}) == ["metadata.note"]


def test_a_metadata_key_that_is_a_number_is_named_by_its_place() -> None:
    assert places(metadata={"order": "77", VISA: "x"}) == ["metadata[1]"]


def test_a_value_below_such_a_key_is_named_by_the_place_too() -> None:
    assert places(metadata={VISA: VISA}) == ["metadata[0]"]


@pytest.mark.parametrize(
    "key",
    [
        *("cvv", "cvc", "CVV2", "cvc2", "csc", "security_code", "Security-Code", "card_number"),
        *("cardNumber", "pin", "PIN", "pin_block", "track", "track1", "track_2", "trackData"),
    ],
)
def test_a_metadata_key_that_promises_card_data_is_refused(key: str) -> None:
    assert places(metadata={key: "123"}) == [f"metadata.{key}"]


@pytest.mark.parametrize("key", ["order", "shipping", "tracking", "pinned", "opinion", "trackers"])
def test_a_metadata_key_that_only_sounds_like_it_passes(key: str) -> None:
    assert places(metadata={key: "123"}) == []


def test_every_place_is_told_at_once() -> None:
    assert places(description=VISA, metadata={"note": VISA, "cvc": "1"}) == [
        *("description", "metadata.note", "metadata.cvc"),
    ]


def test_a_place_is_told_once() -> None:
    assert places(metadata={"cvc": VISA}) == ["metadata.cvc"]


def test_the_refusal_does_not_repeat_the_number() -> None:
    with pytest.raises(CardDataRejected) as caught:
        refuse_card_data(ChangePayment(payment_id="id", action=Action.PROCESS, payment_method=VISA))
    assert caught.value.message == "payment_method: carries card data"
