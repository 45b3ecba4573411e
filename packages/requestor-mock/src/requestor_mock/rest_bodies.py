"""What the REST door takes and gives, as JSON; OpenAPI is made of it. It decides nothing."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from payment_client import Action, CaptureMethod
from requestor_mock.shapes import Event, Operation, Payment, Refund


class CreatePayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new payment is made of."""

    amount: Annotated[str, Meta(description="Decimal string above zero.", examples=["10.00"])]
    customer_id: Annotated[str, Meta(description="1 to 255 characters.", examples=["cust123"])]
    currency: Annotated[str, Meta(description="ISO 4217 code.")] = "USD"
    payment_method: Annotated[str, Meta(description="A token; never a card number.")] = "card"
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    description: Annotated[str, Meta(description="At most 1,000 characters.")] = ""
    metadata: Annotated[dict[str, str], Meta(description="At most 50 entries of your own.")] = {}
    expires_at: Annotated[
        datetime | None, Meta(description="A payment that nobody has tried by then expires.")
    ] = None
    idempotency_key: Annotated[
        str | None, Meta(description="The same as the header Idempotency-Key.")
    ] = None


class CancelPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to cancel a payment; everything is optional."""

    expected_version: Annotated[
        int | None, Meta(description="Only if the payment has this version.")
    ] = None
    idempotency_key: Annotated[
        str | None, Meta(description="The same as the header Idempotency-Key.")
    ] = None


class ProcessPayment(CancelPayment, frozen=True, kw_only=True):
    """How to process a payment; everything is optional."""

    action: Annotated[Action, Meta(description="What to do with it.")] = Action.PROCESS
    amount: Annotated[
        str | None, Meta(description="Capture or refund so much; default: all that is left.")
    ] = None
    payment_method: Annotated[str | None, Meta(description="A new attempt with another token.")] = (
        None
    )


class CapturePayment(CancelPayment, frozen=True, kw_only=True):
    """How to capture what is held; everything is optional."""

    amount: Annotated[str | None, Meta(description="So much; default: all that is left.")] = None
    final: Annotated[bool, Meta(description="Nothing will follow: what is left is released.")] = (
        False
    )


class RefundPayment(CancelPayment, frozen=True, kw_only=True):
    """How to give back what was captured; everything is optional."""

    amount: Annotated[str | None, Meta(description="So much; default: all that is left.")] = None
    reason: Annotated[str, Meta(description="Your own words, at most 255 characters.")] = ""


class CompletePaymentAction(CancelPayment, frozen=True, kw_only=True):
    """What the customer's action came to; everything is optional."""

    result: Annotated[
        str,
        Meta(
            description="What the processor needs to know of it, at most 1,000 characters. In the"
            " sandbox: empty or `approved`, or `refused`."
        ),
    ] = ""


class PaymentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One payment."""

    success: Literal[True] = True
    data: Payment


class PaymentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One page of payments, newest first."""

    success: Literal[True] = True
    data: list[Payment]
    next_page_token: Annotated[str, Meta(description="Empty on the last page.")]


class ProcessedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A payment after an action, and what was asked of the processor for it."""

    success: Literal[True] = True
    data: Payment
    operation: Operation | None
    processed_at: str


class RefundedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A payment after a refund was asked for, and the refund, which may be on its way for days."""

    success: Literal[True] = True
    data: Payment
    operation: Operation
    refund: Refund
    processed_at: str


class RefundAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One refund."""

    success: Literal[True] = True
    data: Refund


class RefundsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a payment's refunds, newest first."""

    success: Literal[True] = True
    data: list[Refund]
    next_page_token: Annotated[str, Meta(description="Empty on the last page.")]


class EventsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a payment's events, oldest first."""

    success: Literal[True] = True
    data: list[Event]
    next_page_token: Annotated[str, Meta(description="Empty on the last page.")]
