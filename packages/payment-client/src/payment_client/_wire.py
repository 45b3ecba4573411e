"""Between the contract's messages and the client's values; nothing else builds or reads messages.

What protobuf cannot carry is refused as the service would refuse it; so is an empty value that it
carries as one not given, where that means more than the caller said. All other judgement of a
request is the service's alone, so that there is one truth about it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from payment.v1 import payment_pb2 as pb
from payment_client._errors import field_invalid
from payment_client._types import (
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    FrozenStrings,
    Health,
    Operation,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
)

NameT = TypeVar("NameT", bound=StrEnum)
NumberT = TypeVar("NumberT", bound=int)


def _numbers(
    number_of: Callable[[str], NumberT], prefix: str, names: type[NameT]
) -> dict[NameT, NumberT]:
    return {name: number_of(prefix + name.name) for name in names if name.name != "UNKNOWN"}


_STATUS: Final = _numbers(pb.PaymentStatus.Value, "PAYMENT_STATUS_", PaymentStatus)
_METHOD: Final = _numbers(pb.CaptureMethod.Value, "CAPTURE_METHOD_", CaptureMethod)
_KIND: Final = _numbers(pb.OperationKind.Value, "OPERATION_KIND_", OperationKind)
_OUTCOME: Final = _numbers(pb.OperationStatus.Value, "OPERATION_STATUS_", OperationStatus)
_ADVICE: Final = _numbers(pb.DeclineAdvice.Value, "DECLINE_ADVICE_", DeclineAdvice)

_STATUS_OF: Final[Mapping[int, PaymentStatus]] = {n: name for name, n in _STATUS.items()}
_METHOD_OF: Final[Mapping[int, CaptureMethod]] = {n: name for name, n in _METHOD.items()}
_KIND_OF: Final[Mapping[int, OperationKind]] = {n: name for name, n in _KIND.items()}
_OUTCOME_OF: Final[Mapping[int, OperationStatus]] = {n: name for name, n in _OUTCOME.items()}
_ADVICE_OF: Final[Mapping[int, DeclineAdvice]] = {n: name for name, n in _ADVICE.items()}

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
    *,
    amount: Decimal | str | int,
    currency: str,
    customer_id: str,
    payment_method: str,
    capture_method: CaptureMethod,
    description: str,
    metadata: Mapping[str, str] | None,
    idempotency_key: str,
) -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(
        amount=_amount(amount),
        currency=_text("currency", currency),
        customer_id=_text("customer_id", customer_id),
        payment_method=_text("payment_method", payment_method),
        capture_method=_capture_method(capture_method),
        description=_text("description", description),
        metadata=_metadata(metadata),
        idempotency_key=_text("idempotency_key", idempotency_key),
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


def next_list_request(request: pb.ListPaymentsRequest, token: str) -> pb.ListPaymentsRequest:
    following = pb.ListPaymentsRequest()
    following.CopyFrom(request)
    following.page_token = token
    return following


def process_request(
    *,
    payment_id: str,
    action: str,
    amount: Decimal | str | int | None,
    payment_method: str | None,
    expected_version: int | None,
    idempotency_key: str,
) -> pb.ProcessPaymentRequest:
    return pb.ProcessPaymentRequest(
        payment_id=_text("payment_id", payment_id),
        action=_text("action", action),
        amount=_partial_amount(amount),
        payment_method=_text("payment_method", payment_method or ""),
        expected_version=_version(expected_version),
        idempotency_key=_text("idempotency_key", idempotency_key),
    )


def health_request() -> pb.HealthCheckRequest:
    return pb.HealthCheckRequest()


def created_payment(answer: pb.CreatePaymentResponse, call: CallInfo) -> Payment:
    return _payment(answer.payment, call)


def got_payment(answer: pb.GetPaymentResponse, call: CallInfo) -> Payment:
    return _payment(answer.payment, call)


def page(answer: pb.ListPaymentsResponse, call: CallInfo) -> Page:
    return Page(
        payments=tuple(_payment(payment, call) for payment in answer.payments),
        next_page_token=answer.next_page_token,
        call=call,
    )


def processed_payment(answer: pb.ProcessPaymentResponse, call: CallInfo) -> ProcessedPayment:
    return ProcessedPayment(
        payment=_payment(answer.payment, call),
        operation=_operation(answer.operation),
        processed_at=_time_in(answer.processed_at),
        call=call,
    )


def health(answer: pb.HealthCheckResponse, call: CallInfo) -> Health:
    return Health(
        healthy=answer.status == "healthy", checked_at=_time_in(answer.timestamp), call=call
    )


def _payment(payment: pb.Payment, call: CallInfo) -> Payment:
    return Payment(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        customer_id=payment.customer_id,
        payment_method=payment.payment_method,
        capture_method=_METHOD_OF.get(payment.capture_method, CaptureMethod.UNKNOWN),
        description=payment.description,
        metadata=FrozenStrings(payment.metadata),
        currency=payment.currency,
        amount=Decimal(payment.amount),
        status=_STATUS_OF.get(payment.status, PaymentStatus.UNKNOWN),
        amount_authorized=Decimal(payment.amount_authorized),
        amount_captured=Decimal(payment.amount_captured),
        amount_capturable=Decimal(payment.amount_capturable),
        amount_voided=Decimal(payment.amount_voided),
        amount_refunded=Decimal(payment.amount_refunded),
        amount_refund_pending=Decimal(payment.amount_refund_pending),
        amount_refundable=Decimal(payment.amount_refundable),
        decline=_decline(payment.decline) if payment.HasField("decline") else None,
        attempts=payment.attempts,
        version=payment.version,
        allowed_actions=tuple(payment.allowed_actions),
        created_at=_time(payment.created_at),
        updated_at=_time(payment.updated_at),
        call=call,
    )


def _operation(operation: pb.Operation) -> Operation:
    return Operation(
        operation_id=operation.operation_id,
        kind=_KIND_OF.get(operation.kind, OperationKind.UNKNOWN),
        status=_OUTCOME_OF.get(operation.status, OperationStatus.UNKNOWN),
        amount=Decimal(operation.amount),
        decline=_decline(operation.decline) if operation.HasField("decline") else None,
        created_at=_time(operation.created_at),
        settled_at=_time(operation.settled_at) if operation.HasField("settled_at") else None,
    )


def _decline(decline: pb.Decline) -> Decline:
    return Decline(
        code=decline.code,
        network_code=decline.network_code,
        advice=_ADVICE_OF.get(decline.advice, DeclineAdvice.UNKNOWN),
        retry_after=_time(decline.retry_after) if decline.HasField("retry_after") else None,
        message=decline.message,
    )


def _time(moment: Timestamp) -> datetime:
    return moment.ToDatetime(tzinfo=UTC)


def _time_in(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset")
    return moment.astimezone(UTC)


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
    try:
        value.encode()
    except UnicodeEncodeError:
        raise field_invalid(field, "has a lone surrogate") from None
    return value


def _metadata(entries: Mapping[str, str] | None) -> dict[str, str]:
    return {
        _text(f"metadata[{position}]", key): _text(_path(position, key), value)
        for position, (key, value) in enumerate((entries or {}).items())
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
    if method not in _METHOD:
        raise field_invalid("capture_method", "is neither automatic nor manual")
    return _METHOD[method]


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
