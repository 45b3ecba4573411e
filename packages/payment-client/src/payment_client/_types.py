"""What the service answers, as plain frozen values: money is `Decimal`, time is aware UTC.

Nothing here knows of gRPC or protobuf; the values compare, hash, pickle and copy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class PaymentStatus(StrEnum):
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
    UNKNOWN = "unknown"
    """A status that a newer service has and this client does not know."""


class CaptureMethod(StrEnum):
    """Whether a payment that is processed is captured at once."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    UNKNOWN = "unknown"
    """A method that a newer service has and this client does not know."""


class Action(StrEnum):
    """What `process` can be asked for."""

    PROCESS = "process"
    """Run the payment to its end by its capture method."""
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    """Capture what is held; a created payment is authorized and captured as one operation."""
    CANCEL = "cancel"
    REFUND = "refund"


class OperationKind(StrEnum):
    """What an operation asks of the processor."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    COMPLETE = "complete"
    """Go on with an authorization after the customer has acted."""
    UNKNOWN = "unknown"
    """A kind that a newer service has and this client does not know."""


class OperationStatus(StrEnum):
    """How far an operation has come."""

    PENDING = "pending"
    """Its outcome is not known yet; the service finds it out by itself."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REQUIRES_ACTION = "requires_action"
    """The customer has to act before it can be decided; `complete` goes on."""
    UNKNOWN = "unknown"
    """A status that a newer service has and this client does not know."""


class RefundStatus(StrEnum):
    """How far a refund has come."""

    PENDING = "pending"
    """On its way; the amount is set aside."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The money stayed with the merchant, or came back to them."""
    UNKNOWN = "unknown"
    """A status that a newer service has and this client does not know."""


class DeclineAdvice(StrEnum):
    """What to do after a decline."""

    NEVER = "never"
    """The same payment method will not work; do not try it again."""
    LATER = "later"
    FIX = "fix"
    """Correct the payment method's data first."""
    AUTHENTICATE = "authenticate"
    OTHER = "other"
    """Try another payment method."""
    CHECK = "check"
    """Look for an existing payment first."""
    UNKNOWN = "unknown"
    """An advice that a newer service has and this client does not know."""


