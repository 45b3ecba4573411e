"""A processor that moves no money: the payment method's token alone decides what it answers.

    card, card_visa …      approved
    decline:<code>         declined with that code of declines.toml
    any other name         approved, so that tokens of real processors can be tried

The published test card numbers are accepted as aliases of such tokens.
"""

import asyncio
import tomllib
from importlib.resources import files
from typing import Final

import msgspec

from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.operation import APPROVED, Operation, OperationStatus, Verdict
from payment_server.domain.payment import Decline, Payment

_DECLINE_PREFIX: Final = "decline:"
_BRANDS: Final = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay")
_CARDS: Final = frozenset({"card", *(f"card_{brand}" for brand in _BRANDS)})

TEST_NUMBERS: Final = {
    "4242424242424242": "card_visa",
    "4000056655665556": "card_visa",
    "5555555555554444": "card_mastercard",
    "2223003122003222": "card_mastercard",
    "5200828282828210": "card_mastercard",
    "5105105105105100": "card_mastercard",
    "378282246310005": "card_amex",
    "371449635398431": "card_amex",
    "6011111111111117": "card_discover",
    "4000000000000002": "decline:generic_decline",
    "4000000000009995": "decline:insufficient_funds",
    "4000000000009987": "decline:lost_card",
    "4000000000009979": "decline:stolen_card",
    "4000000000000069": "decline:expired_card",
    "4000000000000127": "decline:incorrect_cvc",
    "4000000000000119": "decline:processing_error",
}
"""Numbers that card companies publish for tests, and the tokens that are kept instead."""


class _Declines(msgspec.Struct, frozen=True):
    format_version: int
    declines: dict[str, Decline]


class Sandbox:
    """`latency_seconds` is how long each call takes, as a real processor's would."""

    def __init__(self, *, latency_seconds: float = 0.0) -> None:
        self._latency_seconds = latency_seconds
        text = (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
        table = tomllib.loads(text)
        entries = {code: {"code": code, **entry} for code, entry in table["declines"].items()}
        self._declines = msgspec.convert({**table, "declines": entries}, _Declines).declines

    def tokenize(self, payment_method: str) -> str:
        token = TEST_NUMBERS.get(payment_method.replace(" ", "").replace("-", ""), payment_method)
        prefix, colon, code = token.partition(":")
        if token.startswith("card_") and token not in _CARDS:
            raise _refused(f"is no card of the sandbox; it has {', '.join(sorted(_CARDS))}")
        if colon and f"{prefix}:" != _DECLINE_PREFIX:
            raise _refused("names no rule of the sandbox; its only one is decline:<code>")
        if colon and code not in self._declines:
            raise _refused("names no decline code of the sandbox")
        return token

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        token = operation.payment_method
        if not token.startswith(_DECLINE_PREFIX):
            return APPROVED
        decline = self._declines[token.removeprefix(_DECLINE_PREFIX)]
        return Verdict(status=OperationStatus.FAILED, decline=decline)

    async def complete(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        return APPROVED

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        return APPROVED

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        return APPROVED

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        return APPROVED

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        return None  # it remembers nothing, and answers a repeated operation as it did the first


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest([Violation("payment_method", message)])
