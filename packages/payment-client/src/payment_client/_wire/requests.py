"""What callers say → the contract's messages; nothing else builds them.

What protobuf cannot carry is refused as the service would refuse it; so is an empty value that it
carries as one not given, where that means more than the caller said. All other judgement of a
request is the service's alone, so that there is one truth about it.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from payment.v1 import payment_pb2 as pb
from payment_client._batch import NewPayment
from payment_client._errors import InvalidRequest, field_invalid
from payment_client._types import CaptureMethod, PaymentStatus

PagedT = TypeVar(
    "PagedT", pb.ListPaymentsRequest, pb.ListRefundsRequest, pb.ListPaymentEventsRequest
)

_STATUS: Final = {
    status: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status.name}")
    for status in PaymentStatus
    if status is not PaymentStatus.UNKNOWN
}
_METHOD: Final = {
    CaptureMethod.AUTOMATIC: pb.CAPTURE_METHOD_AUTOMATIC,
    CaptureMethod.MANUAL: pb.CAPTURE_METHOD_MANUAL,
}

_PLAIN_EXPONENTS: Final = range(-20, 21)
"""Exponents that are written out. The contract has 12 digits and 3 decimals; 1E+999999999 written
out would be a gigabyte, so beyond this the service gets the short form to refuse."""
_MAX_PAGE_SIZE: Final = 1000
"""The contract gives 1,000 to whoever asks for more, so asking for that is the same."""
_VERSIONS: Final = range(1, 2**63)
"""The first version is 1; 0 would be sent as no version at all, and so allow any."""
_TELLABLE_KEY: Final = re.compile(r"(?!(?:\D*\d){13})[A-Za-z0-9_.-]{1,40}")
"""Metadata keys that errors may repeat: plain, and with too few digits to be a card number."""


def create_request(
    idempotency_key: str,
    *,
    amount: Decimal | str | int,
    currency: str,
    customer_id: str,
    payment_method: str,
    capture_method: CaptureMethod,
    description: str,
    metadata: Mapping[str, str] | None,
    expires_at: datetime | None,
) -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(
        amount=_amount(amount),
        currency=_text("currency", currency),
        customer_id=_text("customer_id", customer_id),
        payment_method=_text("payment_method", payment_method),
        capture_method=_capture_method(capture_method),
        description=_text("description", description),
        metadata=_metadata(metadata),
        expires_at=_timestamp("expires_at", expires_at),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def create_many_request(payments: Iterable[NewPayment]) -> pb.BatchCreatePaymentsRequest:
    return pb.BatchCreatePaymentsRequest(
        requests=[_item(position, payment) for position, payment in enumerate(payments)]
    )


def get_request(payment_id: str) -> pb.GetPaymentRequest:
    return pb.GetPaymentRequest(payment_id=_text("payment_id", payment_id))


def list_request(
    *,
    customer_id: str | None,
    status: PaymentStatus | None,
    created_from: datetime | None,
    created_before: datetime | None,
    metadata: Mapping[str, str] | None,
    page_size: int | None,
    page_token: str | None,
) -> pb.ListPaymentsRequest:
    return pb.ListPaymentsRequest(
        customer_id=_given("customer_id", customer_id),
        status=pb.PAYMENT_STATUS_UNSPECIFIED if status is None else _status(status),
        created_from=_timestamp("created_from", created_from),
        created_before=_timestamp("created_before", created_before),
        metadata=_metadata(metadata),
        page_size=_page_size(page_size),
        page_token=_text("page_token", page_token or ""),
    )


def refunds_request(
    *, payment_id: str, page_size: int | None, page_token: str | None
) -> pb.ListRefundsRequest:
    return pb.ListRefundsRequest(
        payment_id=_text("payment_id", payment_id),
        page_size=_page_size(page_size),
        page_token=_text("page_token", page_token or ""),
    )


def events_request(
    *, payment_id: str, page_size: int | None, page_token: str | None
) -> pb.ListPaymentEventsRequest:
    return pb.ListPaymentEventsRequest(
        payment_id=_text("payment_id", payment_id),
        page_size=_page_size(page_size),
        page_token=_text("page_token", page_token or ""),
    )


def next_page_request(request: PagedT, page_token: str) -> PagedT:
    following = type(request)()
    following.CopyFrom(request)
    following.page_token = page_token
    return following


def process_request(
    idempotency_key: str,
    *,
    payment_id: str,
    action: str,
    amount: Decimal | str | int | None,
    payment_method: str | None,
    expected_version: int | None,
) -> pb.ProcessPaymentRequest:
    return pb.ProcessPaymentRequest(
        payment_id=_text("payment_id", payment_id),
        action=_text("action", action),
        amount=_partial_amount(amount),
        payment_method=_text("payment_method", payment_method or ""),
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def capture_request(
    idempotency_key: str,
    *,
    payment_id: str,
    amount: Decimal | str | int | None,
    final: bool,
    expected_version: int | None,
) -> pb.CapturePaymentRequest:
    return pb.CapturePaymentRequest(
        payment_id=_text("payment_id", payment_id),
        amount=_partial_amount(amount),
        final=final,
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def cancel_request(
    idempotency_key: str, *, payment_id: str, expected_version: int | None
) -> pb.CancelPaymentRequest:
    return pb.CancelPaymentRequest(
        payment_id=_text("payment_id", payment_id),
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def complete_request(
    idempotency_key: str, *, payment_id: str, result: str, expected_version: int | None
) -> pb.CompletePaymentActionRequest:
    return pb.CompletePaymentActionRequest(
        payment_id=_text("payment_id", payment_id),
        result=_text("result", result),
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def refund_request(
    idempotency_key: str,
    *,
    payment_id: str,
    amount: Decimal | str | int | None,
    reason: str,
    expected_version: int | None,
) -> pb.RefundPaymentRequest:
    return pb.RefundPaymentRequest(
        payment_id=_text("payment_id", payment_id),
        amount=_partial_amount(amount),
        reason=_text("reason", reason),
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def get_refund_request(refund_id: str) -> pb.GetRefundRequest:
    return pb.GetRefundRequest(refund_id=_text("refund_id", refund_id))


def watch_request(
    *,
    payment_id: str | None,
    customer_id: str | None,
    cursor: str | None,
    from_beginning: bool,
) -> pb.WatchPaymentsRequest:
    return pb.WatchPaymentsRequest(
        payment_id=_given("payment_id", payment_id),
        customer_id=_given("customer_id", customer_id),
        cursor=_text("cursor", cursor or ""),
        from_beginning=from_beginning,
    )


def resumed_watch_request(request: pb.WatchPaymentsRequest, cursor: str) -> pb.WatchPaymentsRequest:
    """The same watch behind a cursor: where it began counts no more."""
    return pb.WatchPaymentsRequest(
        payment_id=request.payment_id, customer_id=request.customer_id, cursor=cursor
    )


def health_request() -> pb.HealthCheckRequest:
    return pb.HealthCheckRequest()


def _item(position: int, payment: NewPayment) -> pb.CreatePaymentRequest:
    """One of many; what is wrong with it is told with its position."""
    try:
        if payment.idempotency_key == "":
            raise field_invalid("idempotency_key", "is empty; leave it out to have one made")
        return create_request(
            payment.idempotency_key,
            amount=payment.amount,
            currency=payment.currency,
            customer_id=payment.customer_id,
            payment_method=payment.payment_method,
            capture_method=payment.capture_method,
            description=payment.description,
            metadata=payment.metadata,
            expires_at=payment.expires_at,
        )
    except InvalidRequest as error:
        [wrong] = error.violations
        raise field_invalid(f"requests[{position}].{wrong.field}", wrong.message) from None
    except (TypeError, ValueError) as error:
        error.add_note(f"This is about payment {position} of the batch, counted from 0.")
        raise


def _amount(amount: Decimal | str | int) -> str:
    if isinstance(amount, str):
        return _text("amount", amount)
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int):
        raise TypeError(
            f"an amount is a Decimal, a str or an int, never a {type(amount).__name__}:"
            " binary fractions do not add up to money"
        )
    amount = Decimal(amount)
    exponent = amount.as_tuple().exponent
    return f"{amount:f}" if exponent in _PLAIN_EXPONENTS else str(amount)


def _partial_amount(amount: Decimal | str | int | None) -> str:
    return _given("amount", None if amount is None else _amount(amount))


def _given(field: str, value: str | None) -> str:
    """Empty for what is not given. An empty value that is given would be taken for that too: the
    payments of every customer, or all that is left to refund."""
    if value == "":
        raise field_invalid(field, "is empty; leave it out if it does not matter")
    return "" if value is None else _text(field, value)


def _text(field: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{field} is a str, not a {type(value).__name__}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise field_invalid(field, "has a lone surrogate") from None
    return value


def _metadata(entries: Mapping[str, str] | None) -> dict[str, str] | None:
    if not entries:
        return None
    return {
        _text(f"metadata[{position}]", key): _text(_path(position, key), value)
        for position, (key, value) in enumerate(entries.items())
    }


def _path(position: int, key: str) -> str:
    """Where a metadata entry is; a key that may not be shown is named by its place."""
    return f"metadata.{key}" if _TELLABLE_KEY.fullmatch(key) else f"metadata[{position}]"


def _page_size(page_size: int | None) -> int:
    if page_size is None:
        return 0
    # Below 1 is the service's to refuse, -1 as good as any; 0 would mean its default.
    return min(page_size, _MAX_PAGE_SIZE) if page_size > 0 else -1


def _version(expected_version: int | None) -> int:
    if expected_version is None:
        return 0
    if expected_version not in _VERSIONS:
        raise field_invalid("expected_version", "is no version of a payment")
    return expected_version


def _status(status: PaymentStatus) -> pb.PaymentStatus.ValueType:
    if status not in _STATUS:
        raise field_invalid("status", "is no status that a payment can have")
    return _STATUS[status]


def _capture_method(method: CaptureMethod) -> pb.CaptureMethod.ValueType:
    known = _METHOD.get(method)
    if known is None:
        raise field_invalid("capture_method", "is neither automatic nor manual")
    return known


def _timestamp(field: str, moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    if moment.utcoffset() is None:
        raise ValueError(f"{field} needs a time zone: without one it is no point in time")
    stamp = Timestamp()
    try:
        stamp.FromDatetime(moment)
    except (OverflowError, ValueError):  # in UTC it is before the year 1 or after 9999
        raise field_invalid(field, "is out of range") from None
    return stamp
