"""`payment_client._wire.requests`: values to messages, and what no message can carry."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import CaptureMethod, InvalidRequest, PaymentStatus
from payment_client._wire import requests


def created(**changes: Any) -> pb.CreatePaymentRequest:
    arguments: dict[str, Any] = {
        "amount": "10.00",
        "currency": "USD",
        "customer_id": "cust123",
        "payment_method": "card",
        "capture_method": CaptureMethod.AUTOMATIC,
        "description": "",
        "metadata": None,
        "expires_at": None,
        "idempotency_key": "key",
    }
    return requests.create_request(**(arguments | changes))


def listed(**changes: Any) -> pb.ListPaymentsRequest:
    names = "customer_id status created_from created_before metadata page_size page_token"
    return requests.list_request(**(dict.fromkeys(names.split()) | changes))


def processed(**changes: Any) -> pb.ProcessPaymentRequest:
    arguments: dict[str, Any] = {
        "payment_id": "p-1",
        "action": "process",
        "amount": None,
        "payment_method": None,
        "expected_version": None,
        "idempotency_key": "key",
    }
    return requests.process_request(**(arguments | changes))


def captured(**changes: Any) -> pb.CapturePaymentRequest:
    arguments: dict[str, Any] = {
        "payment_id": "p-1",
        "amount": None,
        "final": False,
        "expected_version": None,
        "idempotency_key": "key",
    }
    return requests.capture_request(**(arguments | changes))


def refunded(**changes: Any) -> pb.RefundPaymentRequest:
    arguments: dict[str, Any] = {
        "payment_id": "p-1",
        "amount": None,
        "reason": "",
        "expected_version": None,
        "idempotency_key": "key",
    }
    return requests.refund_request(**(arguments | changes))


def watched(**changes: Any) -> pb.WatchPaymentsRequest:
    arguments: dict[str, Any] = {
        "payment_id": None,
        "customer_id": None,
        "cursor": None,
        "from_beginning": False,
    }
    return requests.watch_request(**(arguments | changes))


PARTIAL = pytest.mark.parametrize("request_of", [processed, captured, refunded])
"""The requests that may name a part of an amount, and a version."""


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


@PARTIAL
def test_a_partial_amount_that_is_a_float_is_refused(request_of: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="never a float"):
        request_of(amount=1.5)


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


@PARTIAL
def test_an_empty_amount_is_not_all_that_is_left(request_of: Callable[..., Any]) -> None:
    with pytest.raises(InvalidRequest, match="amount: is empty"):
        request_of(amount="")


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


@PARTIAL
@pytest.mark.parametrize("version", [2**63, 0, -1])
def test_a_version_that_no_payment_can_have_is_an_invalid_request(
    request_of: Callable[..., Any], version: int
) -> None:
    with pytest.raises(InvalidRequest, match="expected_version"):
        request_of(expected_version=version)


def test_a_deadline_of_a_payment_is_sent_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    request = created(expires_at=datetime(2026, 11, 23, 1, tzinfo=berlin))
    assert request.expires_at.ToDatetime(tzinfo=UTC) == datetime(2026, 11, 23, tzinfo=UTC)


def test_a_payment_without_a_deadline_is_sent_without_one() -> None:
    assert not created().HasField("expires_at")


def test_a_capture_is_sent_whole() -> None:
    sent = captured(amount=Decimal("2.50"), final=True, expected_version=3)
    assert sent == pb.CapturePaymentRequest(
        payment_id="p-1", amount="2.50", final=True, expected_version=3, idempotency_key="key"
    )


def test_a_cancellation_is_sent_whole() -> None:
    sent = requests.cancel_request(payment_id="p-1", expected_version=3, idempotency_key="key")
    assert sent == pb.CancelPaymentRequest(
        payment_id="p-1", expected_version=3, idempotency_key="key"
    )


def test_a_completion_is_sent_whole() -> None:
    sent = requests.complete_request(
        payment_id="p-1", result="refused", expected_version=3, idempotency_key="key"
    )
    assert sent == pb.CompletePaymentActionRequest(
        payment_id="p-1", result="refused", expected_version=3, idempotency_key="key"
    )


def test_a_refund_is_sent_whole() -> None:
    sent = refunded(amount=1, reason="broken", expected_version=3)
    assert sent == pb.RefundPaymentRequest(
        payment_id="p-1", amount="1", reason="broken", expected_version=3, idempotency_key="key"
    )


@pytest.mark.parametrize(
    "request_of", [requests.refunds_request, requests.events_request], ids=["refunds", "events"]
)
def test_the_next_page_is_asked_for_as_the_one_before(request_of: Callable[..., Any]) -> None:
    first = request_of(payment_id="p-1", page_size=2, page_token=None)
    following = requests.next_page_request(first, "behind")
    assert following == request_of(payment_id="p-1", page_size=2, page_token="behind")


@pytest.mark.parametrize("field", ["payment_id", "customer_id"])
def test_an_empty_id_does_not_watch_everything(field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{field}: is empty"):
        watched(**{field: ""})


def test_a_watch_without_any_bounds_is_of_everything_from_now() -> None:
    assert watched() == pb.WatchPaymentsRequest()


@pytest.mark.parametrize("of", [{}, {"payment_id": "p-1"}, {"customer_id": "cust123"}], ids=str)
def test_a_resumed_watch_is_the_same_behind_its_cursor(of: dict[str, str]) -> None:
    first = watched(**of, from_beginning=True)
    resumed = requests.resumed_watch_request(first, "c-1")
    assert resumed == pb.WatchPaymentsRequest(**of, cursor="c-1")  # type: ignore[arg-type]
