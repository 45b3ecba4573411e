"""Protobuf messages and the domain: requests are parsed here, once, and answers are written.

Raises InvalidRequest for what the domain cannot take; decides nothing itself.
"""

from datetime import UTC, datetime
from typing import Final, Literal

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
from payment_server.domain.events import Event
from payment_server.domain.operation import (
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
    refund_of,
)
from payment_server.domain.payment import Advice, CaptureMethod, Decline, Payment, Status
from payment_server.payments import Outcome
from payment_server.reading import Page

_STATUSES: Final = {
    status: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status.name}") for status in Status
}
_CAPTURE_METHODS: Final = {
    method: pb.CaptureMethod.Value(f"CAPTURE_METHOD_{method.name}") for method in CaptureMethod
}
_ADVICES: Final = {
    advice: pb.DeclineAdvice.Value(f"DECLINE_ADVICE_{advice.name}") for advice in Advice
}
_KINDS: Final = {
    kind: pb.OperationKind.Value(f"OPERATION_KIND_{kind.name}") for kind in OperationKind
}
_OPERATION_STATUSES: Final = {
    status: pb.OperationStatus.Value(f"OPERATION_STATUS_{status.name}")
    for status in OperationStatus
}
_REFUND_STATUSES: Final = {
    status: pb.RefundStatus.Value(f"REFUND_STATUS_{status.name}") for status in RefundStatus
}
_STATUS_OF: Final = {number: status for status, number in _STATUSES.items()}
_CAPTURE_METHOD_OF: Final = {number: method for method, number in _CAPTURE_METHODS.items()}


