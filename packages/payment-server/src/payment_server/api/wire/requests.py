"""Protobuf requests as the domain's commands, parsed once.

Raises InvalidRequest for what the domain cannot take; decides nothing itself.
"""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from payment.v1 import payment_pb2 as pb
from payment_server.domain import commands
from payment_server.domain.commands import (
    ChangePayment,
    CreatePayment,
    ListOfPayment,
    ListPayments,
    WatchPayments,
)
from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.payment import CaptureMethod, Status

_STATUSES: Final = {pb.PaymentStatus.Value(f"PAYMENT_STATUS_{each.name}"): each for each in Status}
_CAPTURE_METHODS: Final = {
    pb.CAPTURE_METHOD_UNSPECIFIED: CaptureMethod.AUTOMATIC,
    **{pb.CaptureMethod.Value(f"CAPTURE_METHOD_{each.name}"): each for each in CaptureMethod},
}


def create_command(request: pb.CreatePaymentRequest) -> CreatePayment:
    """Raises InvalidRequest."""
    capture_method = _CAPTURE_METHODS.get(request.capture_method)
    if capture_method is None:
        raise InvalidRequest([Violation("capture_method", "is no capture method")])
    return commands.create_payment(
        amount=request.amount,
        currency=request.currency,
        customer_id=request.customer_id,
        payment_method=request.payment_method,
        capture_method=capture_method,
        description=request.description,
        metadata=request.metadata,
        expires_at=_moment(request, "expires_at"),
    )


def process_command(request: pb.ProcessPaymentRequest) -> ChangePayment:
    """Raises InvalidRequest."""
    return commands.process_payment(
        payment_id=request.payment_id,
        action=request.action,
        amount=request.amount,
        payment_method=request.payment_method,
        expected_version=request.expected_version,
    )


def capture_command(request: pb.CapturePaymentRequest) -> ChangePayment:
    """Raises InvalidRequest."""
    return commands.capture_payment(
        payment_id=request.payment_id,
        amount=request.amount,
        final=request.final,
        expected_version=request.expected_version,
    )


def cancel_command(request: pb.CancelPaymentRequest) -> ChangePayment:
    """Raises InvalidRequest."""
    return commands.cancel_payment(
        payment_id=request.payment_id, expected_version=request.expected_version
    )


def refund_command(request: pb.RefundPaymentRequest) -> ChangePayment:
    """Raises InvalidRequest."""
    return commands.refund_payment(
        payment_id=request.payment_id,
        amount=request.amount,
        reason=request.reason,
        expected_version=request.expected_version,
    )


def complete_command(request: pb.CompletePaymentActionRequest) -> ChangePayment:
    """Raises InvalidRequest."""
    return commands.complete_payment_action(
        payment_id=request.payment_id,
        result=request.result,
        expected_version=request.expected_version,
    )


def refunds_command(request: pb.ListRefundsRequest) -> ListOfPayment:
    """Raises InvalidRequest."""
    return commands.list_of_payment(
        "refunds",
        payment_id=request.payment_id,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def events_command(request: pb.ListPaymentEventsRequest) -> ListOfPayment:
    """Raises InvalidRequest."""
    return commands.list_of_payment(
        "events",
        payment_id=request.payment_id,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def watch_command(request: pb.WatchPaymentsRequest) -> WatchPayments:
    """Raises InvalidRequest."""
    return commands.watch_payments(
        payment_id=request.payment_id,
        customer_id=request.customer_id,
        cursor=request.cursor,
        from_beginning=request.from_beginning,
    )


def get_command(request: pb.GetPaymentRequest) -> str:
    """The payment's id; raises InvalidRequest."""
    return commands.get_payment(request.payment_id)


def get_refund_command(request: pb.GetRefundRequest) -> str:
    """The refund's id; raises InvalidRequest."""
    return commands.get_refund(request.refund_id)


def list_command(request: pb.ListPaymentsRequest) -> ListPayments:
    """Raises InvalidRequest."""
    status = _STATUSES.get(request.status)
    if request.status and status is None:
        raise InvalidRequest([Violation("status", "is no payment status")])
    return commands.list_payments(
        customer_id=request.customer_id,
        status=status,
        created_from=_moment(request, "created_from"),
        created_before=_moment(request, "created_before"),
        metadata=request.metadata,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def _moment(request: Message, field: str) -> datetime | None:
    if not request.HasField(field):
        return None
    moment: Timestamp = getattr(request, field)
    try:
        return moment.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest([Violation(field, "is no time of the years 1 to 9999")]) from None
