"""Every failure of a call as one exception, with its facts as fields.

    PaymentError
    ├── InvalidRequest            the request itself is wrong: .violations
    │   └── CardDataRejected      it carries card data, which belongs nowhere near this service
    ├── PaymentNotFound           unknown, or another merchant's
    ├── IllegalTransition         not in the payment's status: .status, .allowed_actions
    │   └── AmountTooLarge        more than is left to capture or refund: .limit
    ├── IdempotencyKeyReused      the key belongs to another request
    ├── VersionMismatch           the payment has changed since expected_version was read
    ├── TransactionAborted        too many changes met on the payment
    ├── ResourceExhausted         too large, or too much at once
    ├── Unavailable               the service is not reached, overloaded or stopping
    ├── DeadlineExceeded          no answer within the timeout
    ├── OutcomeUnknown            the service cannot tell whether the call took effect
    └── Internal                  a fault of the service, or an answer that makes no sense

A decline is none of these: the call succeeds and says so in the payment. What a status means is
read from `google.rpc` details; a failure of other make (a proxy, grpcio itself, a foreign server)
has none and is classed by its status code. Reading a failure never raises another one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from payment.v1.errors import DOMAIN, ERRORS, row_of
from payment_client._types import NO_STRINGS, FieldViolation, FrozenStrings, PaymentStatus

_DETAILS: Final = "grpc-status-details-bin"

MessageT = TypeVar("MessageT", bound=Message)


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


class Unavailable(PaymentError):
    """The service was not reached, is overloaded or is stopping; the call may have happened."""


class DeadlineExceeded(PaymentError):
    """No answer came within the timeout; the call may have happened or happen yet."""


class OutcomeUnknown(PaymentError):
    """The service cannot tell whether the call took effect; with the same key it finds out."""


class Internal(PaymentError):
    """A fault of the service, or an answer that makes no sense; ask its operators."""


_CLASS_OF_REASON: Final[Mapping[str, type[PaymentError]]] = {
    "CARD_DATA_REJECTED": CardDataRejected,
    "PAYMENT_NOT_FOUND": PaymentNotFound,
    "AMOUNT_EXCEEDS_CAPTURABLE": AmountTooLarge,
    "AMOUNT_EXCEEDS_REFUNDABLE": AmountTooLarge,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    "VERSION_MISMATCH": VersionMismatch,
    "OUTCOME_UNKNOWN": OutcomeUnknown,
}
"""The reasons that have a class of their own; the others have the class of their code."""


class _Kind(NamedTuple):
    error: type[PaymentError]
    http_status: int
    title: str


_FOREIGN: Final = "The service did not answer as a payment service does."
_KIND_OF_CODE: Final[Mapping[str, _Kind]] = {
    # Remote, it comes from a server that stops before the call was looked at.
    "CANCELLED": _Kind(Unavailable, 503, "The call was cut off."),
    "INVALID_ARGUMENT": _Kind(InvalidRequest, 400, "The request was refused."),
    "DEADLINE_EXCEEDED": _Kind(DeadlineExceeded, 504, "No answer came in time."),
    "NOT_FOUND": _Kind(PaymentError, 404, "There is no such thing."),
    "ALREADY_EXISTS": _Kind(PaymentError, 409, "There is such a thing already."),
    "PERMISSION_DENIED": _Kind(PaymentError, 403, "The caller may not do this."),
    "UNAUTHENTICATED": _Kind(PaymentError, 401, "The caller did not say who they are."),
    "RESOURCE_EXHAUSTED": _Kind(ResourceExhausted, 429, "Too large, or too much at once."),
    "FAILED_PRECONDITION": _Kind(IllegalTransition, 409, "The payment's status forbids this."),
    "ABORTED": _Kind(TransactionAborted, 409, "Too many changes met."),
    "OUT_OF_RANGE": _Kind(PaymentError, 400, "The request is out of range."),
    "UNIMPLEMENTED": _Kind(PaymentError, 501, "The service does not know this call."),
    "UNAVAILABLE": _Kind(Unavailable, 503, "The service is not available."),
}
"""What each status code is where its reason is none of the contract's that we know."""

_REPEATABLE_CODES: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"})
_REPEATABLE_REASON: Final = "TRANSACTION_ABORTED"


def read_failure(
    code: str, message: str, trailing: Iterable[tuple[str, str | bytes]]
) -> PaymentError:
    """The exception for a gRPC status, whoever made it; `trailing` is its trailing metadata."""
    values = dict(trailing)
    packed = _packed_details(values.get(_DETAILS))
    info = _info(packed)
    reason = info.reason if info else code
    row = row_of(reason, code) if info else None
    kind = _KIND_OF_CODE.get(code, _Kind(Internal, 500, _FOREIGN))
    wait = _retry_after(packed)
    return _CLASS_OF_REASON.get(row.reason if row else "", kind.error)(
        message or kind.title,
        reason=reason,
        code=code,
        http_status=row.http_status if row else kind.http_status,
        title=row.title if row else kind.title,
        violations=_violations(packed),
        metadata=FrozenStrings(info.metadata) if info else NO_STRINGS,
        retry_after=wait,
        request_id=_request_id(values, packed),
        retryable=code in _REPEATABLE_CODES or reason == _REPEATABLE_REASON or wait is not None,
    )


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


def malformed_answer(what: str, request_id: str) -> Internal:
    """The error for an answer that the contract does not allow; the call did take effect."""
    return Internal(
        f"the service answered against its contract: {what}",
        reason="MALFORMED_ANSWER",
        code="INTERNAL",
        title=_FOREIGN,
        request_id=request_id,
    )


def _packed_details(value: str | bytes | None) -> list[AnyMessage]:
    if not isinstance(value, bytes):
        return []
    try:
        return list(Status.FromString(value).details)
    except DecodeError:
        return []


def _unpacked(kind: Callable[[], MessageT], packed: Iterable[AnyMessage]) -> Iterable[MessageT]:
    """The details of one type; those that do not parse count as not sent."""
    for detail in packed:
        message = kind()
        try:
            if detail.Unpack(message):
                yield message
        except DecodeError:
            continue


def _info(packed: Iterable[AnyMessage]) -> ErrorInfo | None:
    """Ours, and no other's: the same reason means something else in another domain."""
    infos = _unpacked(ErrorInfo, packed)
    return next((info for info in infos if info.domain == DOMAIN), None)


def _violations(packed: Iterable[AnyMessage]) -> tuple[FieldViolation, ...]:
    return tuple(
        FieldViolation(field=violation.field, message=violation.description)
        for request in _unpacked(BadRequest, packed)
        for violation in request.field_violations
    )


def _retry_after(packed: Iterable[AnyMessage]) -> timedelta | None:
    for info in _unpacked(RetryInfo, packed):
        try:
            return max(info.retry_delay.ToTimedelta(), timedelta(0))
        except (OverflowError, ValueError):
            continue
    return None


def _request_id(values: Mapping[str, str | bytes], packed: Iterable[AnyMessage]) -> str:
    header = values.get("x-request-id")
    if isinstance(header, str) and header:
        return header
    return next((info.request_id for info in _unpacked(RequestInfo, packed)), "")