def create_command(request: pb.CreatePaymentRequest) -> CreatePayment:
    """Raises InvalidRequest."""
    if request.capture_method not in (0, *_CAPTURE_METHOD_OF):
        raise InvalidRequest([Violation("capture_method", "is no capture method")])
    return commands.create_payment(
        amount=request.amount,
        currency=request.currency,
        customer_id=request.customer_id,
        payment_method=request.payment_method,
        capture_method=_CAPTURE_METHOD_OF.get(request.capture_method, CaptureMethod.AUTOMATIC),
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
    if request.status not in (0, *_STATUS_OF):
        raise InvalidRequest([Violation("status", "is no payment status")])
    return commands.list_payments(
        customer_id=request.customer_id,
        status=_STATUS_OF.get(request.status),
        created_from=_moment(request, "created_from"),
        created_before=_moment(request, "created_before"),
        metadata=request.metadata,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def created(outcome: Outcome) -> pb.CreatePaymentResponse:
    """The answer of CreatePayment."""
    payment = outcome.payment
    return pb.CreatePaymentResponse(
        payment_id=payment.payment_id,
        status=payment.status,
        created_at=rfc3339(payment.created_at),
        payment=payment_message(payment),
    )


def read(payment: Payment) -> pb.GetPaymentResponse:
    """The answer of GetPayment."""
    return pb.GetPaymentResponse(
        payment_id=payment.payment_id,
        amount=payment.format(payment.amount_minor),
        currency=payment.currency,
        status=payment.status,
        created_at=rfc3339(payment.created_at),
        payment=payment_message(payment),
    )


def refund_read(refund: Refund) -> pb.GetRefundResponse:
    """The answer of GetRefund."""
    return pb.GetRefundResponse(refund=refund_message(refund))


def processed(outcome: Outcome) -> pb.ProcessPaymentResponse:
    """The answer of ProcessPayment."""
    payment = outcome.payment
    return pb.ProcessPaymentResponse(
        payment_id=payment.payment_id,
        status=payment.status,
        processed_at=rfc3339(processed_at(outcome)),
        payment=payment_message(payment),
        operation=_operation_of(outcome),
    )


def captured(outcome: Outcome) -> pb.CapturePaymentResponse:
    """The answer of CapturePayment."""
    return pb.CapturePaymentResponse(
        payment=payment_message(outcome.payment), operation=_operation_of(outcome)
    )


def canceled(outcome: Outcome) -> pb.CancelPaymentResponse:
    """The answer of CancelPayment."""
    return pb.CancelPaymentResponse(
        payment=payment_message(outcome.payment), operation=_operation_of(outcome)
    )


def refunded(outcome: Outcome) -> pb.RefundPaymentResponse:
    """The answer of RefundPayment."""
    payment, operation = outcome.payment, outcome.operation
    return pb.RefundPaymentResponse(
        payment=payment_message(payment),
        operation=_operation_of(outcome),
        refund=refund_message(refund_of(payment, operation)) if operation else None,
    )


def completed(outcome: Outcome) -> pb.CompletePaymentActionResponse:
    """The answer of CompletePaymentAction."""
    return pb.CompletePaymentActionResponse(
        payment=payment_message(outcome.payment), operation=_operation_of(outcome)
    )


def listed(page: Page[Payment]) -> pb.ListPaymentsResponse:
    """The answer of ListPayments."""
    return pb.ListPaymentsResponse(
        payments=[payment_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


def refunds_listed(page: Page[Refund]) -> pb.ListRefundsResponse:
    """The answer of ListRefunds."""
    return pb.ListRefundsResponse(
        refunds=[refund_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


def events_listed(page: Page[Event]) -> pb.ListPaymentEventsResponse:
    """The answer of ListPaymentEvents."""
    return pb.ListPaymentEventsResponse(
        events=[event_message(each) for each in page.items],
        next_page_token=page.next_page_token,
    )


def payment_message(payment: Payment) -> pb.Payment:
    """All of a payment; amounts with all the currency's digits."""
    show = payment.format
    return pb.Payment(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        customer_id=payment.customer_id,
        payment_method=payment.payment_method,
        capture_method=_CAPTURE_METHODS[payment.capture_method],
        description=payment.description,
        metadata=payment.metadata,
        currency=payment.currency,
        amount=show(payment.amount_minor),
        status=_STATUSES[payment.status],
        amount_authorized=show(payment.authorized_minor),
        amount_captured=show(payment.captured_minor),
        amount_capturable=show(payment.capturable_minor),
        amount_voided=show(payment.voided_minor),
        amount_refunded=show(payment.refunded_minor),
        amount_refund_pending=show(payment.refund_pending_minor),
        amount_refundable=show(payment.refundable_minor),
        decline=_decline_message(payment.decline),
        attempts=payment.attempts,
        version=payment.version,
        allowed_actions=payment.allowed_actions,
        created_at=_timestamp(payment.created_at),
        updated_at=_timestamp(payment.updated_at),
        next_action=_next_action_message(payment),
        authorization_expires_at=_timestamp(payment.authorization_expires_at),
        expires_at=_timestamp(payment.expires_at),
    )


def refund_message(refund: Refund) -> pb.Refund:
    """All of a refund."""
    return pb.Refund(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount=refund.amount,
        status=_REFUND_STATUSES[refund.status],
        reason=refund.reason,
        created_at=_timestamp(refund.created_at),
        updated_at=_timestamp(refund.updated_at),
        decline=_decline_message(refund.decline),
        currency=refund.currency,
    )


def event_message(event: Event) -> pb.Event:
    """All of an event."""
    return pb.Event(
        event_id=event.event_id,
        payment_id=event.payment.payment_id,
        version=event.payment.version,
        type=event.type,
        occurred_at=_timestamp(event.occurred_at),
        payment=payment_message(event.payment),
    )


def processed_at(outcome: Outcome) -> datetime:
    """When the outcome was recorded; of a pending operation, when it was asked for."""
    operation = outcome.operation
    if operation is None:
        return outcome.payment.updated_at
    return operation.settled_at or operation.created_at


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with Z, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _operation_of(outcome: Outcome) -> pb.Operation | None:
    operation = outcome.operation
    if operation is None:
        return None
    return pb.Operation(
        operation_id=operation.operation_id,
        kind=_KINDS[operation.kind],
        status=_OPERATION_STATUSES[operation.status],
        amount=outcome.payment.format(operation.amount_minor),
        decline=_decline_message(operation.decline),
        created_at=_timestamp(operation.created_at),
        settled_at=_timestamp(operation.settled_at),
    )


def _next_action_message(payment: Payment) -> pb.NextAction | None:
    action = payment.next_action
    if action is None:
        return None
    return pb.NextAction(type=action.type, url=action.url, expires_at=_timestamp(payment.lapses_at))


def _decline_message(decline: Decline | None) -> pb.Decline | None:
    if decline is None:
        return None
    return pb.Decline(
        code=decline.code,
        network_code=decline.network_code,
        advice=_ADVICES[decline.advice],
        retry_after=_timestamp(decline.retry_after),
        message=decline.message,
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _moment(
    request: pb.ListPaymentsRequest | pb.CreatePaymentRequest,
    field: Literal["created_from", "created_before", "expires_at"],
) -> datetime | None:
    message: Timestamp | None = getattr(request, field) if _has(request, field) else None
    if message is None:
        return None
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest([Violation(field, "is no time of the years 1 to 9999")]) from None


def _has(request: Message, field: str) -> bool:
    return request.HasField(field)
