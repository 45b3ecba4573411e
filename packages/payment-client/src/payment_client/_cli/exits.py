"""What the exit codes of `payments` mean, and which one a failed or an undecided call has.

Scripts depend on the numbers: one that is given out keeps its meaning.
"""

from enum import IntEnum
from typing import Final, Self

from payment_client import (
    CursorExpired,
    DeadlineExceeded,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidRequest,
    Operation,
    OperationStatus,
    OutcomeUnknown,
    PaymentError,
    PaymentNotFound,
    RefundNotFound,
    ResourceExhausted,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
)
from payment_client._cli import LIBRARIES_MISSING


class Exit(IntEnum):
    """How a command ended; `meaning` is what `payments --help` says of it."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "what was asked for is done"
    DECLINED = 1, "the call worked, and the answer is no: declined, failed, not healthy"
    USAGE = 2, "the command line or a setting makes no sense; nothing was sent"
    INVALID = 3, "the request was refused as invalid"
    NOT_FOUND = 4, "there is no such payment"
    CONFLICT = 5, "the status, the amount left, the version, the key or the cursor forbid it"
    UNAVAILABLE = 6, "not reached, no answer, or too busy: nothing happened, try again"
    OUTCOME_UNKNOWN = 7, "it may have happened: repeat it with the same idempotency key"
    SERVICE_FAULT = 8, "the service failed, or is no payment service: a change may have happened"
    FORBIDDEN = 9, "the credentials are missing, wrong, or do not allow it"
    UNDECIDED = 10, "accepted, not decided yet: pending, or the customer has to act"
    OUTPUT_LOST = 11, "the answer came, but could not be written"
    LIBRARIES_MISSING = LIBRARIES_MISSING, "payment-client is installed without its extra `cli`"
    BROKEN = 70, "`payments` itself failed: a fault of ours"
    HUNG_UP = 129, "ended by SIGHUP, as when a terminal is closed"
    INTERRUPTED = 130, "ended by Ctrl-C"
    READER_GONE = 141, "whoever read the output has gone, as `head` does"
    TERMINATED = 143, "ended by SIGTERM, as by `timeout`"


_OF_CLASS: Final[tuple[tuple[type[PaymentError], Exit], ...]] = (
    (OutcomeUnknown, Exit.OUTCOME_UNKNOWN),
    (InvalidRequest, Exit.INVALID),
    (PaymentNotFound, Exit.NOT_FOUND),
    (RefundNotFound, Exit.NOT_FOUND),
    (IllegalTransition, Exit.CONFLICT),
    (IdempotencyKeyReused, Exit.CONFLICT),
    (VersionMismatch, Exit.CONFLICT),
    (CursorExpired, Exit.CONFLICT),
    (TransactionAborted, Exit.UNAVAILABLE),
    (Unavailable, Exit.UNAVAILABLE),
    (DeadlineExceeded, Exit.UNAVAILABLE),
)
_OF_CODE: Final = {
    "UNAUTHENTICATED": Exit.FORBIDDEN,
    "PERMISSION_DENIED": Exit.FORBIDDEN,
}
"""By gRPC code, for what may come from a proxy in front of the service as well."""

_OF_OPERATION: Final = {
    OperationStatus.SUCCEEDED: Exit.DONE,
    OperationStatus.FAILED: Exit.DECLINED,
}


def exit_of(error: PaymentError) -> Exit:
    """The exit code of a call that failed."""
    if isinstance(error, ResourceExhausted):  # too large for ever, or too much for now
        return Exit.UNAVAILABLE if error.retryable else Exit.INVALID
    for kind, code in _OF_CLASS:
        if isinstance(error, kind):
            return code
    return _OF_CODE.get(error.code, Exit.SERVICE_FAULT)


def exit_after(operation: Operation) -> Exit:
    """The exit code of a call that worked: 0 only if the processor did what was asked for."""
    return _OF_OPERATION.get(operation.status, Exit.UNDECIDED)
