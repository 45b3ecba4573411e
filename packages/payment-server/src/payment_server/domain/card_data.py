"""Refuses card data wherever a caller may put free text: what is not stored cannot leak."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from payment_server.domain.commands import CreatePayment, ProcessPayment, metadata_path
from payment_server.domain.errors import CardDataRejected, Violation

# A run of 13 to 19 digits that no letter or further digit touches; the groups that people write,
# "4242 4242…" or "4242-4242…", count as one run.
_RUN = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][ -])[0-9](?:[ -]?[0-9]){12,18}(?![ -]?[0-9])(?![A-Za-z])"
)

# Issuer identification numbers (ISO/IEC 7812): first digits, and how long such a number may be.
_ISSUERS: Final = (
    (range(4, 5), 1, (13, 16, 19)),  # Visa
    (range(51, 56), 2, (16,)),  # Mastercard
    (range(2221, 2721), 4, (16,)),  # Mastercard, the newer range
    (range(34, 38, 3), 2, (15,)),  # American Express: 34 and 37
    (range(300, 306), 3, (14, 16, 19)),  # Diners Club
    (range(36, 37), 2, (14, 16, 19)),  # Diners Club
    (range(38, 40), 2, (14, 16, 19)),  # Diners Club
    (range(3528, 3590), 4, (16, 17, 18, 19)),  # JCB
    (range(6011, 6012), 4, (16, 19)),  # Discover
    (range(62, 63), 2, (16, 17, 18, 19)),  # UnionPay
    (range(644, 660), 3, (16, 19)),  # Discover
)

# Track 1 opens with %B, track 2 with a semicolon (ISO/IEC 7813).
_TRACK = re.compile(r"%?B[0-9]{13,19}\^|;[0-9]{13,19}=[0-9]{4}", re.IGNORECASE)

_SECRET_KEYS: Final = frozenset(
    {
        *("cvv", "cvv2", "cvc", "cvc2", "csc", "securitycode", "cardnumber"),
        *("pin", "pinblock", "track", "track1", "track2", "trackdata"),
    }
)


def refuse_card_data(command: CreatePayment | ProcessPayment) -> None:
    """Raises CardDataRejected that names the fields, never what they hold."""
    found = [path for path, text in _texts_of(command) if _is_card_data(text)]
    if isinstance(command, CreatePayment):
        found += [
            metadata_path(position, key)
            for position, key in enumerate(command.metadata)
            if re.sub(r"[^a-z0-9]", "", key.lower()) in _SECRET_KEYS
        ]
    if found:
        raise CardDataRejected(
            [Violation(path, "carries card data") for path in dict.fromkeys(found)]
        )


def _texts_of(command: CreatePayment | ProcessPayment) -> Iterator[tuple[str, str]]:
    yield "payment_method", command.payment_method
    if isinstance(command, CreatePayment):
        yield "customer_id", command.customer_id
        yield "description", command.description
        for position, (key, value) in enumerate(command.metadata.items()):
            yield metadata_path(position, key), key
            yield metadata_path(position, key), value


def _is_card_data(text: str) -> bool:
    if len(text) < 13:
        return False
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if _TRACK.search(plain):
        return True
    return any(_is_card_number(re.sub("[ -]", "", run)) for run in _RUN.findall(plain))


def _is_card_number(digits: str) -> bool:
    known = any(
        len(digits) in lengths and int(digits[:width]) in prefixes
        for prefixes, width, lengths in _ISSUERS
    )
    return known and _passes_luhn(digits)


def _passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
