"""`payment_client._failure`: statuses of a real gRPC server, as both clients raise them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from payment.v1.errors import ERRORS, OUTCOME_UNKNOWN_WITHOUT_KEY, Row
from payment_client import (
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
    PaymentStatus,
    RateLimited,
    RefundNotFound,
    ResourceExhausted,
    TransactionAborted,
    Unavailable,
    VersionMismatch,
    WatcherTooSlow,
)
from payment_client._failure import failed_attempt, read_failure
from payment_client._terms import Terms

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

Code = grpc.StatusCode
Raised: TypeAlias = Callable[..., Awaitable[PaymentError]]


def packed(*details: Message) -> tuple[str, bytes]:
    """The trailing metadata in which gRPC carries details of google.rpc."""
    status = Status()
    for detail in details:
        status.details.add().Pack(detail)
    return ("grpc-status-details-bin", status.SerializeToString())


def info(reason: str, **metadata: str) -> ErrorInfo:
    return ErrorInfo(reason=reason, domain="payment.v1", metadata=metadata)


def read(row: Row, *details: Message) -> PaymentError:
    return read_failure(row.code, "it went wrong", [packed(info(row.reason), *details)])


@pytest.fixture
async def raised(connect: "Callable[..., Twin]", foreign: "ForeignServer") -> Raised:
    """What a call raises that a real server ends with this status."""

    async def raised(
        code: Code, message: str = "", *trailing: tuple[str, str | bytes]
    ) -> PaymentError:
        foreign.fail(code, message, *trailing)
        with pytest.raises(PaymentError) as caught:
            await connect(foreign.target).get("p-1")
        return caught.value

    return raised


class TestOfTheContract:
    """Failures with the service's own details."""

    @pytest.mark.parametrize("row", [*ERRORS.values(), OUTCOME_UNKNOWN_WITHOUT_KEY], ids=str)
    def test_every_reason_has_the_tables_facts(self, row: Row) -> None:
        error = read(row)
        facts = (error.reason, error.code, error.http_status, error.title)
        assert facts == (row.reason, row.code, row.http_status, row.title)

    @pytest.mark.parametrize(
        ("reason", "kind"),
        [
            ("FIELD_INVALID", InvalidRequest),
            ("MALFORMED_REQUEST", InvalidRequest),
            ("CARD_DATA_REJECTED", CardDataRejected),
            ("MESSAGE_TOO_LARGE", ResourceExhausted),
            ("PAYMENT_NOT_FOUND", PaymentNotFound),
            ("REFUND_NOT_FOUND", RefundNotFound),
            ("CURSOR_EXPIRED", CursorExpired),
            ("RATE_LIMITED", RateLimited),
            ("WATCHER_TOO_SLOW", WatcherTooSlow),
            ("ALREADY_CAPTURED", IllegalTransition),
            ("AMOUNT_EXCEEDS_CAPTURABLE", AmountTooLarge),
            ("AMOUNT_EXCEEDS_REFUNDABLE", AmountTooLarge),
            ("IDEMPOTENCY_KEY_REUSED", IdempotencyKeyReused),
            ("VERSION_MISMATCH", VersionMismatch),
            ("TRANSACTION_ABORTED", TransactionAborted),
            ("DATABASE_UNAVAILABLE", Unavailable),
            ("OUTCOME_UNKNOWN", OutcomeUnknown),
            ("INTERNAL_ERROR", Internal),
        ],
    )
    def test_a_reason_has_its_class(self, reason: str, kind: type[PaymentError]) -> None:
        assert type(read(ERRORS[reason])) is kind

    @pytest.mark.parametrize(
        "reason",
        [
            "OVERLOADED",
            "SHUTTING_DOWN",
            "DATABASE_UNAVAILABLE",
            "STORAGE_FULL",
            "PROCESSOR_UNREACHABLE",
            "OUTCOME_UNKNOWN",
            "TRANSACTION_ABORTED",
            "RATE_LIMITED",
            "WATCHER_TOO_SLOW",
        ],
    )
    def test_what_the_same_key_may_mend_is_retryable(self, reason: str) -> None:
        assert read(ERRORS[reason]).retryable

    @pytest.mark.parametrize(
        "reason",
        [
            "FIELD_INVALID",
            "PAYMENT_NOT_FOUND",
            "ALREADY_CAPTURED",
            "AMOUNT_EXCEEDS_CAPTURABLE",
            "IDEMPOTENCY_KEY_REUSED",
            "VERSION_MISMATCH",
            "INTERNAL_ERROR",
            "MESSAGE_TOO_LARGE",
            "REFUND_NOT_FOUND",
            "CURSOR_EXPIRED",
        ],
    )
    def test_what_will_fail_again_is_not_retryable(self, reason: str) -> None:
        assert not read(ERRORS[reason]).retryable

    def test_an_unknown_outcome_without_a_key_is_never_retryable(self) -> None:
        assert not read(OUTCOME_UNKNOWN_WITHOUT_KEY).retryable

    def test_an_illegal_step_is_retryable_where_the_service_says_when(self) -> None:
        wait = RetryInfo(retry_delay=Duration(nanos=250_000_000))
        error = read(ERRORS["PAYMENT_PROCESSING"], wait)
        assert (error.retryable, error.retry_after) == (True, timedelta(milliseconds=250))

    async def test_the_message_is_what_the_service_said(self, raised: Raised) -> None:
        error = await raised(Code.NOT_FOUND, "no such payment", packed(info("PAYMENT_NOT_FOUND")))
        assert error.message == "no such payment"

    async def test_violations_come_back_all_and_in_order(self, raised: Raised) -> None:
        wrong = BadRequest()
        wrong.field_violations.add(field="amount", description="is negative")
        wrong.field_violations.add(field="currency", description="is unknown")
        error = await raised(Code.INVALID_ARGUMENT, "", packed(info("FIELD_INVALID"), wrong))
        assert [(each.field, each.message) for each in error.violations] == [
            ("amount", "is negative"),
            ("currency", "is unknown"),
        ]

    async def test_an_illegal_transition_says_what_is_legal(self, raised: Raised) -> None:
        facts = info("ALREADY_AUTHORIZED", status="authorized", allowed_actions="capture,cancel")
        error = await raised(Code.FAILED_PRECONDITION, "", packed(facts))
        assert isinstance(error, IllegalTransition)
        assert error.status is PaymentStatus.AUTHORIZED
        assert error.allowed_actions == ("capture", "cancel")

    async def test_an_amount_too_large_names_its_limit(self, raised: Raised) -> None:
        facts = info("AMOUNT_EXCEEDS_CAPTURABLE", limit="7.50")
        error = await raised(Code.FAILED_PRECONDITION, "", packed(facts))
        assert isinstance(error, AmountTooLarge)
        assert error.limit == Decimal("7.50")

    async def test_the_request_id_comes_from_the_trailing_metadata(self, raised: Raised) -> None:
        error = await raised(Code.INTERNAL, "", ("x-request-id", "r-1"))
        assert error.request_id == "r-1"

    async def test_the_request_id_may_come_from_the_details(self, raised: Raised) -> None:
        error = await raised(Code.INTERNAL, "", packed(RequestInfo(request_id="r-2")))
        assert error.request_id == "r-2"

    async def test_the_cause_is_grpcs_own_error(self, raised: Raised) -> None:
        assert isinstance((await raised(Code.INTERNAL)).__cause__, grpc.RpcError)

    def test_a_reason_of_a_newer_service_has_the_class_of_its_code(self) -> None:
        error = read_failure("UNAVAILABLE", "", [packed(info("ON_STRIKE"))])
        assert (type(error), error.reason, error.http_status) == (Unavailable, "ON_STRIKE", 503)


