"""What went wrong, told alike by both doors: `facts_of` is the only judge of it.

What the payment service said is passed on as it is. Of a fault of ours nothing but the
correlation id leaves this program, and no log line repeats what a caller sent.
"""

import logging
import traceback
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Literal, NamedTuple

import msgspec
from litestar.exceptions import HTTPException, InternalServerException, ValidationException

from payment_client import FieldViolation, Internal, PaymentError

log = logging.getLogger(__name__)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One failure, in the words of the contract's table of errors."""

    title: str
    """A sentence that is the same for every failure of this reason."""
    http_status: int
    detail: str
    """What went wrong this time."""
    code: str
    """The gRPC status code by name."""
    reason: str
    """What a program looks at, UPPER_SNAKE."""
    request_id: str
    errors: tuple[FieldViolation, ...] = ()
    retry_after_ms: int | None = None
    metadata: dict[str, str] = {}


class Refused(Exception):
    """A request that the payment service is not troubled with; `reason` is one of `OWN`."""

    def __init__(
        self,
        reason: str,
        detail: str,
        violations: Iterable[FieldViolation] = (),
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms


def fields_invalid(violations: Iterable[FieldViolation]) -> Refused:
    """The refusal of a request for everything that is wrong with its fields."""
    found = tuple(violations)
    return Refused("FIELD_INVALID", "; ".join(f"{v.field}: {v.message}" for v in found), found)


class _Row(NamedTuple):
    code: str
    http_status: int
    title: str


OWN: Final = {
    "FIELD_INVALID": _Row("INVALID_ARGUMENT", 400, "The request has invalid fields."),
    "MALFORMED_REQUEST": _Row("INVALID_ARGUMENT", 400, "The request cannot be parsed."),
    "MESSAGE_TOO_LARGE": _Row("RESOURCE_EXHAUSTED", 413, "The request is too large."),
    "ROUTE_NOT_FOUND": _Row("UNIMPLEMENTED", 404, "There is no such address."),
    "METHOD_NOT_ALLOWED": _Row("UNIMPLEMENTED", 405, "The address does not take this method."),
    "OVERLOADED": _Row("UNAVAILABLE", 503, "The service is overloaded."),
    "INTERNAL_ERROR": _Row("INTERNAL", 500, "The service failed."),
}
"""The contract's reasons that arise here, before the payment service is asked."""

_GONE: Final = "client disconnected prematurely"
"""What Litestar raises when a caller leaves within its own request, which is no fault of ours."""
_REASON_OF_STATUS: Final = {
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "MESSAGE_TOO_LARGE",
}


def facts_of(error: BaseException, request_id: str) -> Facts:
    """The facts of any failure; a fault that nobody foresaw is logged under `request_id`."""
    if isinstance(error, PaymentError):
        return _facts_of_payment_error(error, request_id)
    if isinstance(error, Refused):
        return _own(error.reason, error.detail, request_id, error.violations, error.retry_after_ms)
    if isinstance(error, ValidationException):
        return facts_of(fields_invalid(_violations(error)), request_id)
    if isinstance(error, HTTPException) and error.status_code < 500:
        reason = _REASON_OF_STATUS.get(error.status_code, "MALFORMED_REQUEST")
        return _own(reason, OWN[reason].title, request_id)
    if not (isinstance(error, InternalServerException) and error.detail == _GONE):
        _log_fault(error, request_id)
    return _own("INTERNAL_ERROR", OWN["INTERNAL_ERROR"].title, request_id)


def _facts_of_payment_error(error: PaymentError, request_id: str) -> Facts:
    # What the service did not say itself comes from grpcio or the client: addresses, parser text.
    by_the_service = error.reason != error.code and not isinstance(error, Internal)
    return Facts(
        title=error.title,
        http_status=error.http_status,
        detail=error.message if by_the_service else error.title,
        code=error.code,
        reason=error.reason,
        request_id=error.request_id or request_id,
        errors=error.violations,
        retry_after_ms=None
        if error.retry_after is None
        else error.retry_after // timedelta(milliseconds=1),
        metadata=dict(error.metadata),
    )


def _own(
    reason: str,
    detail: str,
    request_id: str,
    violations: tuple[FieldViolation, ...] = (),
    retry_after_ms: int | None = None,
) -> Facts:
    row = OWN[reason]
    return Facts(
        title=row.title,
        http_status=row.http_status,
        detail=detail,
        code=row.code,
        reason=reason,
        request_id=request_id,
        errors=violations,
        retry_after_ms=retry_after_ms,
    )


def _violations(error: ValidationException) -> Iterable[FieldViolation]:
    """What is wrong with the parameters of a path or query, in words that repeat no value."""
    for found in error.extra or ():
        if isinstance(found, dict):
            message = str(found.get("message", "is invalid"))
            yield FieldViolation(
                field=str(found.get("key", "")), message=message.partition(" '")[0]
            )


def _log_fault(error: BaseException, request_id: str) -> None:
    # The frames and the type: the text of an exception may repeat what the caller sent.
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed: %s\n%s", request_id, type(error).__qualname__, frames)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every HTTP error (RFC 9457), application/problem+json."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    success: Literal[False] = False
    code: str
    reason: str
    errors: tuple[FieldViolation, ...]
    retry_after_ms: int | None
    request_id: str
    metadata: dict[str, str]


def problem(facts: Facts, instance: str) -> Problem:
    """The facts as REST says them; `instance` is the path that was asked for."""
    return Problem(
        type=f"urn:payment:v1:error:{facts.reason.lower().replace('_', '-')}",
        title=facts.title,
        status=facts.http_status,
        detail=facts.detail,
        instance=instance,
        code=facts.code,
        reason=facts.reason,
        errors=facts.errors,
        retry_after_ms=facts.retry_after_ms,
        request_id=facts.request_id,
        metadata=facts.metadata,
    )


def extensions(facts: Facts) -> dict[str, object]:
    """The facts as GraphQL says them, in `errors[].extensions`."""
    return {
        "code": facts.code,
        "reason": facts.reason,
        "http_status": facts.http_status,
        "errors": [{"field": each.field, "message": each.message} for each in facts.errors],
        "retry_after_ms": facts.retry_after_ms,
        "request_id": facts.request_id,
        "metadata": facts.metadata,
    }
