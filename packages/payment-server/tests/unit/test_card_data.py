"""Card data: found wherever it may stand, named by its place, and never seen in innocent digits."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payment_server.domain.card_data import refuse_card_data
from payment_server.domain.commands import CreatePayment, ProcessPayment
from payment_server.domain.errors import CardDataRejected
from payment_server.domain.money import Currency
from payment_server.domain.payment import Action

VISA = "4242424242424242"

# Published by card companies and processors for tests; as good as real ones to whoever reads them.
PUBLISHED = (
    *("4242424242424242", "4000056655665556", "4012888888881881", "4222222222222"),
    *("5555555555554444", "2223003122003222", "5200828282828210", "5105105105105100"),
    *("378282246310005", "371449635398431", "378734493671000"),
    *("6011111111111117", "6011000990139424", "6011981111111113"),
    *("3056930009020004", "36227206271667", "30569309025904", "38520000023237"),
    *("3566002020360505", "3530111333300000"),
    *("6200000000000005", "6200000000000047", "6205500000000000004"),
    *("4000000000000002", "4000000000009995", "4000000000009987", "4000000000009979"),
    *("4000000000000069", "4000000000000127", "4000000000000119"),
    *("4000002500003155", "4000002760003184", "4000000000003220"),
    *("4000000000007726", "4000000000005126"),
)


def places(**fields: Any) -> list[str]:
    """Where card data is found in a creation."""
    innocent: dict[str, Any] = {"customer_id": "cust123", "payment_method": "card"}
    command = CreatePayment(
        **{"amount_minor": 1000, "currency": Currency("USD", 2), **innocent, **fields}
    )
    try:
        refuse_card_data(command)
    except CardDataRejected as error:
        return [each.field for each in error.violations]
    return []


def grouped(digits: str, separator: str) -> str:
    return separator.join(digits[start : start + 4] for start in range(0, len(digits), 4))


@pytest.mark.parametrize("number", PUBLISHED)
def test_a_published_number_is_card_data(number: str) -> None:
    assert places(description=number) == ["description"]


@pytest.mark.parametrize("separator", [" ", "-"], ids=["spaces", "dashes"])
@pytest.mark.parametrize("number", PUBLISHED)
def test_a_number_in_groups_is_card_data(number: str, separator: str) -> None:
    assert places(description=grouped(number, separator)) == ["description"]


@pytest.mark.parametrize(
    "text",
    [
        f"card {VISA}",
        f"{VISA}.",
        f"({VISA})",
        f"pan={VISA};",
        f"{VISA}, 12/26",
        f"{VISA} 12/26",
        "4242 4242 4242 4242 12/26 123",
        f"1 {VISA}",
        "2 x 4242-4242-4242-4242",
        f"tok_{VISA}",
        "4242\u00a04242\u00a04242\u00a04242",
        "\uff14\uff12" * 8,  # full-width digits
        f"Müller {VISA}",
    ],
    ids=ascii,
)
def test_a_number_among_words_is_card_data(text: str) -> None:
    assert places(description=text) == ["description"]


def number_of(prefix: str, length: int) -> str:
    """A number that begins so, with the check digit that it needs."""
    body = prefix.ljust(length - 1, "0")
    doubled = [int(digit) * 2 for digit in body[::-2]]
    total = sum(map(int, body[-2::-2])) + sum(sum(map(int, str(each))) for each in doubled)
    return body + str(-total % 10)


@pytest.mark.parametrize(
    ("prefix", "lengths"),
    [
        *((prefix, (13, 16, 19)) for prefix in ("4", "49")),
        *((prefix, (16,)) for prefix in ("51", "55", "2221", "2720")),
        *((prefix, (15,)) for prefix in ("34", "37")),
        *((prefix, (14, 16, 19)) for prefix in ("300", "305", "36", "38", "39")),
        *((prefix, (16, 17, 18, 19)) for prefix in ("3528", "3589", "62")),
        *((prefix, (16, 19)) for prefix in ("6011", "644", "65")),
    ],
)
def test_an_issuer_has_numbers_of_certain_lengths(prefix: str, lengths: tuple[int, ...]) -> None:
    found = [length for length in range(12, 21) if places(description=number_of(prefix, length))]
    assert found == list(lengths)


@pytest.mark.parametrize(
    "prefix",
    [
        *("0", "1", "2220", "2721", "306", "33", "35", "3527", "3590"),
        *("6012", "643", "660", "7", "8", "9"),
    ],
)
def test_digits_that_no_issuer_begins_with_pass(prefix: str) -> None:
    assert [
        length for length in range(12, 21) if places(description=number_of(prefix, length))
    ] == []


@given(body=st.text("0123456789", min_size=14, max_size=14))
def test_one_check_digit_of_ten_makes_a_card_number(body: str) -> None:
    assert sum(bool(places(description=f"4{body}{digit}")) for digit in "0123456789") == 1


@pytest.mark.parametrize(
    "text",
    [
        VISA[:-1] + "3",  # the check digit is wrong
        "424242424242",  # 12 digits
        "42424242424242426",  # 17 digits: no Visa is so long
        f"{VISA}4242",  # 20 digits
        f"{VISA}{VISA}",
        "1234567812345670",  # passes Luhn, but nobody issues 1234
        "9999999999999995",
        "0000000000000000",
        f"a{VISA}",
        f"{VISA}a",
        f"order{VISA}x",
        "ORD-2026-11-23-000042",
        "2026-11-23 08:15:00 +0000",
        "+49 89 12345678",
        "1700000000000",  # a time in milliseconds
        "1700000000000000000",  # and in nanoseconds
        "978-3-16-148410-0",  # a book
        "DE89370400440532013000",  # an account
        "GB82WEST12345698765432",
    ],
)
def test_innocent_digits_pass(text: str) -> None:
    assert places(description=text) == []


@example(UUID("23104023-3058-4094-a790-e76771a19b1b"))  # sixteen digits that pass Luhn
@given(id_=st.uuids(version=4))
def test_ids_pass(id_: UUID) -> None:
    assert places(customer_id=str(id_), description=id_.hex) == []


@pytest.mark.parametrize(
    "text",
    [
        f"%B{VISA}^DOE/JANE^26121010000000000000?",
        f"b{VISA}^DOE/JANE^2612",
        f";{VISA}=26121010000000000000?",
        ";9999999999999=2612",
        f"read: ;{VISA}=2612 ok",
    ],
)
def test_what_a_magnetic_stripe_holds_is_card_data(text: str) -> None:
    assert places(description=text) == ["description"]


@pytest.mark.parametrize("text", [";12=2612", "B2B^", "a;b=c", "%B123^"])
def test_what_only_resembles_a_stripe_passes(text: str) -> None:
    assert places(description=text) == []


@pytest.mark.parametrize("field", ["payment_method", "description"])
def test_every_text_of_a_creation_is_looked_at(field: str) -> None:
    assert places(**{field: VISA}) == [field]


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
        refuse_card_data(
            ProcessPayment(payment_id="id", action=Action.PROCESS, payment_method=VISA)
        )
    assert caught.value.message == "payment_method: carries card data"
