"""The domain's structs as protobuf messages. Writes what it is given, and decides nothing.

Messages are written in place: a message that is made apart is copied into the one that has it.
"""

from datetime import UTC, datetime
from typing import Final, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from payment.v1 import payment_pb2 as pb
from payment_server.domain.events import Event
from payment_server.domain.operation import (
    Operation,
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
    refund_of,
)
from payment_server.domain.payment import Advice, CaptureMethod, Decline, Payment, Status
from payment_server.payments import Outcome
from payment_server.reading import Page

_STATUSES: Final = {each: pb.PaymentStatus.Value(f"PAYMENT_STATUS_{each.name}") for each in Status}
_CAPTURE_METHODS: Final = {
    each: pb.CaptureMethod.Value(f"CAPTURE_METHOD_{each.name}") for each in CaptureMethod
}
_ADVICES: Final = {each: pb.DeclineAdvice.Value(f"DECLINE_ADVICE_{each.name}") for each in Advice}
_KINDS: Final = {
    each: pb.OperationKind.Value(f"OPERATION_KIND_{each.name}") for each in OperationKind
}
_OPERATION_STATUSES: Final = {
    each: pb.OperationStatus.Value(f"OPERATION_STATUS_{each.name}") for each in OperationStatus
}
_REFUND_STATUSES: Final = {
    each: pb.RefundStatus.Value(f"REFUND_STATUS_{each.name}") for each in RefundStatus
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS: Final = 24 * 3600

_Changed: TypeAlias = (
    pb.ProcessPaymentResponse
    | pb.CapturePaymentResponse
    | pb.CancelPaymentResponse
    | pb.RefundPaymentResponse
    | pb.CompletePaymentActionResponse
)


def created(outcome: Outcome) -> pb.CreatePaymentResponse:
    """The answer of CreatePayment."""
    answer = pb.CreatePaymentResponse()
    write_created(answer, outcome)
    return answer


def write_created(answer: pb.CreatePaymentResponse, outcome: Outcome) -> None:
    """The same in place, for an answer that is a part of another."""
    payment = outcome.payment
    answer.payment_id = payment.payment_id
    answer.status = payment.status
    answer.created_at = rfc3339(payment.created_at)
    _write_payment(answer.payment, payment)


def read(payment: Payment) -> pb.GetPaymentResponse:
    """The answer of GetPayment."""
    answer = pb.GetPaymentResponse(
        payment_id=payment.payment_id,
        amount=payment.format(payment.amount_minor),
        currency=payment.currency,
        status=payment.status,
        created_at=rfc3339(payment.created_at),
    )
    _write_payment(answer.payment, payment)
    return answer


def refund_read(refund: Refund) -> pb.GetRefundResponse:
    """The answer of GetRefund."""
    answer = pb.GetRefundResponse()
    _write_refund(answer.refund, refund)
    return answer


def processed(outcome: Outcome) -> pb.ProcessPaymentResponse:
    """The answer of ProcessPayment."""
    payment = outcome.payment
    answer = pb.ProcessPaymentResponse(
        payment_id=payment.payment_id,
        status=payment.status,
        processed_at=rfc3339(processed_at(outcome)),
    )
    _write_outcome(answer, outcome)
    return answer


def captured(outcome: Outcome) -> pb.CapturePaymentResponse:
    """The answer of CapturePayment."""
    answer = pb.CapturePaymentResponse()
    _write_outcome(answer, outcome)
    return answer


def canceled(outcome: Outcome) -> pb.CancelPaymentResponse:
    """The answer of CancelPayment."""
    answer = pb.CancelPaymentResponse()
    _write_outcome(answer, outcome)
    return answer


def refunded(outcome: Outcome) -> pb.RefundPaymentResponse:
    """The answer of RefundPayment."""
    answer = pb.RefundPaymentResponse()
    _write_outcome(answer, outcome)
    if outcome.operation is not None:
        _write_refund(answer.refund, refund_of(outcome.payment, outcome.operation))
    return answer


def completed(outcome: Outcome) -> pb.CompletePaymentActionResponse:
    """The answer of CompletePaymentAction."""
    answer = pb.CompletePaymentActionResponse()
    _write_outcome(answer, outcome)
    return answer


def listed(page: Page[Payment]) -> pb.ListPaymentsResponse:
    """The answer of ListPayments."""
    answer = pb.ListPaymentsResponse(next_page_token=page.next_page_token)
    for each in page.items:
        _write_payment(answer.payments.add(), each)
    return answer


def refunds_listed(page: Page[Refund]) -> pb.ListRefundsResponse:
    """The answer of ListRefunds."""
    answer = pb.ListRefundsResponse(next_page_token=page.next_page_token)
    for each in page.items:
        _write_refund(answer.refunds.add(), each)
    return answer


def events_listed(page: Page[Event]) -> pb.ListPaymentEventsResponse:
    """The answer of ListPaymentEvents."""
    answer = pb.ListPaymentEventsResponse(next_page_token=page.next_page_token)
    for each in page.items:
        _write_event(answer.events.add(), each)
    return answer


def payment_message(payment: Payment) -> pb.Payment:
    """All of a payment; amounts with all the currency's digits."""
    message = pb.Payment()
    _write_payment(message, payment)
    return message


def event_message(event: Event) -> pb.Event:
    """All of an event."""
    message = pb.Event()
    _write_event(message, event)
    return message


def processed_at(outcome: Outcome) -> datetime:
    """When the outcome was recorded; of a pending operation, when it was asked for."""
    operation = outcome.operation
    if operation is None:
        return outcome.payment.updated_at
    return operation.settled_at or operation.created_at


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with Z, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _write_outcome(answer: _Changed, outcome: Outcome) -> None:
    _write_payment(answer.payment, outcome.payment)
    if outcome.operation is not None:
        _write_operation(answer.operation, outcome.operation, outcome.payment)


def _write_payment(message: pb.Payment, payment: Payment) -> None:
    message.payment_id = payment.payment_id
    message.merchant_id = payment.merchant_id
    message.customer_id = payment.customer_id
    message.payment_method = payment.payment_method
    message.capture_method = _CAPTURE_METHODS[payment.capture_method]
    message.description = payment.description
    if payment.metadata:
        message.metadata.update(payment.metadata)
    message.currency = payment.currency
    _write_amounts(message, payment)
    message.status = _STATUSES[payment.status]
    message.attempts = payment.attempts
    message.version = payment.version
    message.allowed_actions.extend(payment.allowed_actions)
    _write_time(message.created_at, payment.created_at)
    _write_time(message.updated_at, payment.updated_at)
    if payment.decline is not None:
        _write_decline(message.decline, payment.decline)
    if payment.next_action is not None:
        message.next_action.type = payment.next_action.type
        message.next_action.url = payment.next_action.url
        if payment.lapses_at is not None:
            _write_time(message.next_action.expires_at, payment.lapses_at)
    if payment.authorization_expires_at is not None:
        _write_time(message.authorization_expires_at, payment.authorization_expires_at)
    if payment.expires_at is not None:
        _write_time(message.expires_at, payment.expires_at)


def _write_amounts(message: pb.Payment, payment: Payment) -> None:
    show = payment.format
    message.amount = show(payment.amount_minor)
    message.amount_authorized = show(payment.authorized_minor)
    message.amount_captured = show(payment.captured_minor)
    message.amount_capturable = show(payment.capturable_minor)
    message.amount_voided = show(payment.voided_minor)
    message.amount_refunded = show(payment.refunded_minor)
    message.amount_refund_pending = show(payment.refund_pending_minor)
    message.amount_refundable = show(payment.refundable_minor)


def _write_operation(message: pb.Operation, operation: Operation, payment: Payment) -> None:
    message.operation_id = operation.operation_id
    message.kind = _KINDS[operation.kind]
    message.status = _OPERATION_STATUSES[operation.status]
    message.amount = payment.format(operation.amount_minor)
    _write_time(message.created_at, operation.created_at)
    if operation.settled_at is not None:
        _write_time(message.settled_at, operation.settled_at)
    if operation.decline is not None:
        _write_decline(message.decline, operation.decline)


def _write_refund(message: pb.Refund, refund: Refund) -> None:
    message.refund_id = refund.refund_id
    message.payment_id = refund.payment_id
    message.amount = refund.amount
    message.currency = refund.currency
    message.status = _REFUND_STATUSES[refund.status]
    message.reason = refund.reason
    _write_time(message.created_at, refund.created_at)
    _write_time(message.updated_at, refund.updated_at)
    if refund.decline is not None:
        _write_decline(message.decline, refund.decline)


def _write_event(message: pb.Event, event: Event) -> None:
    message.event_id = event.event_id
    message.payment_id = event.payment.payment_id
    message.version = event.payment.version
    message.type = event.type
    _write_time(message.occurred_at, event.occurred_at)
    _write_payment(message.payment, event.payment)


def _write_decline(message: pb.Decline, decline: Decline) -> None:
    message.code = decline.code
    message.network_code = decline.network_code
    message.advice = _ADVICES[decline.advice]
    message.message = decline.message
    if decline.retry_after is not None:
        _write_time(message.retry_after, decline.retry_after)


def _write_time(message: Timestamp, moment: datetime) -> None:
    since = moment - _EPOCH  # of which seconds and microseconds are never below zero
    message.seconds = since.days * _DAY_SECONDS + since.seconds
    message.nanos = since.microseconds * 1000
