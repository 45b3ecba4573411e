"""A processor that moves no money: the payment method's token alone decides what it answers.

    card, card_visa …       approved
    decline:<code>          declined with that code of declines.toml
    card_by_amount          declined where the amount's last two digits are a response code
    card_3ds                approved or declined once the customer has met a challenge
    card_timeout            authorized, but the answer never comes: a look-up finds it
    card_capture_fails      authorized, but never captured
    card_refund_pending     refunds take a while
    card_refund_late_fail   refunds succeed, and fail after a while
    any other name          approved, so that tokens of real processors can be tried

The published test card numbers are accepted as aliases of such tokens. It remembers nothing: what
it says follows from the operation and the time alone, so a repeated operation is answered as the
first one was, and a look-up after a restart is as good as before it.
"""

import asyncio
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Final

import msgspec

from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.operation import (
    APPROVED,
    UNKNOWN,
    Operation,
    OperationKind,
    OperationStatus,
    Verdict,
)
from payment_server.domain.payment import Decline, Payment


class Token(StrEnum):
    """Payment methods with a rule of their own."""

    BY_AMOUNT = "card_by_amount"
    CHALLENGE = "card_3ds"
    TIMEOUT = "card_timeout"
    CAPTURE_FAILS = "card_capture_fails"
    REFUND_PENDING = "card_refund_pending"
    REFUND_LATE_FAIL = "card_refund_late_fail"


_DECLINE_PREFIX: Final = "decline:"
_BRANDS: Final = ("visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay")
_CARDS: Final = frozenset({"card", *(f"card_{brand}" for brand in _BRANDS), *Token})

MET, REFUSED = "approved", "refused"
"""A challenge's results."""

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
    "4000002500003155": Token.CHALLENGE,
    "4000002760003184": Token.CHALLENGE,
    "4000000000003220": Token.CHALLENGE,
    "4000000000007726": Token.REFUND_PENDING,
    "4000000000005126": Token.REFUND_LATE_FAIL,
}
"""Numbers that card companies publish for tests, and the tokens that are kept instead."""


class _Declines(msgspec.Struct, frozen=True):
    """`by_amount`: the codes whose network code an amount may end in."""

    format_version: int
    by_amount: tuple[str, ...]
    declines: dict[str, Decline]


class Sandbox:
    """A Processor.

    `latency_seconds` is how long each call takes, as a real processor's would; `settle_seconds`
    how old a refund is when a pending one succeeds and a late failing one fails; `hold_seconds`
    and `challenge_seconds` how long a hold and a challenge last; `clock` tells the time in UTC.
    """

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        settle_seconds: float = 5.0,
        hold_seconds: float = 7 * 24 * 3600.0,
        challenge_seconds: float = 900.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._latency_seconds = latency_seconds
        self._settling = timedelta(seconds=settle_seconds)
        self._hold = timedelta(seconds=hold_seconds)
        self._challenge = timedelta(seconds=challenge_seconds)
        self._clock = clock
        text = (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
        table = tomllib.loads(text)
        entries = {code: {"code": code, **entry} for code, entry in table["declines"].items()}
        known = msgspec.convert({**table, "declines": entries}, _Declines)
        self._declines = known.declines
        self._by_amount = {int(self._declines[code].network_code): code for code in known.by_amount}

    def tokenize(self, payment_method: str) -> str:
        plain = payment_method.replace(" ", "").replace("-", "")
        token = str(TEST_NUMBERS.get(plain, payment_method))
        prefix, colon, code = token.partition(":")
        if token.startswith("card_") and token not in _CARDS:
            raise _refused(f"is no card of the sandbox; it has {', '.join(sorted(_CARDS))}")
        if colon and f"{prefix}:" != _DECLINE_PREFIX:
            raise _refused("names no rule of the sandbox; its only one is decline:<code>")
        if colon and code not in self._declines:
            raise _refused("names no decline code of the sandbox")
        return token

    def read_result(self, result: str) -> str:
        if result not in ("", MET, REFUSED):
            raise InvalidRequest([Violation("result", f"must be {MET}, {REFUSED} or empty")])
        return result or MET

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        code = self._by_amount.get(operation.amount_minor % 100)
        match operation.payment_method:
            case Token.BY_AMOUNT if code is not None:
                return self._declined(code)
            case Token.CHALLENGE:
                until = operation.created_at + self._challenge
                return Verdict(status=OperationStatus.REQUIRES_ACTION, expires_at=until)
            case Token.TIMEOUT:
                await asyncio.Event().wait()
            case Token.CAPTURE_FAILS if operation.captures:
                return self._declined("processing_error")
            case token if token.startswith(_DECLINE_PREFIX):
                return self._declined(token.removeprefix(_DECLINE_PREFIX))
        return self._held(operation)

    async def complete(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        if operation.words == REFUSED:
            return self._declined("authentication_failed")
        return self._held(operation)

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        if operation.payment_method == Token.CAPTURE_FAILS:
            return self._declined("processing_error")
        return APPROVED

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        return APPROVED

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.sleep(self._latency_seconds)
        match operation.payment_method:
            case Token.REFUND_PENDING:
                return UNKNOWN
            case Token.REFUND_LATE_FAIL:
                return self._standing(operation)
        return APPROVED

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        """None for what would only be answered as it was before: it is asked again."""
        is_settled = self._clock() >= operation.created_at + self._settling
        match operation.kind, operation.payment_method:
            case OperationKind.AUTHORIZE, Token.TIMEOUT:
                return self._held(operation)
            case OperationKind.REFUND, Token.REFUND_PENDING:
                return APPROVED if is_settled else UNKNOWN
            case OperationKind.REFUND, Token.REFUND_LATE_FAIL:
                # The bank sends the money back: there is no such account any more.
                gone = self._declined("invalid_account")
                return gone if is_settled else self._standing(operation)
        return None

    def _declined(self, code: str) -> Verdict:
        return Verdict(status=OperationStatus.FAILED, decline=self._declines[code])

    def _held(self, operation: Operation) -> Verdict:
        """Approved, with a hold that ends unless it is captured at once."""
        if operation.captures:
            return APPROVED
        until = operation.created_at + self._hold
        return Verdict(status=OperationStatus.SUCCEEDED, expires_at=until)

    def _standing(self, operation: Operation) -> Verdict:
        """A refund that stands until it fails."""
        fails_at = operation.created_at + self._settling
        return Verdict(status=OperationStatus.SUCCEEDED, recheck_at=fails_at)


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest([Violation("payment_method", message)])
