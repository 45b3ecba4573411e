"""The contract's messages → the client's values; nothing else reads them.

ValueError, OverflowError or decimal.InvalidOperation for an answer against the contract.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from payment.v1 import payment_pb2 as pb
from payment_client._batch import CreatedPayments
from payment_client._errors import PaymentError
from payment_client._failure import read_status
from payment_client._types import (
    NO_STRINGS,
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    Event,
    EventPage,
    FrozenStrings,
    Health,
    NextAction,
    Operation,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
    Refund,
    RefundedPayment,
    RefundPage,
    RefundStatus,
    Watched,
)

AMOUNTS_KEPT: Final = 1_024
"""A payment has eight amounts, most of them zero or equal, and a Decimal never changes."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS: Final = 1_000_000_000

NameT = TypeVar("NameT", bound=StrEnum)

StrictAnswer: TypeAlias = (
    pb.CapturePaymentResponse | pb.CancelPaymentResponse | pb.CompletePaymentActionResponse
)
"""The answers to the operations that do one thing only; they have the same fields."""


def _names(number_of: Callable[[str], int], prefix: str, names: type[NameT]) -> Mapping[int, NameT]:
    return {number_of(prefix + name.name): name for name in names if name.name != "UNKNOWN"}


_STATUS: Final = _names(pb.PaymentStatus.Value, "PAYMENT_STATUS_", PaymentStatus)
_METHOD: Final = _names(pb.CaptureMethod.Value, "CAPTURE_METHOD_", CaptureMethod)
_KIND: Final = _names(pb.OperationKind.Value, "OPERATION_KIND_", OperationKind)
_OUTCOME: Final = _names(pb.OperationStatus.Value, "OPERATION_STATUS_", OperationStatus)
_REFUND_STATUS: Final = _names(pb.RefundStatus.Value, "REFUND_STATUS_", RefundStatus)
_ADVICE: Final = _names(pb.DeclineAdvice.Value, "DECLINE_ADVICE_", DeclineAdvice)


def created_payment(answer: pb.CreatePaymentResponse, call: CallInfo) -> Payment:
    return _payment(answer.payment, call)


def created_payments(
    request: pb.BatchCreatePaymentsRequest, answer: pb.BatchCreatePaymentsResponse, call: CallInfo
) -> CreatedPayments:
    asked, told = len(request.requests), len(answer.results)
    if asked != told:
        raise ValueError(f"{told} results for {asked} requests")
    pairs = zip(request.requests, answer.results, strict=True)
    return CreatedPayments(
        results=tuple(_created_or_error(each, result, call) for each, result in pairs), call=call
    )


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


def strictly_processed_payment(answer: StrictAnswer, call: CallInfo) -> ProcessedPayment:
    operation = _operation(answer.operation)
    return ProcessedPayment(
        payment=_payment(answer.payment, call),
        operation=operation,
        processed_at=operation.settled_at or operation.created_at,
        call=call,
    )


def refunded_payment(answer: pb.RefundPaymentResponse, call: CallInfo) -> RefundedPayment:
    return RefundedPayment(
        payment=_payment(answer.payment, call),
        operation=_operation(answer.operation),
        refund=_refund(answer.refund, call),
        call=call,
    )


def got_refund(answer: pb.GetRefundResponse, call: CallInfo) -> Refund:
    return _refund(answer.refund, call)


def refund_page(answer: pb.ListRefundsResponse, call: CallInfo) -> RefundPage:
    return RefundPage(
        refunds=tuple(_refund(refund, call) for refund in answer.refunds),
        next_page_token=answer.next_page_token,
        call=call,
    )


def event_page(answer: pb.ListPaymentEventsResponse, call: CallInfo) -> EventPage:
    return EventPage(
        events=tuple(_event(event, call) for event in answer.events),
        next_page_token=answer.next_page_token,
        call=call,
    )


def watched(answer: pb.WatchPaymentsResponse, call: CallInfo) -> Watched:
    if not answer.cursor:
        raise ValueError("a step of a watch without a cursor")
    event = _event(answer.event, call) if answer.HasField("event") else None
    return Watched(event=event, cursor=answer.cursor)


def health(answer: pb.HealthCheckResponse, call: CallInfo) -> Health:
    return Health(
        healthy=answer.status == "healthy", checked_at=_time_in(answer.timestamp), call=call
    )


