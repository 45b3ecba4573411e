"""What callers send to /v1 as JSON: each body becomes a command of the domain.

Only types and names are judged here; what a value may be is the domain's business.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from payment_server.api.bodies import Amount
from payment_server.api.intake import read_time
from payment_server.api.parameters import reference_to
from payment_server.domain import commands
from payment_server.domain.commands import ChangePayment, CreatePayment
from payment_server.domain.payment import Action, CaptureMethod

ExpectedVersion = Annotated[
    int, Meta(description="Only if the payment has this version; 0 means any.")
]
IdempotencyKey = Annotated[str, Meta(description="The header Idempotency-Key means the same.")]
Deadline = Annotated[
    str,
    Meta(
        description="A payment that nobody has tried by then expires. RFC 3339 with an offset.",
        examples=["2999-12-31T23:59:59Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Part = Annotated[
    str,
    Meta(
        min_length=1,  # a variable that was left empty by mistake must not mean all
        description="Capture or refund so much; absent or null means all that is left.",
        examples=["2.50"],
    ),
]


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
    expires_at: Deadline | None = None
    idempotency_key: IdempotencyKey = ""

    def command(self) -> CreatePayment:
        """Raises InvalidRequest."""
        deadline = self.expires_at
        return commands.create_payment(
            amount=self.amount,
            currency=self.currency,
            customer_id=self.customer_id,
            payment_method=self.payment_method,
            capture_method=self.capture_method,
            description=self.description,
            metadata=self.metadata,
            expires_at=None if deadline is None else read_time("expires_at", deadline),
        )


class BatchCreatePaymentsBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """What to record. Here the payments may be anything, as each is judged for itself."""

    requests: Annotated[
        list[Any],
        Meta(
            description="1 to 1,000 payments, each as CreatePayment takes it, with a key of its"
            " own.",
            examples=[[{"amount": "10.00", "customer_id": "cust123", "idempotency_key": "o-1042"}]],
            extra_json_schema={"extra": {"items": reference_to("CreatePaymentBody")}},
        ),
    ]


class ProcessPaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to do with the payment; an empty body runs it to its end."""

    action: Annotated[str, Meta(description=f"One of {', '.join(Action)}.")] = "process"
    amount: Part | None = None
    payment_method: Annotated[str, Meta(description="For a new attempt with another one.")] = ""
    expected_version: ExpectedVersion = 0
    idempotency_key: IdempotencyKey = ""

    def command(self, payment_id: str) -> ChangePayment:
        """Raises InvalidRequest."""
        return commands.process_payment(
            payment_id=payment_id,
            action=self.action,
            amount=self.amount or "",
            payment_method=self.payment_method,
            expected_version=self.expected_version,
        )


class CapturePaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to capture; an empty body captures all that is left."""

    amount: Part | None = None
    final: Annotated[bool, Meta(description="Nothing will follow: the rest is released.")] = False
    expected_version: ExpectedVersion = 0
    idempotency_key: IdempotencyKey = ""

    def command(self, payment_id: str) -> ChangePayment:
        """Raises InvalidRequest."""
        return commands.capture_payment(
            payment_id=payment_id,
            amount=self.amount or "",
            final=self.final,
            expected_version=self.expected_version,
        )


class CancelPaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nothing is needed to cancel."""

    expected_version: ExpectedVersion = 0
    idempotency_key: IdempotencyKey = ""

    def command(self, payment_id: str) -> ChangePayment:
        """Raises InvalidRequest."""
        return commands.cancel_payment(
            payment_id=payment_id, expected_version=self.expected_version
        )


class RefundPaymentBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to give back; an empty body gives back all that is left."""

    amount: Part | None = None
    reason: Annotated[str, Meta(description="The caller's own words.")] = ""
    expected_version: ExpectedVersion = 0
    idempotency_key: IdempotencyKey = ""

    def command(self, payment_id: str) -> ChangePayment:
        """Raises InvalidRequest."""
        return commands.refund_payment(
            payment_id=payment_id,
            amount=self.amount or "",
            reason=self.reason,
            expected_version=self.expected_version,
        )


class CompleteActionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the customer's action came to."""

    result: Annotated[
        str, Meta(description='In the sandbox: empty or "approved", or "refused".')
    ] = ""
    expected_version: ExpectedVersion = 0
    idempotency_key: IdempotencyKey = ""

    def command(self, payment_id: str) -> ChangePayment:
        """Raises InvalidRequest."""
        return commands.complete_payment_action(
            payment_id=payment_id,
            result=self.result,
            expected_version=self.expected_version,
        )
