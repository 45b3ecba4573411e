"""A gRPC status → the exception for it, whoever made the status. Reading one never raises another.

The service's own failures are told by their `google.rpc` details and the contract's table. Those
of other make (a proxy, grpcio itself, a foreign server) have no details and are classed by code.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Final, NamedTuple, TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from payment.v1.errors import DOMAIN, row_of
from payment_client._errors import (
    AmountTooLarge,
    CardDataRejected,
    CursorExpired,
    DeadlineExceeded,
    IdempotencyKeyReused,
    IllegalTransition,
    Internal,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    PaymentNotFound,
    RateLimited,
    RefundNotFound,
    ResourceExhausted,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
    WatcherTooSlow,
    malformed_answer,
)
from payment_client._policy import Failed
from payment_client._terms import REQUEST_ID_HEADER, Terms
from payment_client._types import NO_STRINGS, FieldViolation, FrozenStrings

_DETAILS: Final = "grpc-status-details-bin"
_PUSHBACK: Final = "grpc-retry-pushback-ms"
_NO_MESSAGE: Final = "Exception deserializing response!"
"""What the blocking grpcio says of an answer that it cannot parse."""
_PROXYS_WORD: Final = "Received http2 header"
"""How grpcio begins where a proxy has answered in its own name, such as 503 or 429."""
_NEVER_SENT: Final = (
    "failed to connect to all addresses",
    "connections to all backends failing",
    "errors resolving ",
    "DNS resolution failed",
    "empty address list",
)
"""How grpcio begins when it had nobody to send a call to. It has no other sign of it; where these
words change, such a call counts as one that may have happened."""

MessageT = TypeVar("MessageT", bound=Message)

_CLASS_OF_REASON: Final[Mapping[str, type[PaymentError]]] = {
    "CARD_DATA_REJECTED": CardDataRejected,
    "PAYMENT_NOT_FOUND": PaymentNotFound,
    "REFUND_NOT_FOUND": RefundNotFound,
    "AMOUNT_EXCEEDS_CAPTURABLE": AmountTooLarge,
    "AMOUNT_EXCEEDS_REFUNDABLE": AmountTooLarge,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    "VERSION_MISMATCH": VersionMismatch,
    "OUTCOME_UNKNOWN": OutcomeUnknown,
    "CURSOR_EXPIRED": CursorExpired,
    "RATE_LIMITED": RateLimited,
    "WATCHER_TOO_SLOW": WatcherTooSlow,
}
"""The reasons that have a class of their own; the others have the class of their code."""


class _Kind(NamedTuple):
    error: type[PaymentError]
    http_status: int
    title: str


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
_KIND_OF_OTHERS: Final = _Kind(Internal, 500, "The service failed.")

_REPEATABLE_CODES: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"})
_REPEATABLE_REASONS: Final = frozenset({"RATE_LIMITED", "TRANSACTION_ABORTED", "WATCHER_TOO_SLOW"})


def failed_attempt(terms: Terms, failure: grpc.RpcError) -> Failed:
    """What is known of an attempt that ended so."""
    # The stubs know neither the pairs of the sync error nor the None of one that never left.
    told = cast("Iterable[tuple[str, str | bytes]] | None", failure.trailing_metadata())
    trailing = tuple(told or ())
    code, message = failure.code().name, failure.details() or ""
    names = terms.headers.get(REQUEST_ID_HEADER, ""), terms.idempotency_key
    if (code, message) == ("INTERNAL", _NO_MESSAGE):
        return Failed(malformed_answer("bytes that are no message", *names))
    error = read_failure(code, message, trailing, request_id=names[0], idempotency_key=names[1])
    is_nobodys_word = not trailing and code in ("UNAVAILABLE", "CANCELLED")
    return Failed(
        error,
        was_sent=not (is_nobodys_word and message.startswith(_NEVER_SENT)),
        was_cut=is_nobodys_word and not message.startswith(_PROXYS_WORD),
        pushback_seconds=_pushback_seconds(dict(trailing).get(_PUSHBACK)),
    )


def _pushback_seconds(told: str | bytes | None) -> float | None:
    """As gRFC A6 has it: what is no number of milliseconds says never."""
    if told is None:
        return None
    try:
        milliseconds = int(told)
    except ValueError:
        return math.inf
    return math.inf if milliseconds < 0 else milliseconds / 1000


def read_failure(
    code: str,
    message: str,
    trailing: Iterable[tuple[str, str | bytes]],
    *,
    request_id: str = "",
    idempotency_key: str = "",
) -> PaymentError:
    """The exception for a status with this trailing metadata.

    `request_id` is the one that was sent, for a failure that names none.
    """
    values = dict(trailing)
    packed = _packed_details(values.get(_DETAILS))
    info = _info(packed)
    reason = info.reason if info else code
    row = row_of(reason, code) if info else None
    kind = _KIND_OF_CODE.get(code, _KIND_OF_OTHERS)
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
        request_id=_request_id(values, packed) or request_id,
        idempotency_key=idempotency_key,
        retryable=code in _REPEATABLE_CODES or reason in _REPEATABLE_REASONS or wait is not None,
    )


def read_status(
    serialized: bytes, *, request_id: str = "", idempotency_key: str = ""
) -> PaymentError:
    """The exception for a google.rpc.Status that came inside of an answer."""
    status = Status.FromString(serialized)
    return read_failure(
        Code.Name(status.code) if status.code in Code.values() else "UNKNOWN",
        status.message,
        ((_DETAILS, serialized),),
        request_id=request_id,
        idempotency_key=idempotency_key,
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
            wait: timedelta = info.retry_delay.ToTimedelta()
        except (OverflowError, ValueError):
            continue
        return max(wait, timedelta(0))
    return None


def _request_id(values: Mapping[str, str | bytes], packed: Iterable[AnyMessage]) -> str:
    header = values.get(REQUEST_ID_HEADER)
    if isinstance(header, str) and header:
        return header
    return next((info.request_id for info in _unpacked(RequestInfo, packed)), "")
