"""One key, one effect: what a key looks like, what a request means, what it was answered.

The rules are those of the IETF draft "The Idempotency-Key HTTP Header Field", tightened: a key is
bound to its merchant for ever.
"""

import hashlib
import re
from enum import StrEnum
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from payment_server.domain.commands import ChangePayment, CreatePayment
from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.operation import Operation
from payment_server.domain.payment import Payment

KEY_LIMIT: Final = 255
FINGERPRINT_VERSION: Final = 1
"""Raised when the same request would hash otherwise; stored with each key, so that a later version
can still compare it by the rules of its own."""

_NAMES: Final = {CreatePayment: "CreatePayment", ChangePayment: "ProcessPayment"}
"""What fingerprints call the commands, whatever we call them: stored keys depend on it."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)


class Replay(StrEnum):
    """Whether an answer is the first or a repetition."""

    NO = "false"
    YES = "true"
    RECONSTRUCTED = "reconstructed"


class Answer(msgspec.Struct, frozen=True):
    """What a request was answered, as it is stored with its key."""

    payment: Payment
    operation: Operation | None = None


class _StoredAnswer(msgspec.Struct, frozen=True):
    format_version: Literal[1]
    answer: Answer


def key_of(*given: str) -> str | None:
    """The one key that a request carries, in its field, its headers or both; or None.

    Raises InvalidRequest for a key that is too long or not printable ASCII, and for two that
    differ.
    """
    keys = {each for each in given if each}
    if not keys:
        return None
    if len(keys) > 1:
        raise _invalid("differs from the one in the idempotency-key header")
    key = keys.pop()
    if _KEY.fullmatch(key) is None:
        raise _invalid(f"must have 1 to {KEY_LIMIT} printable ASCII characters")
    return key


def fingerprint(command: CreatePayment | ChangePayment) -> bytes:
    """A hash of what the command means: unset fields and the expected version are no part of it."""
    meaning = command
    if isinstance(command, ChangePayment) and (command.amount or command.expected_version):
        meaning = replace(command, amount=_shortest(command.amount), expected_version=0)
    text = msgspec.json.encode((_NAMES[type(command)], meaning), order="deterministic")
    return hashlib.sha256(text).digest()


def encode_answer(answer: Answer) -> str:
    """JSON, for the database."""
    return msgspec.json.encode(_StoredAnswer(1, answer)).decode()


def decode_answer(text: str) -> Answer:
    """Raises msgspec.ValidationError for what `encode_answer` of no version wrote."""
    return msgspec.json.decode(text, type=_StoredAnswer).answer


def _shortest(amount: str) -> str:
    """One spelling for "2.5" and "2.50": a step's currency is not known here."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest([Violation("idempotency_key", message)])
