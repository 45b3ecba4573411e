"""Errors: every reason has its row in the table, no row is without a use, facts are told."""

import re
from collections.abc import Iterator

import pytest

from payment.v1.errors import ERRORS
from payment_server.domain.errors import (
    AmountTooLarge,
    CardDataRejected,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    IllegalStep,
    InvalidRequest,
    MalformedRequest,
    MessageTooLarge,
    OutcomeUnknown,
    Overloaded,
    PaymentNotFound,
    PaymentServiceError,
    ProcessorUnreachable,
    RateLimited,
    ShuttingDown,
    StorageFull,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
    Violation,
)
from payment_server.domain.payment import REFUSALS, YES

# What begin() says beside the table; test_operation makes it say each of them.
JUDGED_BY_AMOUNTS_AND_ATTEMPTS = {
    *("AMOUNT_EXCEEDS_CAPTURABLE", "AMOUNT_EXCEEDS_REFUNDABLE"),
    *("ATTEMPTS_EXHAUSTED", "PAYMENT_METHOD_REFUSED"),
    *("CANCEL_IN_PROGRESS", "CAPTURE_IN_PROGRESS", "REFUND_IN_PROGRESS"),
}
# What no error of the domain says: addresses of HTTP that are none, and bugs.
OF_THE_WIRE = {"ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR"}


def kinds(kind: type[PaymentServiceError] = PaymentServiceError) -> Iterator[str]:
    """The reasons of the error classes that have one of their own."""
    if "reason" in vars(kind):
        yield kind.reason
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)


def test_the_table_has_every_reason_that_can_be_given_and_no_other() -> None:
    cells = set(REFUSALS.values()) - {YES}
    assert ERRORS.keys() == {*kinds(), *cells, *JUDGED_BY_AMOUNTS_AND_ATTEMPTS, *OF_THE_WIRE}


@pytest.mark.parametrize("reason", [*sorted(set(REFUSALS.values()) - {YES})])
def test_a_refusal_of_the_table_is_a_conflict_with_the_payments_state(reason: str) -> None:
    assert (ERRORS[reason].code, ERRORS[reason].http_status) == ("FAILED_PRECONDITION", 409)


@pytest.mark.parametrize("reason", ERRORS)
def test_a_reason_looks_as_google_rpc_wants_it(reason: str) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", reason)


ILLEGAL = IllegalStep(
    "ALREADY_CAPTURED",
    payment_id="an id",
    status="captured",
    allowed_actions=["refund"],
    message="the payment is captured",
)
TOO_MUCH = AmountTooLarge(
    "AMOUNT_EXCEEDS_REFUNDABLE",
    limit="6.00",
    payment_id="an id",
    status="captured",
    allowed=["refund"],
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidRequest([]), "FIELD_INVALID"),
        (CardDataRejected([]), "CARD_DATA_REJECTED"),
        (MalformedRequest(""), "MALFORMED_REQUEST"),
        (MessageTooLarge(1), "MESSAGE_TOO_LARGE"),
        (PaymentNotFound(""), "PAYMENT_NOT_FOUND"),
        (ILLEGAL, "ALREADY_CAPTURED"),
        (TOO_MUCH, "AMOUNT_EXCEEDS_REFUNDABLE"),
        (IdempotencyKeyReused(), "IDEMPOTENCY_KEY_REUSED"),
        (VersionMismatch(expected=1, actual=2), "VERSION_MISMATCH"),
        (TransactionAborted(), "TRANSACTION_ABORTED"),
        (RateLimited(per_second=1, wait_ns=1), "RATE_LIMITED"),
        (Overloaded(""), "OVERLOADED"),
        (ShuttingDown(""), "SHUTTING_DOWN"),
        (DatabaseUnavailable(""), "DATABASE_UNAVAILABLE"),
        (StorageFull(""), "STORAGE_FULL"),
        (ProcessorUnreachable(""), "PROCESSOR_UNREACHABLE"),
        (OutcomeUnknown(repeatable=True), "OUTCOME_UNKNOWN"),
        (OutcomeUnknown(repeatable=False), "OUTCOME_UNKNOWN"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_knows_its_reason(error: PaymentServiceError, reason: str) -> None:
    assert error.reason == reason


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (ILLEGAL, {"status": "captured", "allowed_actions": "refund"}),
        (TOO_MUCH, {"status": "captured", "allowed_actions": "refund", "limit": "6.00"}),
        (VersionMismatch(expected=1, actual=2), {"expected_version": "1", "version": "2"}),
        (MessageTooLarge(65536), {"limit_bytes": "65536"}),
        (PaymentNotFound("an id"), {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_tells_programs_its_facts(
    error: PaymentServiceError, facts: dict[str, str]
) -> None:
    assert error.facts() == facts


@pytest.mark.parametrize(
    "error",
    [
        TransactionAborted(),
        RateLimited(per_second=1, wait_ns=1),
        OutcomeUnknown(repeatable=True),
        *(kind("") for kind in Unavailable.__subclasses__()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_be_sent_again_says_when(error: PaymentServiceError) -> None:
    assert error.retry_after_seconds
    assert error.retry_after_seconds > 0


@pytest.mark.parametrize(
    "error",
    [
        *(ILLEGAL, TOO_MUCH, IdempotencyKeyReused(), VersionMismatch(expected=1, actual=2)),
        *(InvalidRequest([]), PaymentNotFound(""), OutcomeUnknown(repeatable=False)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_must_not_be_sent_again_does_not_say_when(error: PaymentServiceError) -> None:
    assert error.retry_after_seconds is None


def test_a_wait_is_told_in_milliseconds_and_never_too_short() -> None:
    waits = [1, 1_000_000, 1_000_001]
    told = [RateLimited(per_second=1, wait_ns=each).retry_after_seconds for each in waits]
    assert told == [0.001, 0.001, 0.002]


def test_an_invalid_request_says_its_fields_in_words() -> None:
    error = InvalidRequest([Violation("amount", "is required"), Violation("currency", "is none")])
    assert str(error) == "amount: is required; currency: is none"


def test_of_many_fields_three_are_said_and_the_rest_is_counted() -> None:
    error = InvalidRequest([Violation(name, "is bad") for name in "abcde"])
    assert str(error) == "a: is bad; b: is bad; c: is bad (and 2 more)"


def test_programs_are_told_all_fields() -> None:
    error = InvalidRequest([Violation(name, "is bad") for name in "abcde"])
    assert [each.field for each in error.violations] == [*"abcde"]


def test_an_unknown_payment_is_not_repeated_in_words() -> None:
    assert "an id" not in str(PaymentNotFound("an id"))
