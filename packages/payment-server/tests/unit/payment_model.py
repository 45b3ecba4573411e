"""A second payment, written from the contract's table of steps and not from the code.

It moves from status to status by what happened; the code finds the status in the amounts. Where
the two disagree, one of them has not understood the contract.
"""

from collections import Counter
from dataclasses import dataclass, field

ATTEMPTS = 10

_BUSY, _DONE, _BACK = "PAYMENT_PROCESSING", "ALREADY_CAPTURED", "ALREADY_REFUNDED"
_HELD, _CHALLENGED, _CALM = "ALREADY_AUTHORIZED", "PAYMENT_REQUIRES_ACTION", "ACTION_NOT_REQUIRED"
_NO_HOLD, _NOTHING, _OPEN = "NOT_AUTHORIZED", "NOT_CAPTURED", "CAPTURE_NOT_FINAL"
_REFUSED = {
    # to process and authorize, to capture, to cancel, to refund, to complete; empty: allowed
    "created": ("", _NO_HOLD, "", _NOTHING, _CALM),
    "requires_action": (_CHALLENGED, _CHALLENGED, "", _NOTHING, ""),
    "processing": (_BUSY,) * 5,
    "authorized": (_HELD, "", "", _NOTHING, _HELD),
    "partially_captured": (_HELD, "", "", _OPEN, _HELD),
    "captured": (_DONE, _DONE, _DONE, "", _DONE),
    "partially_refunded": (_DONE, _DONE, _DONE, "", _DONE),
    "refunded": (_BACK,) * 5,
    "failed": ("", _NO_HOLD, "", _NOTHING, _CALM),
    "canceled": ("PAYMENT_CANCELED",) * 5,
    "expired": ("PAYMENT_EXPIRED",) * 5,
}
_COLUMN = {"process": 0, "authorize": 0, "capture": 1, "cancel": 2, "refund": 3, "complete": 4}
_OPEN_HOLD = ("authorized", "partially_captured")


class Refused(Exception):
    """The contract forbids the step; the argument is its reason."""


@dataclass(frozen=True)
class Wish:
    """What a caller asks for. A part of 0 is all that is left, a version of 0 is any.

    A strict capture is CapturePayment's, any other one is ProcessPayment's.
    """

    action: str
    part: int = 0
    method: str = ""
    version: int = 0
    is_strict: bool = False
    is_final: bool = False


@dataclass(frozen=True)
class Begun:
    """What the processor is asked: a kind of operation, an amount, and what goes with it."""

    kind: str
    amount: int
    captures: bool = False
    released: int = 0


