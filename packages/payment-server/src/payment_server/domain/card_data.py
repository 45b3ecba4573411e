"""Refuses card data wherever a caller may put free text: what is not stored cannot leak."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from payment_server.domain.commands import CreatePayment, ProcessPayment, metadata_path
from payment_server.domain.errors import CardDataRejected, Violation

# Groups of digits with single spaces or dashes between, as people write numbers; no letter touches
# one. A card number may be some of the groups: an expiry or a CVC often follows it.
_GROUPS = re.compile(r"(?<![0-9A-Za-z])[0-9]+(?:[ -][0-9]+)*(?![0-9A-Za-z])")
_NUMBER_LENGTHS: Final = range(13, 20)

# The first groups of a UUID can be sixteen decimal digits by chance: one of 80,000 would pass for
# a card number.
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)

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
        if _TRACK.search(command.customer_id):
            found.append("customer_id")  # otherwise the caller's own number, however it looks
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
        yield "description", command.description
        for position, (key, value) in enumerate(command.metadata.items()):
            yield metadata_path(position, key), key
            yield metadata_path(position, key), value
    else:
        yield "reason", command.reason
        yield "result", command.result


def _is_card_data(text: str) -> bool:
    if len(text) < 13:
        return False
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if _TRACK.search(plain):
        return True
    return any(_has_card_number(run) for run in _GROUPS.findall(_UUID.sub("", plain)))


def _has_card_number(run: str) -> bool:
    groups = re.split("[ -]", run)
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) >= _NUMBER_LENGTHS.stop:
                break
            if len(digits) in _NUMBER_LENGTHS and _is_card_number(digits):
                return True
    return False


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
