"""Amounts of money: decimal strings outside, integers of minor units inside, never a float."""

import re
from functools import lru_cache
from typing import Final

import iso4217
import msgspec

AMOUNT_PATTERN: Final = r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,3})?"
"""What an amount looks like. The pattern comes before any number parser: those take "1e5",
"1_000", "NaN" and digits of other scripts."""

_AMOUNT = re.compile(AMOUNT_PATTERN, re.ASCII)
_EXPONENTS: Final = frozenset({0, 2, 3})
_CURRENCIES_CACHED: Final = 512  # more than ISO 4217 has codes; junk cannot grow it
_AMOUNTS_CACHED: Final = 4_096  # prices repeat, and most of a payment's amounts are zero; 1 MB


class MoneyInvalid(ValueError):
    """The text is no amount or no currency of ours; the message says why."""


class Currency(msgspec.Struct, frozen=True):
    """An ISO 4217 currency: `exponent` is the number of its decimals."""

    code: str
    exponent: int


@lru_cache(maxsize=_CURRENCIES_CACHED)
def currency_of(text: str) -> Currency:
    """The currency of an ISO 4217 code in any case.

    Raises MoneyInvalid for an unknown code and for one without decimals of 0, 2 or 3, such as
    gold (XAU) or units of account (CLF).
    """
    code = text.upper() if text.isascii() else text
    try:
        known = iso4217.Currency(code)
    except ValueError:
        raise MoneyInvalid("is no ISO 4217 currency code") from None
    if known.exponent not in _EXPONENTS:
        raise MoneyInvalid(f"{code} is not supported: only currencies of 0, 2 or 3 decimals are")
    return Currency(code, known.exponent)


def parse_amount(text: str, exponent: int) -> int:
    """Minor units of a decimal string: "10" and "10.00" are 1000 where the exponent is 2.

    Raises MoneyInvalid unless the text matches AMOUNT_PATTERN, is above zero and has no more
    decimals than the exponent.
    """
    if _AMOUNT.fullmatch(text) is None:
        raise MoneyInvalid(
            'must be a decimal string such as "10.00", with at most 12 digits before the point'
        )
    whole, _, fraction = text.partition(".")
    if len(fraction) > exponent:
        raise MoneyInvalid(f"has {len(fraction)} decimals; the currency has {exponent}")
    minor = int(whole + fraction.ljust(exponent, "0"))
    if minor == 0:
        raise MoneyInvalid("must be above zero")
    return minor


@lru_cache(maxsize=_AMOUNTS_CACHED)
def format_amount(minor: int, exponent: int) -> str:
    """The decimal string with all the currency's digits: 1000 is "10.00" or "1.000" or "1000"."""
    if exponent == 0:
        return str(minor)
    whole, fraction = divmod(minor, 10**exponent)
    return f"{whole}.{fraction:0{exponent}d}"
