"""A second payment, written from the contract's table of steps and not from the code.

It moves from status to status by what happened; the code finds the status in the amounts. Where
the two disagree, one of them has not understood the contract.
"""

from dataclasses import dataclass

ATTEMPTS = 10

_BUSY, _DONE, _BACK = "PAYMENT_PROCESSING", "ALREADY_CAPTURED", "ALREADY_REFUNDED"
_REFUSED = {
    # to process and authorize, to capture, to cancel, to refund; empty: allowed
    "created": ("", "", "", "NOT_CAPTURED"),
    "processing": (_BUSY, _BUSY, _BUSY, _BUSY),
    "authorized": ("ALREADY_AUTHORIZED", "", "", "NOT_CAPTURED"),
    "partially_captured": ("ALREADY_AUTHORIZED", "", "", "CAPTURE_NOT_FINAL"),
    "captured": (_DONE, _DONE, _DONE, ""),
    "partially_refunded": (_DONE, _DONE, _DONE, ""),
    "refunded": (_BACK, _BACK, _BACK, _BACK),
    "failed": ("", "", "", "NOT_CAPTURED"),
    "canceled": ("PAYMENT_CANCELED",) * 4,
}
_COLUMN = {"process": 0, "authorize": 0, "capture": 1, "cancel": 2, "refund": 3}


class Refused(Exception):
    """The contract forbids the step; the argument is its reason."""


@dataclass
class Begun:
    """What the processor is asked: a kind of operation and an amount."""

    kind: str
    amount: int
    captures: bool = False


@dataclass
class PaymentModel:
    """Amounts in minor units."""

    amount: int
    is_automatic: bool
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

    @property
    def capturable(self) -> int:
        taken = self.captured + self.capture_pending
        return self.authorized - taken - self.voided - self.void_pending

    @property
    def refundable(self) -> int:
        return self.captured - self.refunded - self.refund_pending

    def ask(self, action: str, part: int, method: str, expected_version: int) -> Begun:
        """A part of 0 means all that is left. Raises Refused, and then nothing has changed."""
        if expected_version not in (0, self.version):
            raise Refused("VERSION_MISMATCH")
        if reason := _REFUSED[self.status][_COLUMN[action]]:
            raise Refused(reason)
        if action == "refund":
            begun = self._refund(part)
        elif action == "cancel":
            begun = self._cancel()
        elif action == "capture" and self.status in ("authorized", "partially_captured"):
            begun = self._capture(part, method)
        else:
            begun = self._attempt(action, part, method)
        self.version += 1
        return begun

    def _attempt(self, action: str, part: int, method: str) -> Begun:
        if self.attempts == ATTEMPTS:
            raise Refused("ATTEMPTS_EXHAUSTED")
        if self.is_method_refused and method in ("", self.method):
            raise Refused("PAYMENT_METHOD_REFUSED")
        if part > self.amount:
            raise Refused("AMOUNT_EXCEEDS_CAPTURABLE")
        if part not in (0, self.amount):
            raise Refused("FIELD_INVALID")
        self.status, self.attempts = "processing", self.attempts + 1
        self.method, self.is_method_refused = method or self.method, False
        captures = action == "capture" or (action == "process" and self.is_automatic)
        return Begun("authorize", self.amount, captures)

    def _capture(self, part: int, method: str) -> Begun:
        if method:
            raise Refused("FIELD_INVALID")
        if self.void_pending:
            raise Refused("CANCEL_IN_PROGRESS")
        if not self.capturable:
            raise Refused("CAPTURE_IN_PROGRESS")
        amount = part or self.capturable
        if amount > self.capturable:
            raise Refused("AMOUNT_EXCEEDS_CAPTURABLE")
        self.capture_pending += amount
        return Begun("capture", amount)

    def _cancel(self) -> Begun:
        if self.status in ("created", "failed"):
            self.status = "canceled"
            return Begun("cancel", 0)
        if self.capture_pending:
            raise Refused("CAPTURE_IN_PROGRESS")
        if self.void_pending:
            raise Refused("CANCEL_IN_PROGRESS")
        self.void_pending = self.authorized - self.captured
        return Begun("cancel", self.void_pending)

    def _refund(self, part: int) -> Begun:
        if not self.refundable:
            raise Refused("REFUND_IN_PROGRESS")
        amount = part or self.refundable
        if amount > self.refundable:
            raise Refused("AMOUNT_EXCEEDS_REFUNDABLE")
        self.refund_pending += amount
        return Begun("refund", amount)

    def approve(self, begun: Begun) -> None:
        """The processor did it: what was reserved is moved."""
        self.version += 1
        match begun.kind:
            case "authorize":
                self.authorized = begun.amount
                self.captured = begun.amount if begun.captures else 0
                self.status = "captured" if begun.captures else "authorized"
            case "capture":
                self.capture_pending -= begun.amount
                self.captured += begun.amount
                is_closed = self.captured == self.authorized
                self.status = "captured" if is_closed else "partially_captured"
            case "cancel":
                self.void_pending -= begun.amount
                self.voided += begun.amount
                self.status = "captured" if self.captured else "canceled"
            case "refund":
                self.refund_pending -= begun.amount
                self.refunded += begun.amount
                is_all = self.refunded == self.captured
                self.status = "refunded" if is_all else "partially_refunded"

    def decline(self, begun: Begun, *, for_good: bool) -> None:
        """The processor refused: what was reserved is free again; only an attempt can fail."""
        self.version += 1
        match begun.kind:
            case "authorize":
                self.status, self.is_method_refused = "failed", for_good
            case "capture":
                self.capture_pending -= begun.amount
            case "cancel":
                self.void_pending -= begun.amount
            case "refund":
                self.refund_pending -= begun.amount