class FrozenStrings(Mapping[str, str]):
    """Strings by name that cannot change; unlike `MappingProxyType` they hash, pickle and copy."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


NO_STRINGS = FrozenStrings({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInfo:
    """How an answer came about; it is no part of the answer's value."""

    request_id: str = ""
    """The correlation id to name when asking the service's operators; empty if none was sent."""
    replayed: bool = False
    """The idempotency key had its effect before: this is the answer of that time."""
    reconstructed: bool = False
    """A replay whose stored answer is gone: it was rebuilt from the payment as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One thing that is wrong with one field of a request."""

    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Why the processor or the card's issuer said no."""

    code: str
    """The reason, such as "insufficient_funds"."""
    network_code: str
    """The card network's response code (ISO 8583), such as "51"; empty where there is none."""
    advice: DeclineAdvice
    retry_after: datetime | None
    """When the same attempt may be repeated, in UTC; None where nobody knows."""
    message: str
    """A sentence that may be shown to the customer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAction:
    """What the customer has to do before an authorization can be decided."""

    type: str
    """What it is: "challenge"."""
    url: str
    """Where to send the customer; empty where there is no page, as in the sandbox."""
    expires_at: datetime
    """The payment expires if it is not completed by then."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Payment:
    """One payment, as it was when the service answered.

    Amounts are in units of the currency with all of its decimals: Decimal("10.00") USD,
    Decimal("1000") JPY. Times are aware and in UTC.
    """

    payment_id: str
    merchant_id: str
    customer_id: str
    payment_method: str
    capture_method: CaptureMethod
    description: str
    metadata: Mapping[str, str]
    currency: str
    amount: Decimal
    status: PaymentStatus
    amount_authorized: Decimal
    amount_captured: Decimal
    amount_capturable: Decimal
    amount_voided: Decimal
    amount_refunded: Decimal
    amount_refund_pending: Decimal
    amount_refundable: Decimal
    decline: Decline | None
    """The last attempt's decline; None unless the status is failed."""
    next_action: NextAction | None
    """What the customer has to do; None unless the status is requires_action."""
    attempts: int
    """How many times authorization was tried."""
    version: int
    """Grows by one with every change of the payment; the first is 1."""
    allowed_actions: tuple[str, ...]
    """What may be asked now: process, authorize, capture, cancel, refund, complete; strings, as a
    newer service may know more of them."""
    created_at: datetime
    updated_at: datetime
    authorization_expires_at: datetime | None
    """When the hold lapses; None unless something is held."""
    expires_at: datetime | None
    """The deadline that was asked for: a payment still created by then expires."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    def __repr__(self) -> str:
        # Short, and without the words of customers and callers, as it ends up in logs.
        return f"Payment({self.payment_id} {self.amount} {self.currency} {self.status})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Operation:
    """One thing that was asked of the processor for a payment."""

    operation_id: str
    kind: OperationKind
    status: OperationStatus
    amount: Decimal
    """What was asked for, in units of the payment's currency."""
    decline: Decline | None
    """Why it failed; None otherwise."""
    created_at: datetime
    settled_at: datetime | None
    """When its outcome was recorded; None while it is pending."""

    def __repr__(self) -> str:
        return f"Operation({self.kind} {self.amount} {self.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedPayment:
    """A payment after what was done. A decline is told here: the payment's status is failed."""

    payment: Payment
    operation: Operation
    """What was asked of the processor, or settled without it where nothing was held."""
    processed_at: datetime
    """When the outcome was recorded; of a pending operation, when it was asked for."""
    call: CallInfo = field(default=CallInfo(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Refund:
    """Money given back to the customer, as it was when the service answered."""

    refund_id: str
    """Also the id of the operation that asked for it."""
    payment_id: str
    amount: Decimal
    """In units of the currency with all of its decimals."""
    currency: str
    status: RefundStatus
    reason: str
    """The caller's own words; empty where none were given."""
    decline: Decline | None
    """Why it failed; None otherwise."""
    created_at: datetime
    updated_at: datetime
    """When its status last changed."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    def __repr__(self) -> str:
        return f"Refund({self.refund_id} {self.amount} {self.currency} {self.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundedPayment:
    """A payment after `refund`, and the refund, which may be pending."""

    payment: Payment
    operation: Operation
    """What was asked of the processor; the refund has its id."""
    refund: Refund
    call: CallInfo = field(default=CallInfo(), compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Event:
    """One change of a payment. Each has the payment's next version: 1, 2, 3 without a gap."""

    event_id: str
    payment_id: str
    version: int
    type: str
    """What happened, in the past tense: "payment.created", "payment.captured" and so on."""
    occurred_at: datetime
    payment: Payment
    """The payment after the change."""

    def __repr__(self) -> str:
        return f"Event({self.type} {self.payment_id} version {self.version})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Page:
    """One page of payments, newest first."""

    payments: tuple[Payment, ...]
    next_page_token: str
    """Where the next page starts; empty on the last one."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    def __repr__(self) -> str:
        return f"Page({len(self.payments)} payments, {_what_follows(self.next_page_token)})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefundPage:
    """One page of a payment's refunds, newest first."""

    refunds: tuple[Refund, ...]
    next_page_token: str
    """Where the next page starts; empty on the last one."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    def __repr__(self) -> str:
        return f"RefundPage({len(self.refunds)} refunds, {_what_follows(self.next_page_token)})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EventPage:
    """One page of a payment's events, oldest first."""

    events: tuple[Event, ...]
    next_page_token: str
    """Where the next page starts; empty on the last one."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    def __repr__(self) -> str:
        return f"EventPage({len(self.events)} events, {_what_follows(self.next_page_token)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One answer of a watch: how far it has come, and what happened, if anything did."""

    event: Event | None
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the service can take payments: it asked its database."""

    healthy: bool
    checked_at: datetime
    call: CallInfo = field(default=CallInfo(), compare=False, repr=False)


def _what_follows(next_page_token: str) -> str:
    return "more follow" if next_page_token else "the last page"
