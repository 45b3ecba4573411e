"""Failures as callers see them: the details of a gRPC status, and problem+json."""

import logging
import re
from typing import Any
from urllib.parse import quote

import grpc
import msgspec
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from payment.v1.errors import ERRORS
from payment_server.api.faults import Fault, describe, problem, rpc_status, status_code
from payment_server.domain import commands
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
    PaymentNotFound,
    RateLimited,
    StorageFull,
    TransactionAborted,
    VersionMismatch,
    Violation,
)

REQUEST_ID = "019a206f-073f-73d0-bb2c-7581a22cc174"
TRAILER_LIMIT_BYTES = 8 * 1024  # what a gRPC client takes of trailing metadata unless told else

INVALID = InvalidRequest(
    [Violation("amount", "is required"), Violation("metadata.note", "has a control character")]
)
NOT_FOUND = PaymentNotFound("some id")
ILLEGAL = IllegalStep(
    "ALREADY_CAPTURED",
    payment_id="some id",
    status="captured",
    allowed_actions=["refund"],
    message="the payment is captured",
)
BUSY = IllegalStep(
    "PAYMENT_PROCESSING",
    payment_id="some id",
    status="processing",
    allowed_actions=[],
    message="the payment is processing",
    retry_after_seconds=1.0,
)
TOO_MUCH = AmountTooLarge(
    "AMOUNT_EXCEEDS_REFUNDABLE",
    limit="6.00",
    payment_id="some id",
    status="captured",
    allowed=["refund"],
)
BUG = RuntimeError("password=secret")

FAILURES = {
    "FIELD_INVALID": INVALID,
    "CARD_DATA_REJECTED": CardDataRejected(INVALID.violations),
    "MALFORMED_REQUEST": MalformedRequest("no JSON"),
    "MESSAGE_TOO_LARGE": MessageTooLarge(65536),
    "PAYMENT_NOT_FOUND": NOT_FOUND,
    "ALREADY_CAPTURED": ILLEGAL,
    "PAYMENT_PROCESSING": BUSY,
    "AMOUNT_EXCEEDS_REFUNDABLE": TOO_MUCH,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused(),
    "VERSION_MISMATCH": VersionMismatch(expected=1, actual=2),
    "TRANSACTION_ABORTED": TransactionAborted(),
    "RATE_LIMITED": RateLimited(per_second=10, wait_ns=250_000_000),
    "DATABASE_UNAVAILABLE": DatabaseUnavailable("away"),
    "STORAGE_FULL": StorageFull("full"),
    "OUTCOME_UNKNOWN": OutcomeUnknown(repeatable=True),
    "INTERNAL_ERROR": BUG,
}
EVERY_FAILURE = pytest.mark.parametrize("error", FAILURES.values(), ids=FAILURES)
EVERY_REASON = pytest.mark.parametrize("reason", FAILURES)


def details(error: Exception) -> dict[str, Any]:
    """The details of the error's status by the names of their types, each at most once."""
    status = status_pb2.Status.FromString(rpc_status(describe(error, REQUEST_ID)))
    found: dict[str, Message] = {}
    for packed in status.details:
        name = packed.type_url.removeprefix("type.googleapis.com/google.rpc.")
        assert name not in found
        found[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(found[name])
    return found


def code_number(code: str) -> int:
    number: int = grpc.StatusCode[code].value[0]
    return number


def told(error: Exception) -> dict[str, Any]:
    return told_on_http(describe(error, REQUEST_ID), "/v1/payments")


def told_on_http(fault: Fault, instance: str) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(problem(fault, instance)))
    return body


