"""A payment, its statuses, and the tables of what may happen in which.

The tables are data: allowed actions, refusals, the diagram in the docs, the tests and the
database's checks follow them. Amounts are integers of minor units.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
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
    COMPLETE = "complete"


class EventType(StrEnum):
    """What happened to a payment: the label of a transition."""

    IMPORTED = "payment.imported"
    """Recorded before events were: the first one that such a payment has."""
    CREATED = "payment.created"
    AUTHORIZATION_STARTED = "payment.authorization_started"
    ACTION_REQUIRED = "payment.action_required"
    AUTHORIZED = "payment.authorized"
    FAILED = "payment.failed"
    CAPTURE_STARTED = "payment.capture_started"
    CAPTURE_FAILED = "payment.capture_failed"
    PARTIALLY_CAPTURED = "payment.partially_captured"
    CAPTURED = "payment.captured"
    CANCEL_STARTED = "payment.cancel_started"
    CANCEL_FAILED = "payment.cancel_failed"
    CANCELED = "payment.canceled"
    CAPTURE_CLOSED = "payment.capture_closed"
    EXPIRED = "payment.expired"
    REFUND_STARTED = "payment.refund_started"
    REFUND_FAILED = "payment.refund_failed"
    PARTIALLY_REFUNDED = "payment.partially_refunded"
    REFUNDED = "payment.refunded"
    REFUND_REVERSED = "payment.refund_reversed"


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


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has to do before an authorization can be decided.

    `operation_id` is that authorization, `captures` whether it takes the money too.
    """

    type: str
    url: str
    operation_id: str
    captures: bool


_HELD: Final = (Status.AUTHORIZED, Status.PARTIALLY_CAPTURED)
_PAID: Final = (Status.CAPTURED, Status.PARTIALLY_REFUNDED)
_BEFORE_PROCESSING: Final = (Status.CREATED, Status.FAILED, Status.REQUIRES_ACTION)
_CANCELABLE: Final = (Status.CREATED, Status.FAILED, Status.REQUIRES_ACTION, Status.AUTHORIZED)
_EXPIRING: Final = (Status.CREATED, Status.REQUIRES_ACTION, Status.AUTHORIZED)
_GIVEN_BACK: Final = (Status.PARTIALLY_REFUNDED, Status.REFUNDED)

# fmt: off
_STEPS: Final[tuple[tuple[EventType, tuple[Status, ...], tuple[Status, ...]], ...]] = (
    # what happens                     from                            to
    (EventType.AUTHORIZATION_STARTED, _BEFORE_PROCESSING,             (Status.PROCESSING,)),
    (EventType.ACTION_REQUIRED,       (Status.PROCESSING,),           (Status.REQUIRES_ACTION,)),
    (EventType.AUTHORIZED,            (Status.PROCESSING,),           (Status.AUTHORIZED,)),
    (EventType.FAILED,                (Status.PROCESSING,),           (Status.FAILED,)),
    (EventType.CAPTURE_STARTED,       _HELD,                          ()),
    (EventType.CAPTURE_FAILED,        _HELD,                          ()),
    (EventType.PARTIALLY_CAPTURED,    _HELD,                          (Status.PARTIALLY_CAPTURED,)),
    (EventType.CAPTURED,              (Status.PROCESSING, *_HELD),    (Status.CAPTURED,)),
    (EventType.CANCEL_STARTED,        _HELD,                          ()),
    (EventType.CANCEL_FAILED,         _HELD,                          ()),
    (EventType.CANCELED,              _CANCELABLE,                    (Status.CANCELED,)),
    (EventType.CAPTURE_CLOSED,        (Status.PARTIALLY_CAPTURED,),   (Status.CAPTURED,)),
    (EventType.EXPIRED,               _EXPIRING,                      (Status.EXPIRED,)),
    (EventType.REFUND_STARTED,        _PAID,                          ()),
    (EventType.REFUND_FAILED,         _PAID,                          ()),
    (EventType.PARTIALLY_REFUNDED,    _PAID,                          (Status.PARTIALLY_REFUNDED,)),
    (EventType.REFUNDED,              _PAID,                          (Status.REFUNDED,)),
    (EventType.REFUND_REVERSED,       _GIVEN_BACK,                    _PAID),
)
# fmt: on

TRANSITIONS: Final[Mapping[tuple[Status, EventType], tuple[Status, ...]]] = MappingProxyType(
    {
        (status, event): targets or (status,)
        for event, sources, targets in _STEPS
        for status in sources
    }
)
"""Every step of a payment's life after its creation: for a status and what happens in it, the
statuses that it leads to. Of two the amounts choose."""


class Share(StrEnum):
    """How much of an amount there is."""

    NONE = "none"
    SOME = "some"
    PART = "part"
    ALL = "all"
    ANY = "any"


# fmt: off
AMOUNTS: Final[Mapping[Status, tuple[Share, Share, Share, Share]]] = MappingProxyType({
    # status                   authorized  captured    held        refunded, of what is captured
    Status.CREATED:            (Share.NONE, Share.NONE, Share.NONE, Share.NONE),
    Status.REQUIRES_ACTION:    (Share.NONE, Share.NONE, Share.NONE, Share.NONE),
    Status.PROCESSING:         (Share.NONE, Share.NONE, Share.NONE, Share.NONE),
    Status.AUTHORIZED:         (Share.SOME, Share.NONE, Share.SOME, Share.NONE),
    Status.PARTIALLY_CAPTURED: (Share.SOME, Share.SOME, Share.SOME, Share.NONE),
    Status.CAPTURED:           (Share.SOME, Share.SOME, Share.NONE, Share.NONE),
    Status.PARTIALLY_REFUNDED: (Share.SOME, Share.SOME, Share.NONE, Share.PART),
    Status.REFUNDED:           (Share.SOME, Share.SOME, Share.NONE, Share.ALL),
    Status.FAILED:             (Share.NONE, Share.NONE, Share.NONE, Share.NONE),
    Status.CANCELED:           (Share.ANY,  Share.NONE, Share.NONE, Share.NONE),
    Status.EXPIRED:            (Share.ANY,  Share.NONE, Share.NONE, Share.NONE),
})
"""What each status says of a payment's amounts. The database checks the same."""
# fmt: on

