"""Every failure of a call as one exception, with its facts as fields.

    PaymentError
    ├── InvalidRequest            the request itself is wrong: .violations
    │   └── CardDataRejected      it carries card data, which belongs nowhere near this service
    ├── PaymentNotFound           unknown, or another merchant's
    ├── RefundNotFound            likewise
    ├── IllegalTransition         not in the payment's status: .status, .allowed_actions
    │   └── AmountTooLarge        more than is left to capture or refund: .limit
    ├── IdempotencyKeyReused      the key belongs to another request
    ├── VersionMismatch           the payment has changed since expected_version was read
    ├── TransactionAborted        too many changes met on the payment
    ├── CursorExpired             the watch cannot go on from there, only start anew
    ├── ResourceExhausted         too large, or too much at once
    │   ├── RateLimited           the merchant calls too often: .retry_after
    │   └── WatcherTooSlow        the watcher did not keep up; a watch resumes by itself
    ├── Unavailable               the service is not reached, overloaded or stopping
    ├── DeadlineExceeded          no answer within the timeout
    ├── OutcomeUnknown            whether the change took effect is not known; its key finds out
    └── Internal                  a fault of the service, or an answer that makes no sense

A change that ends as Unavailable or as a refusal has not happened. A decline is none of these: the
call succeeds and says so in the payment.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from payment.v1.errors import ERRORS
from payment_client._types import NO_STRINGS, FieldViolation, PaymentStatus


@dataclass(eq=False, repr=False)
class PaymentError(Exception):
    """A call that failed. The facts are the service's own where it sent them."""

    message: str
    """What went wrong this time, for a person who develops or operates."""
    _: KW_ONLY
    reason: str = "UNKNOWN"
    """What a program looks at: UPPER_SNAKE, from the contract's table; for a failure of other
    make the name of its status code."""
    code: str = "UNKNOWN"
    """The gRPC status code by name."""
    http_status: int = 500
    """What the same failure is in HTTP."""
    title: str = ""
    """A sentence on the reason that never varies."""
    violations: tuple[FieldViolation, ...] = ()
    """What is wrong with which field of the request."""
    metadata: Mapping[str, str] = NO_STRINGS
    """Further facts by name, such as status, allowed_actions, limit."""
    retry_after: timedelta | None = None
    """How long to wait before the call is repeated, where the service says."""
    request_id: str = ""
    """The correlation id to name when asking the service's operators; empty if there is none."""
    idempotency_key: str = ""
    """The key that the call had, given or made: repeat the call with it and it happens once."""
    retryable: bool = False
    """The same call may succeed if it is repeated; a change only ever with `idempotency_key`."""

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({self.reason}{request})"


class InvalidRequest(PaymentError):
    """The request itself is wrong; `violations` has all that is wrong with it."""


class CardDataRejected(InvalidRequest):
    """The request carries card data; `violations` names the place, never the value."""


class PaymentNotFound(PaymentError):
    """There is no such payment, or it is another merchant's."""


class RefundNotFound(PaymentError):
    """There is no such refund, or it is another merchant's."""


class IllegalTransition(PaymentError):
    """The payment's status does not allow this; `reason` says which of the many cases it is."""

    @property
    def status(self) -> PaymentStatus | None:
        """The status that stands in the way; None if the service did not say."""
        try:
            return PaymentStatus(self.metadata["status"])
        except KeyError:
            return None
        except ValueError:
            return PaymentStatus.UNKNOWN

    @property
    def allowed_actions(self) -> tuple[str, ...]:
        """What the status does allow."""
        names = self.metadata.get("allowed_actions", "").split(",")
        return tuple(name.strip() for name in names if name.strip())


class AmountTooLarge(IllegalTransition):
    """The amount is more than is left to capture or refund."""

    @property
    def limit(self) -> Decimal | None:
        """What is left, in units of the currency; None if the service did not say."""
        try:
            return Decimal(self.metadata["limit"])
        except (KeyError, InvalidOperation):
            return None


class IdempotencyKeyReused(PaymentError):
    """The idempotency key had its one effect for another request."""


class VersionMismatch(PaymentError):
    """The payment has changed since `expected_version` was read; read it and decide again."""


class TransactionAborted(PaymentError):
    """Too many changes met on the payment; nothing happened."""


class ResourceExhausted(PaymentError):
    """The request is too large, or there are too many of them."""


class RateLimited(ResourceExhausted):
    """The merchant calls too often; nothing happened. The same call, with the same key, may succeed
    after `retry_after`."""


class WatcherTooSlow(ResourceExhausted):
    """The watcher did not keep up with what happened; the same cursor goes on."""


class CursorExpired(PaymentError):
    """The cursor is too old or of another database: look at the payments, then watch anew."""


class Unavailable(PaymentError):
    """The service was not reached, is overloaded or is stopping; nothing happened."""


class DeadlineExceeded(PaymentError):
    """No answer to a read came within the timeout."""


class OutcomeUnknown(PaymentError):
    """The change may have happened or happen yet: its answer was lost, or the service itself cannot
    tell. The same call with `idempotency_key` finds out, and never has a second effect. `reason`
    says what came between."""


class Internal(PaymentError):
    """A fault of the service, or an answer that makes no sense; ask its operators. Whether a change
    took effect is not known, and repeating it does not help."""


def field_invalid(field: str, message: str) -> InvalidRequest:
    """The refusal of a value that cannot be sent, the same as the service would have made it."""
    row = ERRORS["FIELD_INVALID"]
    return InvalidRequest(
        f"{field}: {message}",
        reason=row.reason,
        code=row.code,
        http_status=row.http_status,
        title=row.title,
        violations=(FieldViolation(field=field, message=message),),
    )


def outcome_unknown(error: PaymentError, *, is_about_it: bool) -> OutcomeUnknown:
    """What is known when a change ends with this error, after which it may have happened.

    `is_about_it`: this error is what leaves it open; otherwise an attempt before did.
    """
    facts = {each.name: getattr(error, each.name) for each in fields(error)}
    if not is_about_it:
        row = ERRORS["OUTCOME_UNKNOWN"]
        facts |= {"reason": row.reason, "code": row.code, "http_status": row.http_status}
        facts |= {"title": row.title, "violations": (), "metadata": NO_STRINGS}
        facts["message"] = f"an attempt was lost on its way; besides: {error.message}"
    facts["retryable"] = True
    return OutcomeUnknown(facts.pop("message"), **facts)  # by its place, or it could not be pickled


def malformed_answer(what: str, request_id: str, idempotency_key: str) -> Internal:
    """The error for an answer that the contract does not allow; the call itself succeeded."""
    return Internal(
        f"the service answered against its contract: {what}",
        reason="MALFORMED_ANSWER",
        code="INTERNAL",
        title="The service did not answer as a payment service does.",
        request_id=request_id,
        idempotency_key=idempotency_key,
    )
