"""Amounts and currencies: what is one, what is none, and that no digit is lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain.money import MoneyInvalid, currency_of, format_amount, parse_amount

EXPONENTS = st.sampled_from((0, 2, 3))
LARGEST = 10**15 - 1  # twelve digits and three decimals


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [
        ("1", 0, 1),
        ("10", 2, 1000),
        ("10.0", 2, 1000),
        ("10.00", 2, 1000),
        ("0.01", 2, 1),
        ("0.1", 2, 10),
        ("0.001", 3, 1),
        ("1.5", 3, 1500),
        ("1000", 0, 1000),
        ("999999999999", 0, 999_999_999_999),
        ("999999999999.999", 3, LARGEST),
    ],
)
def test_an_amount_is_read_as_minor_units(text: str, exponent: int, minor: int) -> None:
    assert parse_amount(text, exponent) == minor


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "-", "ten", "10,00", "1 000", "1_000", "1'000", "$10", "10 USD"),
        *("+10", "-10", "\N{MINUS SIGN}10", "--1", "10-"),
        *(" 10", "10 ", "\t10", "10\n", "10.00\n", "10\x00"),
        *("010", "00", "00.50", "0010.00"),
        *(".5", "5.", "1.2.3", "10..0"),
        *("1e5", "1E5", "1e-2", "1.0e1", "0x10", "0b1", "1/2", "10%"),
        *("NaN", "nan", "sNaN", "Infinity", "inf", "-inf", "None", "true"),
        *("\N{FULLWIDTH DIGIT ONE}0", "1.\N{FULLWIDTH DIGIT ZERO}", "\N{ARABIC-INDIC DIGIT ONE}"),
        *("\N{DEVANAGARI DIGIT ONE}0", "\N{SUPERSCRIPT TWO}", "\N{VULGAR FRACTION ONE HALF}"),
        *("1\N{FULLWIDTH FULL STOP}5", "1\N{ARABIC DECIMAL SEPARATOR}5", "\N{ROMAN NUMERAL TEN}"),
        *("1234567890123", "1000000000000.00", "1.2345", "9" * 5000),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(MoneyInvalid, match="must be a decimal string"):
        parse_amount(text, 3)


@pytest.mark.parametrize(("text", "exponent"), [("10.0", 0), ("10.000", 2), ("0.001", 2)])
def test_more_decimals_than_the_currency_has_are_refused(text: str, exponent: int) -> None:
    with pytest.raises(MoneyInvalid, match=f"the currency has {exponent}"):
        parse_amount(text, exponent)


@pytest.mark.parametrize("text", ["0", "0.0", "0.00", "0.000"])
def test_nothing_is_no_amount(text: str) -> None:
    with pytest.raises(MoneyInvalid, match="must be above zero"):
        parse_amount(text, 3)


@given(text=st.text("0123456789.,-+eE_ \u0661\uff11", max_size=16), exponent=EXPONENTS)
def test_what_is_read_is_what_was_written(text: str, exponent: int) -> None:
    try:
        minor = parse_amount(text, exponent)
    except MoneyInvalid:
        return
    assert set(text) <= set("0123456789.")
    assert Decimal(minor).scaleb(-exponent) == Decimal(text)


@pytest.mark.parametrize(
    ("minor", "exponent", "text"),
    [
        (1000, 2, "10.00"),
        (1000, 3, "1.000"),
        (1000, 0, "1000"),
        (1, 2, "0.01"),
        (1, 3, "0.001"),
        (0, 2, "0.00"),
        (0, 0, "0"),
        (LARGEST, 3, "999999999999.999"),
    ],
)
def test_an_amount_is_shown_with_all_the_digits_of_its_currency(
    minor: int, exponent: int, text: str
) -> None:
    assert format_amount(minor, exponent) == text


@given(minor=st.integers(1, 10**12 - 1), exponent=EXPONENTS)
def test_what_is_shown_can_be_read_back(minor: int, exponent: int) -> None:
    assert parse_amount(format_amount(minor, exponent), exponent) == minor


@pytest.mark.parametrize(
    ("text", "code", "exponent"),
    [
        ("USD", "USD", 2),
        ("usd", "USD", 2),
        ("eUr", "EUR", 2),
        ("JPY", "JPY", 0),
        ("krw", "KRW", 0),
        ("KWD", "KWD", 3),
        ("bhd", "BHD", 3),
    ],
)
def test_a_currency_is_known_in_any_case(text: str, code: str, exponent: int) -> None:
    known = currency_of(text)
    assert (known.code, known.exponent) == (code, exponent)


@pytest.mark.parametrize("code", ["XAU", "XAG", "XDR", "XXX", "XTS", "CLF", "UYW", "xau"])
def test_a_currency_without_0_2_or_3_decimals_is_refused_by_name(code: str) -> None:
    with pytest.raises(MoneyInvalid, match=f"{code.upper()} is not supported"):
        currency_of(code)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "US", "USDT", "ZZZ", "DEM", "BTC", "840", "$", "dollar"),
        *(" USD", "USD ", "U SD", "USD\x00", "\ud800", "A" * 5000),
        *("\N{FULLWIDTH LATIN CAPITAL LETTER U}SD", "u\N{LATIN SMALL LETTER LONG S}d"),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(MoneyInvalid, match="is no ISO 4217 currency code"):
        currency_of(text)