def call_info(request_id: str, replay: str) -> CallInfo:
    """`replay` is what the service says as `idempotency-replayed`; empty where it says nothing."""
    if not replay:
        return CallInfo(request_id=request_id)
    return CallInfo(
        request_id=request_id, replayed=bool(replay), reconstructed=replay == "reconstructed"
    )


def _created_or_error(
    request: pb.CreatePaymentRequest, result: pb.BatchCreatePaymentsResult, call: CallInfo
) -> Payment | PaymentError:
    if result.HasField("created"):
        info = call_info(call.request_id, result.idempotency_replayed)
        return created_payment(result.created, info)
    if not result.HasField("error"):
        raise ValueError("a result that is neither a payment nor an error")
    return read_status(
        result.error.SerializeToString(),
        request_id=call.request_id,
        idempotency_key=request.idempotency_key,
    )


def _payment(payment: pb.Payment, call: CallInfo) -> Payment:
    return Payment(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        customer_id=payment.customer_id,
        payment_method=payment.payment_method,
        capture_method=_METHOD.get(payment.capture_method, CaptureMethod.UNKNOWN),
        description=payment.description,
        metadata=FrozenStrings(payment.metadata) if payment.metadata else NO_STRINGS,
        currency=payment.currency,
        amount=_amount(payment.amount),
        status=_STATUS.get(payment.status, PaymentStatus.UNKNOWN),
        amount_authorized=_amount(payment.amount_authorized),
        amount_captured=_amount(payment.amount_captured),
        amount_capturable=_amount(payment.amount_capturable),
        amount_voided=_amount(payment.amount_voided),
        amount_refunded=_amount(payment.amount_refunded),
        amount_refund_pending=_amount(payment.amount_refund_pending),
        amount_refundable=_amount(payment.amount_refundable),
        decline=_decline(payment.decline) if payment.HasField("decline") else None,
        next_action=_next_action(payment.next_action) if payment.HasField("next_action") else None,
        attempts=payment.attempts,
        version=payment.version,
        allowed_actions=tuple(payment.allowed_actions),
        created_at=_time(payment.created_at),
        updated_at=_time(payment.updated_at),
        authorization_expires_at=(
            _time(payment.authorization_expires_at)
            if payment.HasField("authorization_expires_at")
            else None
        ),
        expires_at=_time(payment.expires_at) if payment.HasField("expires_at") else None,
        call=call,
    )


def _operation(operation: pb.Operation) -> Operation:
    return Operation(
        operation_id=operation.operation_id,
        kind=_KIND.get(operation.kind, OperationKind.UNKNOWN),
        status=_OUTCOME.get(operation.status, OperationStatus.UNKNOWN),
        amount=_amount(operation.amount),
        decline=_decline(operation.decline) if operation.HasField("decline") else None,
        created_at=_time(operation.created_at),
        settled_at=_time(operation.settled_at) if operation.HasField("settled_at") else None,
    )


def _refund(refund: pb.Refund, call: CallInfo) -> Refund:
    return Refund(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount=_amount(refund.amount),
        currency=refund.currency,
        status=_REFUND_STATUS.get(refund.status, RefundStatus.UNKNOWN),
        reason=refund.reason,
        decline=_decline(refund.decline) if refund.HasField("decline") else None,
        created_at=_time(refund.created_at),
        updated_at=_time(refund.updated_at),
        call=call,
    )


def _event(event: pb.Event, call: CallInfo) -> Event:
    return Event(
        event_id=event.event_id,
        payment_id=event.payment_id,
        version=event.version,
        type=event.type,
        occurred_at=_time(event.occurred_at),
        payment=_payment(event.payment, call),
    )


def _next_action(action: pb.NextAction) -> NextAction:
    return NextAction(type=action.type, url=action.url, expires_at=_time(action.expires_at))


def _decline(decline: pb.Decline) -> Decline:
    return Decline(
        code=decline.code,
        network_code=decline.network_code,
        advice=_ADVICE.get(decline.advice, DeclineAdvice.UNKNOWN),
        retry_after=_time(decline.retry_after) if decline.HasField("retry_after") else None,
        message=decline.message,
    )


_amount: Final = lru_cache(AMOUNTS_KEPT)(Decimal)


def _time(moment: Timestamp) -> datetime:
    nanos = moment.nanos
    if not 0 <= nanos < _NANOSECONDS:
        raise ValueError(f"a moment of {nanos} nanoseconds")
    return _EPOCH + timedelta(0, moment.seconds, nanos // 1_000)


def _time_in(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"the time {text!r} has no offset")
    return moment.astimezone(UTC)