LAPSING: Final = frozenset(
    {Status.CREATED, Status.REQUIRES_ACTION, Status.AUTHORIZED, Status.PARTIALLY_CAPTURED}
)
"""Where time alone may move a payment: by its deadline, its challenge's or its hold's end."""

YES: Final = ""
"""The cell of an action that is allowed; any other cell is the reason of the refusal."""

_BUSY, _OVER, _LAPSED = "PAYMENT_PROCESSING", "PAYMENT_CANCELED", "PAYMENT_EXPIRED"
_ACT, _NO_ACT, _NO_HOLD = "PAYMENT_REQUIRES_ACTION", "ACTION_NOT_REQUIRED", "NOT_AUTHORIZED"
_HOLD, _DONE, _BACK = "ALREADY_AUTHORIZED", "ALREADY_CAPTURED", "ALREADY_REFUNDED"
_NOTHING, _OPEN = "NOT_CAPTURED", "CAPTURE_NOT_FINAL"

# fmt: off
_CELLS: Final = {
    # status                   process  authorize capture   cancel   refund    complete
    Status.CREATED:            (YES,     YES,     _NO_HOLD, YES,     _NOTHING, _NO_ACT),
    Status.REQUIRES_ACTION:    (_ACT,    _ACT,    _ACT,     YES,     _NOTHING, YES),
    Status.PROCESSING:         (_BUSY,   _BUSY,   _BUSY,    _BUSY,   _BUSY,    _BUSY),
    Status.AUTHORIZED:         (_HOLD,   _HOLD,   YES,      YES,     _NOTHING, _HOLD),
    Status.PARTIALLY_CAPTURED: (_HOLD,   _HOLD,   YES,      YES,     _OPEN,    _HOLD),
    Status.CAPTURED:           (_DONE,   _DONE,   _DONE,    _DONE,   YES,      _DONE),
    Status.PARTIALLY_REFUNDED: (_DONE,   _DONE,   _DONE,    _DONE,   YES,      _DONE),
    Status.REFUNDED:           (_BACK,   _BACK,   _BACK,    _BACK,   _BACK,    _BACK),
    Status.FAILED:             (YES,     YES,     _NO_HOLD, YES,     _NOTHING, _NO_ACT),
    Status.CANCELED:           (_OVER,   _OVER,   _OVER,    _OVER,   _OVER,    _OVER),
    Status.EXPIRED:            (_LAPSED, _LAPSED, _LAPSED,  _LAPSED, _LAPSED,  _LAPSED),
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
    next_action: NextAction | None = None
    attempts: int = 0
    version: int = 1
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None
    """The deadline that was asked for at creation."""
    lapses_at: datetime | None = None
    """When the status ends by itself: its deadline's, challenge's or hold's end."""

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
    def authorization_expires_at(self) -> datetime | None:
        """When the hold lapses; None where nothing is held."""
        return self.lapses_at if self.held_minor else None

    @property
    def allowed_actions(self) -> tuple[Action, ...]:
        """What may be asked now; what has to wait for an operation under way is left out."""
        return _allowed(
            self.status,
            is_exhausted=self.attempts >= ATTEMPTS_LIMIT,
            is_busy=self.capture_pending_minor > 0 or self.void_pending_minor > 0,
            is_capturable=self.capturable_minor > 0,
            is_refundable=self.refundable_minor > 0,
        )

    def format(self, minor: int) -> str:
        """An amount of this payment's currency as a decimal string."""
        return format_amount(minor, self.exponent)


@cache
def _allowed(
    status: Status, *, is_exhausted: bool, is_busy: bool, is_capturable: bool, is_refundable: bool
) -> tuple[Action, ...]:
    if status is Status.FAILED and is_exhausted:
        return (Action.CANCEL,)
    waiting = {
        Action.CAPTURE: not is_capturable,
        Action.CANCEL: is_busy,
        Action.REFUND: not is_refundable,
    }
    return tuple(each for each in ALLOWED_ACTIONS[status] if not waiting.get(each, False))


def agrees(payment: Payment, status: Status) -> bool:
    """Whether the amounts are such as the status says."""
    authorized, captured, held, refunded = AMOUNTS[status]
    return (
        _is_share(authorized, payment.authorized_minor, payment.amount_minor)
        and _is_share(captured, payment.captured_minor, payment.authorized_minor)
        and _is_share(held, payment.held_minor, payment.authorized_minor)
        and _is_share(refunded, payment.refunded_minor, payment.captured_minor)
    )


def status_after(payment: Payment, event: EventType) -> Status:
    """The status that an event leads to, on a payment whose amounts are moved already.

    Raises KeyError for what cannot happen in the payment's status, and ValueError where its
    amounts are not those of the target.
    """
    for target in TRANSITIONS[payment.status, event]:
        if agrees(payment, target):
            return target
    raise ValueError(f"{event} leaves amounts that no status of its targets has")


def _is_share(share: Share, amount: int, whole: int) -> bool:
    match share:
        case Share.NONE:
            return amount == 0
        case Share.SOME:
            return amount > 0
        case Share.PART:
            return 0 < amount < whole
        case Share.ALL:
            return 0 < amount == whole
        case Share.ANY:
            return amount >= 0
