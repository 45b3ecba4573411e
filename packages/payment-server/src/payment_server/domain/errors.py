"""Every way in which a request can be refused or fail.

    PaymentServiceError
    ├── InvalidRequest             a field is wrong; names all of them
    │   └── CardDataRejected       a field carries card data; never its value
    ├── MalformedRequest           the request cannot be parsed
    ├── MessageTooLarge            the request is too large to be parsed
    ├── PaymentNotFound
    ├── RefundNotFound
    ├── IllegalStep                the payment's status forbids the action
    │   └── AmountTooLarge         more than is left to capture or refund
    ├── IdempotencyKeyReused
    ├── VersionMismatch            the payment has changed since the caller read it
    ├── CursorExpired              the cursor is none of this database
    ├── WatcherTooSlow             events come faster than the watcher takes them
    ├── RateLimited                the merchant calls more often than it may
    ├── TransactionAborted         contention that a bounded number of rounds did not resolve
    ├── Unavailable                the same request, with its key, may be sent again
    │   ├── Overloaded, ShuttingDown, DatabaseUnavailable, StorageFull
    │   └── ProcessorUnreachable
    └── OutcomeUnknown             it may have happened

An error knows its `reason` and its facts; how gRPC and HTTP say them is the wire's business
(`payment.v1.errors` has a row for each reason).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

TOLD_LIMIT: Final = 3  # of the violations, in the message for people; programs read them all


class Violation(msgspec.Struct, frozen=True):
    """One wrong field: its path in the request, and what is wrong in words."""

    field: str
    message: str


class PaymentServiceError(Exception):
    """A refusal or failure that the caller is told."""

    reason: str
    retry_after_seconds: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def facts(self) -> Mapping[str, str]:
        """What a program may want to know beside the reason."""
        return {}


class InvalidRequest(PaymentServiceError):
    reason = "FIELD_INVALID"

    def __init__(self, violations: Sequence[Violation]) -> None:
        told = "; ".join(f"{each.field}: {each.message}" for each in violations[:TOLD_LIMIT])
        more = len(violations) - TOLD_LIMIT
        super().__init__(f"{told} (and {more} more)" if more > 0 else told)
        self.violations = tuple(violations)


class CardDataRejected(InvalidRequest):
    reason = "CARD_DATA_REJECTED"


class MalformedRequest(PaymentServiceError):
    reason = "MALFORMED_REQUEST"


class MessageTooLarge(PaymentServiceError):
    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"a request has at most {limit_bytes} bytes")
        self.limit_bytes = limit_bytes

    def facts(self) -> Mapping[str, str]:
        return {"limit_bytes": str(self.limit_bytes)}


class PaymentNotFound(PaymentServiceError):
    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, payment_id: str) -> None:
        super().__init__("there is no payment of this id")
        self.payment_id = payment_id


class RefundNotFound(PaymentServiceError):
    reason = "REFUND_NOT_FOUND"

    def __init__(self, refund_id: str) -> None:
        super().__init__("there is no refund of this id")
        self.refund_id = refund_id


class IllegalStep(PaymentServiceError):
    """`reason` names the cell of the table in `domain.payment` that forbids the action."""

    def __init__(
        self,
        reason: str,
        *,
        payment_id: str,
        status: str,
        allowed_actions: Sequence[str],
        retry_after_seconds: float | None = None,
        message: str,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.payment_id = payment_id
        self.status = status
        self.allowed_actions = tuple(allowed_actions)
        self.retry_after_seconds = retry_after_seconds

    def facts(self) -> Mapping[str, str]:
        return {"status": self.status, "allowed_actions": ",".join(self.allowed_actions)}


class AmountTooLarge(IllegalStep):
    """`limit` is what is left, a decimal string in the payment's currency."""

    def __init__(
        self, reason: str, *, limit: str, payment_id: str, status: str, allowed: Sequence[str]
    ) -> None:
        super().__init__(
            reason,
            payment_id=payment_id,
            status=status,
            allowed_actions=allowed,
            message=f"at most {limit} is left",
        )
        self.limit = limit

    def facts(self) -> Mapping[str, str]:
        return {**super().facts(), "limit": self.limit}


class IdempotencyKeyReused(PaymentServiceError):
    reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__("this idempotency key was used for a request of another meaning")


class VersionMismatch(PaymentServiceError):
    reason = "VERSION_MISMATCH"

    def __init__(self, *, expected: int, actual: int) -> None:
        super().__init__(f"the payment has version {actual}, not {expected}")
        self.expected = expected
        self.actual = actual

    def facts(self) -> Mapping[str, str]:
        return {"expected_version": str(self.expected), "version": str(self.actual)}


class CursorExpired(PaymentServiceError):
    reason = "CURSOR_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the cursor is none of this database; begin anew")


class WatcherTooSlow(PaymentServiceError):
    reason = "WATCHER_TOO_SLOW"
    retry_after_seconds = 1.0  # a reader that stalled may need a moment; its cursor stays good

    def __init__(self, limit_seconds: float) -> None:
        super().__init__(f"an event was not taken within {limit_seconds:.0f} s")


class RateLimited(PaymentServiceError):
    """`wait_ns`: whoever calls again after that, and before others of the merchant, is let in."""

    reason = "RATE_LIMITED"

    def __init__(self, *, per_second: int, wait_ns: int) -> None:
        super().__init__(f"the merchant may make {per_second} calls a second")
        self.retry_after_seconds = math.ceil(wait_ns / 1_000_000) / 1_000  # as the wire says it


class TransactionAborted(PaymentServiceError):
    reason = "TRANSACTION_ABORTED"
    retry_after_seconds = 0.1  # as long as the writes that were in the way

    def __init__(self) -> None:
        super().__init__("too many changes met on this payment; nothing was changed")


class Unavailable(PaymentServiceError):
    retry_after_seconds = 1.0  # a restart of the database or of this process takes about as long


class Overloaded(Unavailable):
    reason = "OVERLOADED"
    retry_after_seconds = 0.5  # a full queue drains in less


class ShuttingDown(Unavailable):
    reason = "SHUTTING_DOWN"


class DatabaseUnavailable(Unavailable):
    reason = "DATABASE_UNAVAILABLE"


class StorageFull(Unavailable):
    reason = "STORAGE_FULL"
    retry_after_seconds = 30.0  # somebody has to make room first


class ProcessorUnreachable(Unavailable):
    reason = "PROCESSOR_UNREACHABLE"


class OutcomeUnknown(PaymentServiceError):
    """`repeatable`: the request had an idempotency key, so sending it again finds out."""

    reason = "OUTCOME_UNKNOWN"

    def __init__(self, *, repeatable: bool) -> None:
        super().__init__("the database did not say whether the change was made")
        self.repeatable = repeatable
        self.retry_after_seconds = 1.0 if repeatable else None