@dataclass
class PaymentModel:
    """Amounts in minor units. `happened` is the last event, `ends` what time will end."""

    amount: int
    is_automatic: bool
    ends: str = ""
    method: str = "card"
    status: str = "created"
    authorized: int = 0
    captured: int = 0
    capture_pending: int = 0
    voided: int = 0
    void_pending: int = 0
    refunded: int = 0
    refund_pending: int = 0
    attempts: int = 0
    version: int = 1
    is_method_refused: bool = False
    challenge_captures: bool = False
    given_back: Counter[int] = field(default_factory=Counter)
    happened: str = "payment.created"

    @property
    def capturable(self) -> int:
        taken = self.captured + self.capture_pending
        return self.authorized - taken - self.voided - self.void_pending

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.refund_pending

    @property
    def allowed_actions(self) -> list[str]:
        """What may be asked for now, in the order of the contract."""
        match self.status:
            case "failed" if self.attempts == ATTEMPTS:
                return ["cancel"]
            case "created" | "failed":
                return ["process", "authorize", "cancel"]
            case "requires_action":
                return ["cancel", "complete"]
            case "authorized" | "partially_captured":
                is_busy = self.capture_pending or self.void_pending
                capture = ["capture"] if self.capturable else []
                return capture if is_busy else [*capture, "cancel"]
            case "captured" | "partially_refunded" if self.refundable:
                return ["refund"]
        return []

    def ask(self, wish: Wish) -> Begun:
        """Raises Refused, and then nothing has changed."""
        if wish.version not in (0, self.version):
            raise Refused("VERSION_MISMATCH")
        is_one_shot = wish.action == "capture" and not wish.is_strict
        column = _COLUMN[wish.action]
        if is_one_shot and self.status not in _OPEN_HOLD:
            column = _COLUMN["process"]
        if reason := _REFUSED[self.status][column]:
            raise Refused(reason)
        if wish.action == "refund":
            return self._refund(wish)
        if wish.action == "cancel":
            return self._cancel()
        if wish.action == "complete":
            return self._complete()
        if wish.action == "capture" and self.status in _OPEN_HOLD:
            return self._capture(wish)
        return self._attempt(wish)

    def _attempt(self, wish: Wish) -> Begun:
        if self.attempts == ATTEMPTS:
            raise Refused("ATTEMPTS_EXHAUSTED")
        if self.is_method_refused and wish.method in ("", self.method):
            raise Refused("PAYMENT_METHOD_REFUSED")
        if wish.part > self.amount:
            raise Refused("AMOUNT_EXCEEDS_CAPTURABLE")
        if wish.part not in (0, self.amount):
            raise Refused("FIELD_INVALID")
        self.attempts += 1
        self.method, self.is_method_refused = wish.method or self.method, False
        self._now("processing", "payment.authorization_started")
        captures = wish.action == "capture" or (wish.action == "process" and self.is_automatic)
        return Begun("authorize", self.amount, captures)

    def _complete(self) -> Begun:
        self._now("processing", "payment.authorization_started")
        return Begun("complete", self.amount, self.challenge_captures)

    def _capture(self, wish: Wish) -> Begun:
        if wish.method:
            raise Refused("FIELD_INVALID")
        if self.capture_pending and (wish.is_final or not self.capturable):
            raise Refused("CAPTURE_IN_PROGRESS")
        if self.void_pending:
            raise Refused("CANCEL_IN_PROGRESS")
        if wish.part > self.capturable:
            raise Refused("AMOUNT_EXCEEDS_CAPTURABLE")
        amount = wish.part or self.capturable
        released = self.capturable - amount if wish.is_final else 0
        self.capture_pending += amount
        self.void_pending += released
        self._now(self.status, "payment.capture_started")
        return Begun("capture", amount, released=released)

    def _cancel(self) -> Begun:
        if self.status not in _OPEN_HOLD:
            self._now("canceled", "payment.canceled")
            return Begun("cancel", 0)
        if self.capture_pending:
            raise Refused("CAPTURE_IN_PROGRESS")
        if self.void_pending:
            raise Refused("CANCEL_IN_PROGRESS")
        self.void_pending = self.authorized - self.captured
        self._now(self.status, "payment.cancel_started")
        return Begun("cancel", self.void_pending)

    def _refund(self, wish: Wish) -> Begun:
        if not self.refundable:
            raise Refused("REFUND_IN_PROGRESS")
        if wish.part > self.refundable:
            raise Refused("AMOUNT_EXCEEDS_REFUNDABLE")
        amount = wish.part or self.refundable
        self.refund_pending += amount
        self._now(self.status, "payment.refund_started")
        return Begun("refund", amount)

    def approve(self, begun: Begun) -> None:
        """The processor did it: what was reserved is moved."""
        match begun.kind:
            case "authorize" | "complete":
                self._authorized(begun)
            case "capture":
                self._release(begun)
                self.captured += begun.amount
                self.voided += begun.released
                if self.captured + self.voided == self.authorized:
                    self._now("captured", "payment.captured")
                else:
                    self._now("partially_captured", "payment.partially_captured")
            case "cancel":
                self._release(begun)
                self.voided += begun.amount
                if self.captured:
                    self._now("captured", "payment.capture_closed")
                else:
                    self._now("canceled", "payment.canceled")
            case "refund":
                self._release(begun)
                self.refunded += begun.amount
                self.given_back[begun.amount] += 1
                is_all = self.refunded == self.captured
                name = "refunded" if is_all else "partially_refunded"
                self._now(name, f"payment.{name}")

    def decline(self, begun: Begun, *, for_good: bool) -> None:
        """The processor refused: what was reserved is free again; only an attempt can fail."""
        if begun.kind in ("authorize", "complete"):
            self.is_method_refused = for_good
            self._now("failed", "payment.failed")
        else:
            self._release(begun)
            self._now(self.status, f"payment.{begun.kind}_failed")

    def challenge(self, begun: Begun) -> None:
        """The processor wants to see the customer before it decides."""
        self.challenge_captures = begun.captures
        self._now("requires_action", "payment.action_required", ends="challenge")

    def lapse(self) -> None:
        """Time ends what it can end. Raises Refused while the processor is at it."""
        if not self.ends:
            raise Refused("")
        if self.capture_pending:
            raise Refused("CAPTURE_IN_PROGRESS")
        if self.void_pending:
            raise Refused("CANCEL_IN_PROGRESS")
        self.voided = self.authorized - self.captured
        if self.captured:
            self._now("captured", "payment.capture_closed")
        else:
            self._now("expired", "payment.expired")

    def reverse(self, amount: int) -> None:
        """A refund of that amount that had succeeded fails after all."""
        self.given_back[amount] -= 1
        self.refunded -= amount
        name = "partially_refunded" if self.refunded else "captured"
        self._now(name, "payment.refund_reversed")

    def _authorized(self, begun: Begun) -> None:
        self.authorized = begun.amount
        if begun.captures:
            self.captured = begun.amount
            self._now("captured", "payment.captured")
        else:
            self._now("authorized", "payment.authorized", ends="hold")

    def _release(self, begun: Begun) -> None:
        match begun.kind:
            case "capture":
                self.capture_pending -= begun.amount
                self.void_pending -= begun.released
            case "cancel":
                self.void_pending -= begun.amount
            case "refund":
                self.refund_pending -= begun.amount

    def _now(self, status: str, happened: str, ends: str = "") -> None:
        is_as_before = status in _OPEN_HOLD
        self.ends = ends or (self.ends if is_as_before else "")
        self.status, self.happened = status, happened
        self.version += 1
