"""What shall become of a payment, by its payment method. All of it is the sandbox's own table.

    client.payments.create(..., payment_method=outcomes.declined("lost_card"))

Each is the string that the service takes, here under a name.
"""

import difflib
import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

from payment_server.processors import sandbox
from payment_server.processors.sandbox import Token

APPROVED: Final = "card"
"""Everything succeeds."""

CHALLENGE: Final[str] = Token.CHALLENGE.value
"""`process` ends in requires_action; `complete` with CHALLENGE_MET or CHALLENGE_REFUSED decides."""

FOUND_LATER: Final[str] = Token.TIMEOUT.value
"""The processor approves and its answer is lost: the payment is processing, and captured (or
authorized) some seconds later, when the service has looked it up."""

CAPTURE_FAILS: Final[str] = Token.CAPTURE_FAILS.value
"""The authorization succeeds, and each capture is declined with processing_error; so is `process`
where it captures at once."""

REFUND_PENDING: Final[str] = Token.REFUND_PENDING.value
"""A refund is pending at first and succeeds within a second or two."""

REFUND_FAILS_LATE: Final[str] = Token.REFUND_LATE_FAIL.value
"""A refund succeeds, and fails within a second or two: the money came back."""

BY_AMOUNT: Final[str] = Token.BY_AMOUNT.value
"""The amount decides, for callers that cannot choose a method: see `amount_declined`."""

CHALLENGE_MET: Final = sandbox.MET
"""The `result` to `complete` a challenge with: the customer has passed it."""

CHALLENGE_REFUSED: Final = sandbox.REFUSED
"""The `result` to `complete` a challenge with: declined, authentication_failed."""


def declined(code: str) -> str:
    """The issuer says no, with this code: "insufficient_funds", "lost_card" …

    ValueError for a code that the sandbox does not have.
    """
    _refuse_unless_among(list(_table()["declines"]), code)
    return f"decline:{code}"


def amount_declined(code: str, units: int = 10) -> Decimal:
    """An amount, in a currency of two decimals, that BY_AMOUNT declines with this code: 10.51.

    ValueError for a code that no amount stands for.
    """
    _refuse_unless_among(_table()["by_amount"], code)
    return Decimal(f"{units}.{_table()['declines'][code]['network_code']}")


@cache
def _table() -> dict[str, Any]:
    text = (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _refuse_unless_among(known: list[str], code: str) -> None:
    if code in known:
        return
    close = difflib.get_close_matches(code, known) or sorted(known)
    raise ValueError(f"{code!r} is no code of the sandbox for this; it has {', '.join(close)}")
