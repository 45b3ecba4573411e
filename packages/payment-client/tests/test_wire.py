"""`payment_client._wire`: values to messages and back, and what no message can carry."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    InvalidRequest,
    OperationKind,
    OperationStatus,
    Payment,
    PaymentStatus,
    _wire,
)

CALL = CallInfo(request_id="r-1")


def created(**changes: Any) -> pb.CreatePaymentRequest:
    arguments: dict[str, Any] = {
        "amount": "10.00",
        "currency": "USD",
        "customer_id": "cust123",
        "payment_method": "card",
        "capture_method": CaptureMethod.AUTOMATIC,
        "description": "",
        "metadata": None,
        "idempotency_key": "key",
    }
    return _wire.create_request(**(arguments | changes))


def listed(**changes: Any) -> pb.ListPaymentsRequest:
    names = "customer_id status created_from created_before metadata page_size page_token"
    return _wire.list_request(**(dict.fromkeys(names.split()) | changes))


def processed(**changes: Any) -> pb.ProcessPaymentRequest:
    arguments: dict[str, Any] = {
        "payment_id": "p-1",
        "action": "process",
        "amount": None,
        "payment_method": None,
        "expected_version": None,
        "idempotency_key": "key",
    }
    return _wire.process_request(**(arguments | changes))


def answered(**changes: Any) -> Payment:
    zero = "0.00"
    fields: dict[str, Any] = {
        "payment_id": "p-1",
        "currency": "USD",
        "amount": "10.00",
        "status": pb.PAYMENT_STATUS_CREATED,
        "capture_method": pb.CAPTURE_METHOD_MANUAL,
        "amount_authorized": zero,
        "amount_captured": zero,
        "amount_capturable": zero,
        "amount_voided": zero,
        "amount_refunded": zero,
        "amount_refund_pending": zero,
        "amount_refundable": zero,
    }
    message = pb.Payment(**(fields | changes))
    return _wire.got_payment(pb.GetPaymentResponse(payment=message), CALL)


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (Decimal("10.00"), "10.00"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-2"), "0.00"),
        (10, "10"),
        ("10.00", "10.00"),
        (" nonsense ", " nonsense "),
        (Decimal("NaN"), "NaN"),
        (Decimal("1E+999999999"), "1E+999999999"),
    ],
)
def test_an_amount_is_sent_as_it_is_written(amount: Decimal | str | int, sent: str) -> None:
    assert created(amount=amount).amount == sent


@pytest.mark.parametrize("amount", [10.0, True, None, b"10", [10]])
def test_an_amount_of_any_other_type_is_refused(amount: object) -> None:
    with pytest.raises(TypeError, match="a Decimal, a str or an int"):
        created(amount=amount)


def test_a_partial_amount_that_is_a_float_is_refused() -> None:
    with pytest.raises(TypeError, match="never a float"):
        processed(amount=1.5)


def test_a_capture_method_is_sent_by_its_number() -> None:
    method = created(capture_method=CaptureMethod.MANUAL).capture_method
    assert method == pb.CAPTURE_METHOD_MANUAL


@pytest.mark.parametrize("method", [CaptureMethod.UNKNOWN, "later"])
def test_a_capture_method_that_does_not_exist_is_an_invalid_request(method: str) -> None:
    with pytest.raises(InvalidRequest, match="capture_method"):
        created(capture_method=method)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("customer_id", "\ud800", "customer_id"),
        ("description", "a\udfff", "description"),
        ("metadata", {"shop": "a", "order": "\ud800"}, "metadata.order"),
        ("metadata", {"shop": "a", "\ud800": "42"}, "metadata[1]"),
        ("metadata", {"4111111111111111": "\ud800"}, "metadata[0]"),
        ("metadata", {"shop": "a", "line\nbreak": "\ud800"}, "metadata[1]"),
    ],
)
def test_text_that_is_no_unicode_is_refused_as_the_service_would(
    field: str, value: Any, path: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        created(**{field: value})
    assert caught.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in caught.value.violations] == [path]


def test_text_of_another_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="customer_id is a str, not a int"):
        created(customer_id=42)


def test_a_type_error_does_not_repeat_a_key_that_could_be_a_card_number() -> None:
    with pytest.raises(TypeError, match=r"^metadata\[0\] is a str, not a int$"):
        created(metadata={"4111111111111111": 1})


def test_a_filter_by_time_is_sent_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    request = listed(created_from=datetime(2026, 11, 23, 1, tzinfo=berlin))
    assert request.created_from.ToDatetime(tzinfo=UTC) == datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize("field", ["created_from", "created_before"])
def test_a_time_without_a_zone_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} needs a time zone"):
        listed(**{field: datetime(2026, 11, 23)})  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("field", ["created_from", "created_before"])
@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
    ids=["before the year 1", "after the year 9999"],
)
def test_a_time_that_utc_does_not_have_is_an_invalid_request(field: str, moment: datetime) -> None:
    with pytest.raises(InvalidRequest, match=f"{field}: is out of range"):
        listed(**{field: moment})


def test_an_empty_customer_is_not_every_customer() -> None:
    with pytest.raises(InvalidRequest, match="customer_id: is empty"):
        listed(customer_id="")


def test_an_empty_amount_is_not_all_that_is_left() -> None:
    with pytest.raises(InvalidRequest, match="amount: is empty"):
        processed(amount="")


def test_filters_that_are_not_given_are_not_sent() -> None:
    assert listed() == pb.ListPaymentsRequest()


def test_a_status_that_does_not_exist_is_not_sent_as_any_status() -> None:
    with pytest.raises(InvalidRequest, match="status"):
        listed(status=PaymentStatus.UNKNOWN)


@pytest.mark.parametrize(
    ("page_size", "sent"), [(None, 0), (1, 1), (1000, 1000), (10**12, 1000), (0, -1), (-5, -1)]
)
def test_a_page_size_fits_the_message_or_is_the_services_to_refuse(
    page_size: int | None, sent: int
) -> None:
    assert listed(page_size=page_size).page_size == sent


@pytest.mark.parametrize("version", [2**63, 0, -1])
def test_a_version_that_no_payment_can_have_is_an_invalid_request(version: int) -> None:
    with pytest.raises(InvalidRequest, match="expected_version"):
        processed(expected_version=version)


def test_an_amount_keeps_its_exponent() -> None:
    assert str(answered(amount="10.00").amount) == "10.00"


def test_times_come_back_aware_and_in_utc() -> None:
    moment = datetime(2026, 11, 23, 5, 30, 0, 123456, tzinfo=UTC)
    payment = answered(created_at=moment)
    assert (payment.created_at, payment.created_at.tzinfo) == (moment, UTC)


def test_the_lists_of_a_payment_come_back_immutable() -> None:
    assert answered(allowed_actions=["process", "cancel"]).allowed_actions == ("process", "cancel")


def test_a_status_of_a_newer_service_is_unknown() -> None:
    assert answered(status=99).status is PaymentStatus.UNKNOWN


def test_a_capture_method_of_a_newer_service_is_unknown() -> None:
    assert answered(capture_method=99).capture_method is CaptureMethod.UNKNOWN


def test_a_payment_that_was_not_declined_has_no_decline() -> None:
    assert answered().decline is None


def test_a_decline_comes_back_whole() -> None:
    until = datetime(2026, 12, 1, tzinfo=UTC)
    message = pb.Decline(code="x", network_code="51", advice=99, message="m", retry_after=until)  # type: ignore[arg-type]
    assert answered(decline=message).decline == Decline(
        code="x",
        network_code="51",
        advice=DeclineAdvice.UNKNOWN,
        retry_after=until,
        message="m",
    )


def test_a_pending_operation_is_not_settled() -> None:
    answer = pb.ProcessPaymentResponse(processed_at="2026-11-23T05:30:00.5Z")
    answer.payment.MergeFrom(payment_message())
    answer.operation.MergeFrom(
        pb.Operation(
            kind=pb.OPERATION_KIND_CAPTURE, status=pb.OPERATION_STATUS_PENDING, amount="1.00"
        )
    )
    operation = _wire.processed_payment(answer, CALL).operation
    assert (operation.kind, operation.status) == (OperationKind.CAPTURE, OperationStatus.PENDING)
    assert operation.settled_at is None


def test_a_written_time_comes_back_aware() -> None:
    answer = pb.HealthCheckResponse(status="healthy", timestamp="2026-11-23T05:30:00.5Z")
    checked_at = _wire.health(answer, CALL).checked_at
    assert checked_at == datetime(2026, 11, 23, 5, 30, 0, 500000, tzinfo=UTC)


def test_every_value_carries_how_its_answer_came_about() -> None:
    assert answered().call is CALL


def payment_message() -> pb.Payment:
    names = [
        field.name for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
    ]
    return pb.Payment(**dict.fromkeys(names, "0.00"))  # type: ignore[arg-type]
