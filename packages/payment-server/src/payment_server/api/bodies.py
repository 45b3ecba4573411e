"""Answers as JSON, as `wire` writes them for protobuf: the same names, amounts as strings."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from payment_server.api.wire import processed_at, rfc3339
from payment_server.domain.events import Event
from payment_server.domain.operation import (
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
    refund_of,
)
from payment_server.domain.payment import Action, Advice, CaptureMethod, Decline, Payment, Status
from payment_server.payments import Outcome
from payment_server.reading import Page

Amount = Annotated[str, Meta(description="A decimal string, never a number.", examples=["10.00"])]
Time = Annotated[str, Meta(description="RFC 3339 in UTC.", examples=["2026-11-23T08:15:00.000Z"])]

_EXAMPLE_ID: Final = "019a206f-073f-73d0-bb2c-7581a22cc174"


class DeclineBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why the processor said no; `message` may be shown to the customer."""

    code: str
    network_code: str
    advice: Advice
    retry_after: Time | None
    message: str


class NextActionBody(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer has to do; `url` is empty where the caller needs no page."""

    type: Annotated[str, Meta(examples=["challenge"])]
    url: str
    expires_at: Time | None


class PaymentBody(msgspec.Struct, frozen=True, kw_only=True):
    """All of a payment; amounts with all the currency's digits."""

    payment_id: Annotated[str, Meta(examples=[_EXAMPLE_ID])]
    merchant_id: str
    customer_id: str
    payment_method: str
    capture_method: CaptureMethod
    description: str
    metadata: dict[str, str]
    currency: str
    amount: Amount
    status: Status
    amount_authorized: Amount
    amount_captured: Amount
    amount_capturable: Amount
    amount_voided: Amount
    amount_refunded: Amount
    amount_refund_pending: Amount
    amount_refundable: Amount
    decline: DeclineBody | None
    attempts: int
    version: int
    allowed_actions: tuple[Action, ...]
    created_at: Time
    updated_at: Time
    next_action: NextActionBody | None
    authorization_expires_at: Time | None
    expires_at: Time | None


class OperationBody(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was asked of the processor."""

    operation_id: str
    kind: OperationKind
    status: OperationStatus
    amount: Amount
    decline: DeclineBody | None
    created_at: Time
    settled_at: Time | None


class RefundBody(msgspec.Struct, frozen=True, kw_only=True):
    """Money given back to the customer; its id is that of the operation that asked for it."""

    refund_id: Annotated[str, Meta(examples=[_EXAMPLE_ID])]
    payment_id: str
    amount: Amount
    currency: str
    status: RefundStatus
    reason: str
    decline: DeclineBody | None
    created_at: Time
    updated_at: Time


class ChangedBody(msgspec.Struct, frozen=True, kw_only=True):
    """The payment after what was done, and what was done."""

    payment: PaymentBody
    operation: OperationBody | UnsetType = UNSET


class ProcessedBody(ChangedBody, frozen=True, kw_only=True):
    """The payment after what was done, what was done, and when the outcome was recorded."""

    processed_at: Time


class RefundedBody(ChangedBody, frozen=True, kw_only=True):
    """The payment after what was done, what was done, and the refund, which may be pending."""

    refund: RefundBody | UnsetType = UNSET


class PageBody(msgspec.Struct, frozen=True, kw_only=True):
    """One page, newest first; the token is empty on the last one."""

    payments: tuple[PaymentBody, ...]
    next_page_token: str


class EventBody(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a payment, and the payment after it."""

    event_id: str
    payment_id: str
    version: int
    type: Annotated[str, Meta(examples=["payment.captured"])]
    occurred_at: Time
    payment: PaymentBody


class RefundsBody(msgspec.Struct, frozen=True, kw_only=True):
    """One page of refunds, newest first; the token is empty on the last one."""

    refunds: tuple[RefundBody, ...]
    next_page_token: str


class EventsBody(msgspec.Struct, frozen=True, kw_only=True):
    """One page of events, oldest first; the token is empty on the last one."""

    events: tuple[EventBody, ...]
    next_page_token: str


class HealthBody(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is healthy or unhealthy."""

    status: str
    timestamp: Time


class ReadyBody(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is ready, degraded (a part that nobody depends on is away) or unready."""

    status: str
    database: str
    redis: str


def payment_body(payment: Payment) -> PaymentBody:
    """All of a payment as JSON says it."""
    show = payment.format
    return PaymentBody(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        customer_id=payment.customer_id,
        payment_method=payment.payment_method,
        capture_method=payment.capture_method,
        description=payment.description,
        metadata=payment.metadata,
        currency=payment.currency,
        amount=show(payment.amount_minor),
        status=payment.status,
        amount_authorized=show(payment.authorized_minor),
        amount_captured=show(payment.captured_minor),
        amount_capturable=show(payment.capturable_minor),
        amount_voided=show(payment.voided_minor),
        amount_refunded=show(payment.refunded_minor),
        amount_refund_pending=show(payment.refund_pending_minor),
        amount_refundable=show(payment.refundable_minor),
        decline=_decline_body(payment.decline),
        attempts=payment.attempts,
        version=payment.version,
        allowed_actions=payment.allowed_actions,
        created_at=rfc3339(payment.created_at),
        updated_at=rfc3339(payment.updated_at),
        next_action=_next_action_body(payment),
        authorization_expires_at=_time(payment.authorization_expires_at),
        expires_at=_time(payment.expires_at),
    )


def event_body(event: Event) -> EventBody:
    """All of an event as JSON says it."""
    return EventBody(
        event_id=event.event_id,
        payment_id=event.payment.payment_id,
        version=event.payment.version,
        type=event.type,
        occurred_at=rfc3339(event.occurred_at),
        payment=payment_body(event.payment),
    )


def refund_body(refund: Refund) -> RefundBody:
    """All of a refund as JSON says it."""
    return RefundBody(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount=refund.amount,
        currency=refund.currency,
        status=refund.status,
        reason=refund.reason,
        decline=_decline_body(refund.decline),
        created_at=rfc3339(refund.created_at),
        updated_at=rfc3339(refund.updated_at),
    )


def changed_body(outcome: Outcome) -> ChangedBody:
    """An outcome as JSON says it."""
    return ChangedBody(payment=payment_body(outcome.payment), operation=_operation_body(outcome))


def processed_body(outcome: Outcome) -> ProcessedBody:
    """An outcome of ProcessPayment as JSON says it."""
    return ProcessedBody(
        payment=payment_body(outcome.payment),
        operation=_operation_body(outcome),
        processed_at=rfc3339(processed_at(outcome)),
    )


def refunded_body(outcome: Outcome) -> RefundedBody:
    """An outcome of RefundPayment as JSON says it."""
    payment, operation = outcome.payment, outcome.operation
    return RefundedBody(
        payment=payment_body(payment),
        operation=_operation_body(outcome),
        refund=UNSET if operation is None else refund_body(refund_of(payment, operation)),
    )


def page_body(page: Page[Payment]) -> PageBody:
    """A page as JSON says it."""
    return PageBody(
        payments=tuple(payment_body(each) for each in page.items),
        next_page_token=page.next_page_token,
    )


def refunds_body(page: Page[Refund]) -> RefundsBody:
    """A page of refunds as JSON says it."""
    return RefundsBody(
        refunds=tuple(refund_body(each) for each in page.items),
        next_page_token=page.next_page_token,
    )


def events_body(page: Page[Event]) -> EventsBody:
    """A page of events as JSON says it."""
    return EventsBody(
        events=tuple(event_body(each) for each in page.items),
        next_page_token=page.next_page_token,
    )


def _operation_body(outcome: Outcome) -> OperationBody | UnsetType:
    operation = outcome.operation
    if operation is None:
        return UNSET
    return OperationBody(
        operation_id=operation.operation_id,
        kind=operation.kind,
        status=operation.status,
        amount=outcome.payment.format(operation.amount_minor),
        decline=_decline_body(operation.decline),
        created_at=rfc3339(operation.created_at),
        settled_at=_time(operation.settled_at),
    )


def _next_action_body(payment: Payment) -> NextActionBody | None:
    action = payment.next_action
    if action is None:
        return None
    return NextActionBody(type=action.type, url=action.url, expires_at=_time(payment.lapses_at))


def _decline_body(decline: Decline | None) -> DeclineBody | None:
    if decline is None:
        return None
    return DeclineBody(
        code=decline.code,
        network_code=decline.network_code,
        advice=decline.advice,
        retry_after=_time(decline.retry_after),
        message=decline.message,
    )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
