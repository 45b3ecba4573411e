"""How a failure is told: one description, said as google.rpc.Status or as problem+json.

What is not one of our errors is a bug: it is logged here, once, and the caller learns the
correlation id and nothing else.
"""

import logging
import traceback
from typing import Final

import grpc
import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from payment.v1.errors import DOMAIN, ERRORS, OUTCOME_UNKNOWN_WITHOUT_KEY, Row
from payment_server.domain.errors import (
    IllegalStep,
    InvalidRequest,
    OutcomeUnknown,
    PaymentNotFound,
    PaymentServiceError,
    RefundNotFound,
    Violation,
)

log = logging.getLogger(__name__)

VIOLATIONS_LIMIT: Final = 20
"""How many wrong fields are told: a status travels in trailing metadata, of which clients take
8 KiB."""

MESSAGE_LIMIT: Final = 500

_RESOURCES: Final = {
    "PAYMENT_NOT_FOUND": "payment.v1.Payment",
    "REFUND_NOT_FOUND": "payment.v1.Refund",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457). `reason` is for programs; `metadata` has its facts, `errors` the
    fields that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    success: bool = False
    code: str
    reason: str
    errors: tuple[Violation, ...]
    retry_after_ms: int | None
    request_id: str
    metadata: dict[str, str]


class Fault(msgspec.Struct, frozen=True):
    """What a caller is told of a failure."""

    row: Row
    message: str
    request_id: str
    facts: dict[str, str]
    violations: tuple[Violation, ...] = ()
    subject: str = ""
    """The id of what the failure is about."""
    retry_after_seconds: float | None = None


def describe(error: Exception, request_id: str) -> Fault:
    """The description of a failure; logs it if it is a bug."""
    if not isinstance(error, PaymentServiceError):
        # The frames and the type: the text of an exception may quote what the caller sent.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("request %s failed: %s\n%s", request_id, type(error).__qualname__, frames)
        row = ERRORS["INTERNAL_ERROR"]
        return Fault(row, row.title, request_id, {})
    row = ERRORS[error.reason]
    if isinstance(error, OutcomeUnknown) and not error.repeatable:
        row = OUTCOME_UNKNOWN_WITHOUT_KEY
    return Fault(
        row=row,
        message=error.message[:MESSAGE_LIMIT],
        request_id=request_id,
        facts=dict(error.facts()),
        violations=error.violations[:VIOLATIONS_LIMIT] if isinstance(error, InvalidRequest) else (),
        subject=_subject_of(error),
        retry_after_seconds=error.retry_after_seconds,
    )


def _subject_of(error: PaymentServiceError) -> str:
    match error:
        case IllegalStep() | PaymentNotFound():
            return error.payment_id
        case RefundNotFound():
            return error.refund_id
        case _:
            return ""


def status_code(fault: Fault) -> grpc.StatusCode:
    """The gRPC status code of a fault."""
    return grpc.StatusCode[fault.row.code]


def rpc_status(fault: Fault) -> bytes:
    """A serialized google.rpc.Status, the value of `grpc-status-details-bin` (AIP-193)."""
    code: int = status_code(fault).value[0]
    status = status_pb2.Status(code=code, message=fault.message)
    for detail in _details(fault):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def problem(fault: Fault, instance: str) -> Problem:
    """The fault as problem details. `instance` is the path that was asked for."""
    row = fault.row
    seconds = fault.retry_after_seconds
    return Problem(
        type=f"urn:payment:v1:error:{row.reason.lower().replace('_', '-')}",
        title=row.title,
        status=row.http_status,
        detail=fault.message,
        instance=instance,
        code=row.code,
        reason=row.reason,
        errors=fault.violations,
        retry_after_ms=None if seconds is None else round(seconds * 1000),
        request_id=fault.request_id,
        metadata=fault.facts,
    )


def _details(fault: Fault) -> list[Message]:
    reason = fault.row.reason
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=fault.facts),
        error_details_pb2.RequestInfo(request_id=fault.request_id),
    ]
    if fault.violations:
        bad_request = error_details_pb2.BadRequest()
        for each in fault.violations:
            bad_request.field_violations.add(field=each.field, description=each.message)
        details.append(bad_request)
    if fault.row.code == "FAILED_PRECONDITION":
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type=reason, subject=fault.subject, description=fault.message)
        details.append(failure)
    if fault.row.code == "NOT_FOUND":
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=_RESOURCES[reason], resource_name=fault.subject
            )
        )
    if fault.retry_after_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(round(fault.retry_after_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details