class TestOfForeignMake:
    """Failures of proxies, other servers and of grpcio itself."""

    @pytest.mark.parametrize(
        ("code", "kind", "http_status"),
        [
            (Code.CANCELLED, Unavailable, 503),
            (Code.UNKNOWN, Internal, 500),
            (Code.INVALID_ARGUMENT, InvalidRequest, 400),
            (Code.DEADLINE_EXCEEDED, DeadlineExceeded, 504),
            (Code.NOT_FOUND, PaymentError, 404),
            (Code.ALREADY_EXISTS, PaymentError, 409),
            (Code.PERMISSION_DENIED, PaymentError, 403),
            (Code.UNAUTHENTICATED, PaymentError, 401),
            (Code.RESOURCE_EXHAUSTED, ResourceExhausted, 429),
            (Code.FAILED_PRECONDITION, IllegalTransition, 409),
            (Code.ABORTED, TransactionAborted, 409),
            (Code.OUT_OF_RANGE, PaymentError, 400),
            (Code.UNIMPLEMENTED, PaymentError, 501),
            (Code.INTERNAL, Internal, 500),
            (Code.UNAVAILABLE, Unavailable, 503),
            (Code.DATA_LOSS, Internal, 500),
        ],
    )
    async def test_a_status_without_details_is_classed_by_its_code(
        self,
        raised: Raised,
        code: Code,
        kind: type[PaymentError],
        http_status: int,
    ) -> None:
        error = await raised(code)
        facts = (type(error), error.reason, error.code, error.http_status)
        assert facts == (kind, code.name, code.name, http_status)

    @pytest.mark.parametrize("code", list(Code)[1:])
    async def test_every_failure_has_a_message_and_a_title(
        self, raised: Raised, code: Code
    ) -> None:
        error = await raised(code)
        assert error.message
        assert error.title

    @pytest.mark.parametrize("code", [Code.CANCELLED, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED])
    async def test_a_call_that_was_cut_off_is_retryable(self, raised: Raised, code: Code) -> None:
        assert (await raised(code)).retryable

    async def test_a_reason_of_another_domain_is_not_ours(self, raised: Raised) -> None:
        theirs = ErrorInfo(reason="PAYMENT_NOT_FOUND", domain="example.com", metadata={"a": "b"})
        error = await raised(Code.NOT_FOUND, "", packed(theirs))
        assert (type(error), error.reason, error.metadata) == (PaymentError, "NOT_FOUND", {})

    @pytest.mark.parametrize(
        "details",
        [
            b"",
            b"\xff\xff\xff",
            Status(details=[AnyMessage(type_url="x/google.rpc.ErrorInfo", value=b"\xff")]),
            Status(details=[AnyMessage(type_url="x/google.rpc.BadRequest", value=b"\xff")]),
            Status(details=[AnyMessage(type_url="nonsense", value=b"\xff")]),
        ],
        ids=["empty", "no status", "no error info", "no bad request", "no type"],
    )
    async def test_details_that_do_not_parse_raise_nothing_else(
        self, raised: Raised, details: bytes | Status
    ) -> None:
        value = details if isinstance(details, bytes) else details.SerializeToString()
        error = await raised(Code.INTERNAL, "", ("grpc-status-details-bin", value))
        assert (type(error), error.reason) == (Internal, "INTERNAL")

    def test_details_that_parse_count_beside_one_that_does_not(self) -> None:
        broken = AnyMessage(type_url="x/google.rpc.BadRequest", value=b"\xff")
        good = AnyMessage()
        good.Pack(info("FIELD_INVALID"))
        value = Status(details=[broken, good]).SerializeToString()
        error = read_failure("INVALID_ARGUMENT", "", [("grpc-status-details-bin", value)])
        assert error.reason == "FIELD_INVALID"

    @pytest.mark.parametrize(
        ("wait", "read_as"),
        [(Duration(seconds=-5), timedelta(0)), (Duration(seconds=2**62), None)],
    )
    def test_a_wait_that_nobody_can_wait_is_none(
        self, wait: Duration, read_as: timedelta | None
    ) -> None:
        error = read(ERRORS["OVERLOADED"], RetryInfo(retry_delay=wait))
        assert error.retry_after == read_as


class Ended(grpc.RpcError):
    """An attempt that grpcio ended with these words of its own."""

    def __init__(self, code: Code, words: str) -> None:
        self._code, self._words = code, words

    def code(self) -> Code:
        return self._code

    def details(self) -> str:
        return self._words

    def trailing_metadata(self) -> tuple[Any, ...]:
        return ()


@pytest.mark.parametrize(
    ("words", "was_sent", "was_cut"),
    [
        ("failed to connect to all addresses; last error: refused", False, True),
        ("connections to all backends failing; last error: refused", False, True),
        ("errors resolving nowhere: not found", False, True),
        ("Stream removed (Socket closed)", True, True),
        ("Received http2 header with status: 503", True, False),
    ],
)
def test_grpcios_own_words_tell_what_became_of_an_attempt(
    words: str, was_sent: bool, was_cut: bool
) -> None:
    failed = failed_attempt(Terms(1.0, {}), Ended(Code.UNAVAILABLE, words))
    assert (failed.was_sent, failed.was_cut) == (was_sent, was_cut)
