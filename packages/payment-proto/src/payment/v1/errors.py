"""The one table of errors: every reason, and how gRPC and HTTP say it.

The reason is what a program looks at; it travels as `google.rpc.ErrorInfo.reason` on gRPC
(AIP-193), as `reason` in problem+json (RFC 9457) and in GraphQL's `errors[].extensions`. The
server and the client read this table, so that a failure has one meaning everywhere.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DOMAIN: Final = "payment.v1"
"""`google.rpc.ErrorInfo.domain` of every failure of this service."""


@dataclass(frozen=True, slots=True)
class Row:
    """One reason. `code` is a gRPC status code by name, `title` a sentence that never varies."""

    reason: str
    code: str
    http_status: int
    title: str


_ILLEGAL_STEPS = {
    "ACTION_NOT_REQUIRED": "The customer does not have to act.",
    "ALREADY_AUTHORIZED": "The payment is authorized already.",
    "ALREADY_CAPTURED": "The payment is captured already.",
    "ALREADY_REFUNDED": "The payment is refunded already.",
    "ATTEMPTS_EXHAUSTED": "The payment was tried as often as it may be.",
    "CANCEL_IN_PROGRESS": "A cancellation of this payment is under way.",
    "CAPTURE_IN_PROGRESS": "A capture of this payment is under way.",
    "CAPTURE_NOT_FINAL": "Refunds wait until the capture is closed.",
    "NOT_AUTHORIZED": "Nothing is held for the payment yet.",
    "NOT_CAPTURED": "Nothing of the payment is captured.",
    "PAYMENT_CANCELED": "The payment is canceled.",
    "PAYMENT_EXPIRED": "The payment is expired.",
    "PAYMENT_METHOD_REFUSED": "A new attempt needs another payment method.",
    "PAYMENT_PROCESSING": "An authorization of this payment is under way.",
    "PAYMENT_REQUIRES_ACTION": "The customer has to act first.",
    "REFUND_IN_PROGRESS": "Refunds of all that is left are under way.",
}

_ROWS = (
    Row("FIELD_INVALID", "INVALID_ARGUMENT", 400, "The request has invalid fields."),
    Row("MALFORMED_REQUEST", "INVALID_ARGUMENT", 400, "The request cannot be parsed."),
    Row("CARD_DATA_REJECTED", "INVALID_ARGUMENT", 400, "The request carries card data."),
    Row("MESSAGE_TOO_LARGE", "RESOURCE_EXHAUSTED", 413, "The request is too large."),
    Row("ROUTE_NOT_FOUND", "UNIMPLEMENTED", 404, "There is no such address."),
    Row("METHOD_NOT_ALLOWED", "UNIMPLEMENTED", 405, "The address does not take this method."),
    Row("PAYMENT_NOT_FOUND", "NOT_FOUND", 404, "There is no such payment."),
    Row("REFUND_NOT_FOUND", "NOT_FOUND", 404, "There is no such refund."),
    *(Row(name, "FAILED_PRECONDITION", 409, title) for name, title in _ILLEGAL_STEPS.items()),
    Row(
        "AMOUNT_EXCEEDS_CAPTURABLE",
        "FAILED_PRECONDITION",
        409,
        "The amount is more than is left to capture.",
    ),
    Row(
        "AMOUNT_EXCEEDS_REFUNDABLE",
        "FAILED_PRECONDITION",
        409,
        "The amount is more than is left to refund.",
    ),
    Row(
        "IDEMPOTENCY_KEY_REUSED",
        "ALREADY_EXISTS",
        422,
        "The idempotency key belongs to another request.",
    ),
    Row("VERSION_MISMATCH", "ABORTED", 412, "The payment has changed since it was read."),
    Row("TRANSACTION_ABORTED", "ABORTED", 409, "Too many changes met on this payment."),
    Row("CURSOR_EXPIRED", "OUT_OF_RANGE", 410, "The cursor is not one of this database."),
    Row("WATCHER_TOO_SLOW", "RESOURCE_EXHAUSTED", 429, "The watcher does not keep up."),
    Row("RATE_LIMITED", "RESOURCE_EXHAUSTED", 429, "The merchant calls too often."),
    Row("OVERLOADED", "UNAVAILABLE", 503, "The service is overloaded."),
    Row("SHUTTING_DOWN", "UNAVAILABLE", 503, "The service is shutting down."),
    Row("DATABASE_UNAVAILABLE", "UNAVAILABLE", 503, "The database is not available."),
    Row("STORAGE_FULL", "UNAVAILABLE", 503, "The database has no room for writes."),
    Row("PROCESSOR_UNREACHABLE", "UNAVAILABLE", 503, "The processor was not reached."),
    Row(
        "OUTCOME_UNKNOWN",
        "UNAVAILABLE",
        503,
        "It is not known whether the request took effect; the same key finds out.",
    ),
    Row("INTERNAL_ERROR", "INTERNAL", 500, "The service failed."),
)

ERRORS: Final = MappingProxyType({row.reason: row for row in _ROWS})
"""Every row by its reason."""

OUTCOME_UNKNOWN_WITHOUT_KEY: Final = Row(
    "OUTCOME_UNKNOWN",
    "UNKNOWN",
    500,
    "It is not known whether the request took effect.",
)
"""The second face of OUTCOME_UNKNOWN: without a key nobody can find out, so no code that invites
a retry."""


def row_of(reason: str, code: str) -> Row | None:
    """The row of a failure seen on the wire, or None for one that is not of this contract."""
    if (reason, code) == ("OUTCOME_UNKNOWN", OUTCOME_UNKNOWN_WITHOUT_KEY.code):
        return OUTCOME_UNKNOWN_WITHOUT_KEY
    return ERRORS.get(reason)
