"""A payment, its statuses, and the table of what may happen in which.

The table is data: allowed actions, refusals and the database's checks follow it. Amounts are
integers of minor units.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from payment_server.domain.money import format_amount

ATTEMPTS_LIMIT: Final = 10
"""How often authorization may be tried: issuers punish merchants that go on asking."""


class Status(StrEnum):
    """Where a payment is in its life."""

    CREATED = "created"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Action(StrEnum):
    """What a caller may ask for."""

    PROCESS = "process"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


class CaptureMethod(StrEnum):
    """Whether processing captures at once."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Advice(StrEnum):
    """What to do after a decline."""

    NEVER = "never"
    LATER = "later"
    FIX = "fix"
    AUTHENTICATE = "authenticate"
    OTHER = "other"
    CHECK = "check"


class Decline(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the processor said no. `message` may be shown to the customer."""

    code: str
    advice: Advice
    message: str
    network_code: str = ""
    retry_after: datetime | None = None


YES: Final = ""
"""The cell of an action that is allowed; any other cell is the reason of the refusal."""

_AUTHORIZED, _CAPTURED, _REFUNDED = "ALREADY_AUTHORIZED", "ALREADY_CAPTURED", "ALREADY_REFUNDED"
_BUSY, _ACT_FIRST, _NOTHING = "PAYMENT_PROCESSING", "PAYMENT_REQUIRES_ACTION", "NOT_CAPTURED"
_OPEN, _OVER, _LAPSED = "CAPTURE_NOT_FINAL", "PAYMENT_CANCELED", "PAYMENT_EXPIRED"

# fmt: off
_CELLS: Final = {
    # status                   process      authorize    capture     cancel      refund
    Status.CREATED:            (YES,         YES,         YES,        YES,        _NOTHING),
    Status.REQUIRES_ACTION:    (_ACT_FIRST,  _ACT_FIRST,  _ACT_FIRST, YES,        _NOTHING),
    Status.PROCESSING:         (_BUSY,       _BUSY,       _BUSY,      _BUSY,      _BUSY),
    Status.AUTHORIZED:         (_AUTHORIZED, _AUTHORIZED, YES,        YES,        _NOTHING),
    Status.PARTIALLY_CAPTURED: (_AUTHORIZED, _AUTHORIZED, YES,        YES,        _OPEN),
    Status.CAPTURED:           (_CAPTURED,   _CAPTURED,   _CAPTURED,  _CAPTURED,  YES),
    Status.PARTIALLY_REFUNDED: (_CAPTURED,   _CAPTURED,   _CAPTURED,  _CAPTURED,  YES),
    Status.REFUNDED:           (_REFUNDED,   _REFUNDED,   _REFUNDED,  _REFUNDED,  _REFUNDED),
    Status.FAILED:             (YES,         YES,         YES,        YES,        _NOTHING),
    Status.CANCELED:           (_OVER,       _OVER,       _OVER,      _OVER,      _OVER),
    Status.EXPIRED:            (_LAPSED,     _LAPSED,     _LAPSED,    _LAPSED,    _LAPSED),
}
# fmt: on

REFUSALS: Final[Mapping[tuple[Status, Action], str]] = MappingProxyType(
    {
        (status, action): cell
        for status, row in _CELLS.items()
        for action, cell in zip(Action, row, strict=True)
    }
)
"""For every status and action: YES, or the reason why not."""

ALLOWED_ACTIONS: Final[Mapping[Status, tuple[Action, ...]]] = MappingProxyType(
    {
        status: tuple(action for action in Action if REFUSALS[status, action] == YES)
        for status in Status
    }
)


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a payment. The pending amounts are reserved by operations under way."""

    payment_id: str
    merchant_id: str
    customer_id: str
    payment_method: str
    capture_method: CaptureMethod
    description: str
    metadata: dict[str, str]
    currency: str
    exponent: int
    amount_minor: int
    status: Status = Status.CREATED
    authorized_minor: int = 0
    captured_minor: int = 0
    capture_pending_minor: int = 0
    voided_minor: int = 0
    void_pending_minor: int = 0
    refunded_minor: int = 0
    refund_pending_minor: int = 0
    decline: Decline | None = None
    attempts: int = 0
    version: int = 1
    created_at: datetime
    updated_at: datetime

    @property
    def held_minor(self) -> int:
        """What the issuer holds and is neither taken nor released yet."""
        return self.authorized_minor - self.captured_minor - self.voided_minor

    @property
    def capturable_minor(self) -> int:
        return self.held_minor - self.capture_pending_minor - self.void_pending_minor

    @property
    def refundable_minor(self) -> int:
        return self.captured_minor - self.refunded_minor - self.refund_pending_minor

    @property
    def allowed_actions(self) -> tuple[Action, ...]:
        """What may be asked now; what has to wait for an operation under way is left out."""
        if self.status is Status.FAILED and self.attempts >= ATTEMPTS_LIMIT:
            return (Action.CANCEL,)
        return tuple(each for each in ALLOWED_ACTIONS[self.status] if not self._waits(each))

    def _waits(self, action: Action) -> bool:
        match action:
            case Action.CAPTURE:
                return self.held_minor > 0 and not self.capturable_minor
            case Action.CANCEL:
                return self.capture_pending_minor > 0 or self.void_pending_minor > 0
            case Action.REFUND:
                return not self.refundable_minor
            case _:
                return False

    def format(self, minor: int) -> str:
        """An amount of this payment's currency as a decimal string."""
        return format_amount(minor, self.exponent)


def status_of_amounts(payment: Payment) -> Status:
    """The status that an authorized payment's amounts mean."""
    if payment.refunded_minor:
        whole = payment.refunded_minor == payment.captured_minor
        return Status.REFUNDED if whole else Status.PARTIALLY_REFUNDED
    if payment.held_minor:
        return Status.PARTIALLY_CAPTURED if payment.captured_minor else Status.AUTHORIZED
    return Status.CAPTURED if payment.captured_minor else Status.CANCELED
