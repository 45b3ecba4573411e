"""Refuses card data wherever a caller may put free text: what is not stored cannot leak."""

import re
import unicodedata
from typing import Final

from payment_server.domain.card_numbers import has_card_number
from payment_server.domain.commands import (
    CARD_NUMBER_DIGITS,
    ChangePayment,
    CreatePayment,
    metadata_path,
)
from payment_server.domain.errors import CardDataRejected, Violation

# Track 1 opens with %B or B, track 2 with a semicolon (ISO/IEC 7813).
_TRACK = re.compile(r"B[0-9]{13,19}\^|;[0-9]{13,19}=[0-9]{4}", re.IGNORECASE)

_SECRET_KEYS: Final = frozenset(
    {
        *("cvv", "cvv2", "cvc", "cvc2", "csc", "securitycode", "cardnumber"),
        *("pin", "pinblock", "track", "track1", "track2", "trackdata"),
    }
)


def refuse_card_data(command: CreatePayment | ChangePayment) -> None:
    """Raises CardDataRejected that names the fields, never what they hold."""
    found = [field for field, text in _texts_of(command) if _is_card_data(text)]
    if isinstance(command, CreatePayment):
        if _has_track(command.customer_id):
            found.append("customer_id")  # otherwise the caller's own number, however it looks
        for position, (key, value) in enumerate(command.metadata.items()):
            if _is_secret(key) or _is_card_data(key) or _is_card_data(value):
                found.append(metadata_path(position, key))
    if found:
        raise CardDataRejected([Violation(path, "carries card data") for path in found])


def _texts_of(command: CreatePayment | ChangePayment) -> tuple[tuple[str, str], ...]:
    method = ("payment_method", command.payment_method)
    if isinstance(command, CreatePayment):
        return method, ("description", command.description)
    return method, ("reason", command.reason), ("result", command.result)


def _is_secret(key: str) -> bool:
    return re.sub(r"[^a-z0-9]", "", key.lower()) in _SECRET_KEYS


def _is_card_data(text: str) -> bool:
    # Nearly all texts end here. In other scripts one character may stand for several digits.
    if len(text) < CARD_NUMBER_DIGITS and text.isascii():
        return False
    return has_card_number(text) or _has_track(text)


def _has_track(text: str) -> bool:
    plain = unicodedata.normalize("NFKC", text)
    return ("^" in plain or "=" in plain) and _TRACK.search(plain) is not None