@pytest.mark.parametrize(
    ("reason", "code", "http_status"),
    [
        ("FIELD_INVALID", "INVALID_ARGUMENT", 400),
        ("CARD_DATA_REJECTED", "INVALID_ARGUMENT", 400),
        ("MALFORMED_REQUEST", "INVALID_ARGUMENT", 400),
        ("MESSAGE_TOO_LARGE", "RESOURCE_EXHAUSTED", 413),
        ("PAYMENT_NOT_FOUND", "NOT_FOUND", 404),
        ("ALREADY_CAPTURED", "FAILED_PRECONDITION", 409),
        ("PAYMENT_PROCESSING", "FAILED_PRECONDITION", 409),
        ("AMOUNT_EXCEEDS_REFUNDABLE", "FAILED_PRECONDITION", 409),
        ("IDEMPOTENCY_KEY_REUSED", "ALREADY_EXISTS", 422),
        ("VERSION_MISMATCH", "ABORTED", 412),
        ("TRANSACTION_ABORTED", "ABORTED", 409),
        ("RATE_LIMITED", "RESOURCE_EXHAUSTED", 429),
        ("DATABASE_UNAVAILABLE", "UNAVAILABLE", 503),
        ("STORAGE_FULL", "UNAVAILABLE", 503),
        ("OUTCOME_UNKNOWN", "UNAVAILABLE", 503),
        ("INTERNAL_ERROR", "INTERNAL", 500),
    ],
)
def test_a_failure_has_its_code_on_grpc_and_http(reason: str, code: str, http_status: int) -> None:
    fault = describe(FAILURES[reason], REQUEST_ID)
    status = status_pb2.Status.FromString(rpc_status(fault))
    assert (status_code(fault), status.code) == (grpc.StatusCode[code], code_number(code))
    assert (told_on_http(fault, "/")["code"], told_on_http(fault, "/")["status"]) == (
        code,
        http_status,
    )


@EVERY_REASON
def test_a_failure_has_one_error_info_of_our_domain(reason: str) -> None:
    info = details(FAILURES[reason])["ErrorInfo"]
    assert (info.reason, info.domain) == (reason, "payment.v1")


@EVERY_FAILURE
def test_a_failure_can_be_found_again_by_its_request_id(error: Exception) -> None:
    assert details(error)["RequestInfo"].request_id == told(error)["request_id"] == REQUEST_ID


@EVERY_REASON
def test_a_problem_says_the_reason_in_three_ways(reason: str) -> None:
    said = told(FAILURES[reason])
    assert (said["reason"], said["title"]) == (reason, ERRORS[reason].title)
    assert said["type"] == f"urn:payment:v1:error:{reason.lower().replace('_', '-')}"


@EVERY_FAILURE
def test_the_facts_are_the_same_on_every_wire(error: Exception) -> None:
    assert told(error)["metadata"] == dict(details(error)["ErrorInfo"].metadata)


@EVERY_FAILURE
def test_the_message_is_the_same_on_every_wire(error: Exception) -> None:
    status = status_pb2.Status.FromString(rpc_status(describe(error, REQUEST_ID)))
    assert status.message == told(error)["detail"]


@EVERY_FAILURE
def test_no_failure_is_a_success(error: Exception) -> None:
    assert told(error)["success"] is False


@EVERY_FAILURE
def test_the_facts_have_keys_as_google_rpc_wants_them(error: Exception) -> None:
    keys = details(error)["ErrorInfo"].metadata
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_-]{0,63}", key) for key in keys)


KINDS_OF_DETAILS = {
    "FIELD_INVALID": {"BadRequest"},
    "CARD_DATA_REJECTED": {"BadRequest"},
    "PAYMENT_NOT_FOUND": {"ResourceInfo"},
    "ALREADY_CAPTURED": {"PreconditionFailure"},
    "PAYMENT_PROCESSING": {"PreconditionFailure", "RetryInfo"},
    "AMOUNT_EXCEEDS_REFUNDABLE": {"PreconditionFailure"},
    "TRANSACTION_ABORTED": {"RetryInfo"},
    "RATE_LIMITED": {"RetryInfo"},
    "DATABASE_UNAVAILABLE": {"RetryInfo"},
    "STORAGE_FULL": {"RetryInfo"},
    "OUTCOME_UNKNOWN": {"RetryInfo"},
}


@EVERY_REASON
def test_a_failure_has_the_details_that_fit_it_and_no_others(reason: str) -> None:
    beside = details(FAILURES[reason]).keys() - {"ErrorInfo", "RequestInfo"}
    assert beside == KINDS_OF_DETAILS.get(reason, set())


def test_every_wrong_field_is_a_violation() -> None:
    violations = details(INVALID)["BadRequest"].field_violations
    assert [(each.field, each.description) for each in violations] == [
        ("amount", "is required"),
        ("metadata.note", "has a control character"),
    ]


def test_every_wrong_field_is_an_error_of_the_problem() -> None:
    assert told(INVALID)["errors"] == [
        {"field": "amount", "message": "is required"},
        {"field": "metadata.note", "message": "has a control character"},
    ]


