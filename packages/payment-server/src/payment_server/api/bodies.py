"""JSON bodies and the domain, as `wire` is for protobuf: the same names, amounts as strings."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from payment_server.api.wire import processed_at, rfc3339
from payment_server.domain import commands
from payment_server.domain.commands import CreatePayment, ProcessPayment
from payment_server.domain.events import Event
from payment_server.domain.operation import Operation, OperationKind, OperationStatus
from payment_server.domain.payment import Action, Advice, CaptureMethod, Decline, Payment, Status
from payment_server.payments import Outcome
from payment_server.reading import Page

Amount = Annotated[str, Meta(description="A decimal string, never a number.", examples=["10.00"])]
Time = Annotated[str, Meta(description="RFC 3339 in UTC.", examples=["2026-11-23T08:15:00.000Z"])]

_EXAMPLE_ID: Final = "019a206f-073f-73d0-bb2c-7581a22cc174"


class CreatePaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to record. Only amount and customer_id are required."""

    amount: Amount
    currency: Annotated[str, Meta(description="ISO 4217.", examples=["USD"])] = "USD"
    customer_id: Annotated[str, Meta(examples=["cust123"])]
    payment_method: Annotated[
        str, Meta(description="A token; in the sandbox it chooses the outcome.", examples=["card"])
    ] = "card"
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    description: str = ""
    metadata: dict[str, str] = {}
    idempotency_key: Annotated[
        str, Meta(description="The header Idempotency-Key means the same.")
    ] = ""

    def command(self) -> CreatePayment:
        """Raises InvalidRequest."""
        return commands.create_payment(
            amount=self.amount,
            currency=self.currency,
            customer_id=self.customer_id,
            payment_method=self.payment_method,
            capture_method=self.capture_method,
            description=self.description,
            metadata=self.metadata,
        )


class ProcessPaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to do with the payment; an empty body runs it to its end."""

    action: Annotated[str, Meta(description=f"One of {', '.join(Action)}.")] = "process"
    amount: Annotated[
        str, Meta(description="Capture or refund so much; empty means all that is left.")
    ] = ""
    payment_method: Annotated[str, Meta(description="For a new attempt with another one.")] = ""
    expected_version: Annotated[
        int, Meta(description="Only if the payment has this version; 0 means any.")
    ] = 0
    idempotency_key: str = ""

    def command(self, payment_id: str) -> ProcessPayment:
        """Raises InvalidRequest."""
        return commands.process_payment(
            payment_id=payment_id,
            action=self.action,
            amount=self.amount,
            payment_method=self.payment_method,
            expected_version=self.expected_version,
        )


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


class ProcessedBody(msgspec.Struct, frozen=True, kw_only=True):
    """The payment after what was done, and what was done."""

    payment: PaymentBody
    operation: OperationBody | UnsetType = UNSET
    processed_at: Time


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


def processed_body(outcome: Outcome) -> ProcessedBody:
    """An outcome as JSON says it."""
    payment, operation = outcome.payment, outcome.operation
    return ProcessedBody(
        payment=payment_body(payment),
        operation=UNSET if operation is None else _operation_body(payment, operation),
        processed_at=rfc3339(processed_at(outcome)),
    )


def page_body(page: Page[Payment]) -> PageBody:
    """A page as JSON says it."""
    return PageBody(
        payments=tuple(payment_body(each) for each in page.items),
        next_page_token=page.next_page_token,
    )


def _operation_body(payment: Payment, operation: Operation) -> OperationBody:
    return OperationBody(
        operation_id=operation.operation_id,
        kind=operation.kind,
        status=operation.status,
        amount=payment.format(operation.amount_minor),
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