def test_a_precondition_names_the_payment_and_the_reason() -> None:
    (violation,) = details(ILLEGAL)["PreconditionFailure"].violations
    assert (violation.type, violation.subject) == ("ALREADY_CAPTURED", "some id")


def test_an_illegal_step_says_status_and_allowed_actions() -> None:
    assert dict(details(ILLEGAL)["ErrorInfo"].metadata) == {
        "status": "captured",
        "allowed_actions": "refund",
    }


def test_too_large_an_amount_says_its_limit() -> None:
    assert details(TOO_MUCH)["ErrorInfo"].metadata["limit"] == "6.00"


def test_an_unknown_payment_is_a_resource_of_its_name() -> None:
    info = details(NOT_FOUND)["ResourceInfo"]
    assert (info.resource_type, info.resource_name) == ("payment.v1.Payment", "some id")


@pytest.mark.parametrize(
    ("error", "milliseconds"),
    [
        (BUSY, 1000),
        (TransactionAborted(), 100),
        (RateLimited(per_second=10, wait_ns=249_000_001), 250),
        (StorageFull(""), 30000),
    ],
)
def test_a_retry_says_when(error: Exception, milliseconds: int) -> None:
    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() == milliseconds
    assert told(error)["retry_after_ms"] == milliseconds


@pytest.mark.parametrize(
    "error", [INVALID, ILLEGAL, NOT_FOUND, BUG], ids=lambda e: type(e).__name__
)
def test_what_must_not_be_sent_again_says_no_time(error: Exception) -> None:
    assert told(error)["retry_after_ms"] is None


def test_an_unknown_outcome_without_a_key_invites_no_retry() -> None:
    error = OutcomeUnknown(repeatable=False)
    said = told(error)
    assert (said["reason"], said["code"], said["status"]) == ("OUTCOME_UNKNOWN", "UNKNOWN", 500)
    assert "RetryInfo" not in details(error)


def test_a_problem_has_these_members() -> None:
    assert told(TOO_MUCH) == {
        "type": "urn:payment:v1:error:amount-exceeds-refundable",
        "title": "The amount is more than is left to refund.",
        "status": 409,
        "detail": "at most 6.00 is left",
        "instance": "/v1/payments",
        "success": False,
        "code": "FAILED_PRECONDITION",
        "reason": "AMOUNT_EXCEEDS_REFUNDABLE",
        "errors": [],
        "retry_after_ms": None,
        "request_id": REQUEST_ID,
        "metadata": {"status": "captured", "allowed_actions": "refund", "limit": "6.00"},
    }


def test_of_a_bug_the_caller_learns_nothing_but_the_request_id() -> None:
    assert "secret" not in f"{rpc_status(describe(BUG, REQUEST_ID))!r} {told(BUG)}"


def test_a_bug_is_logged_once_with_the_request_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        describe(BUG, REQUEST_ID)
    (record,) = caplog.records
    assert (record.levelname, REQUEST_ID in record.message) == ("ERROR", True)
    assert type(BUG).__qualname__ in record.message
    assert str(BUG) not in record.message


def test_a_refusal_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        describe(ILLEGAL, REQUEST_ID)
    assert caplog.records == []


def test_at_most_twenty_fields_are_told() -> None:
    error = InvalidRequest([Violation(f"metadata.{number}", "is bad") for number in range(21)])
    assert len(details(error)["BadRequest"].field_violations) == 20
    assert len(told(error)["errors"]) == 20


def test_a_message_has_at_most_500_characters() -> None:
    assert len(told(MalformedRequest("x" * 501))["detail"]) == 500


@pytest.mark.parametrize("character", ["k", "é", "山", "😀"])
def test_the_worst_request_is_told_within_what_clients_take(character: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        commands.create_payment(
            amount="x",
            currency="x",
            customer_id="x" * 256,
            payment_method="x" * 256,
            description="x" * 1_001,
            metadata={f"{character * 37}{number:03}": "x" * 501 for number in range(50)},
        )
    fault = describe(caught.value, "x" * 128)
    encoded = 4 * len(rpc_status(fault)) // 3 + len(quote(fault.message))
    assert encoded < TRAILER_LIMIT_BYTES
