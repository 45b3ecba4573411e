"""What GraphQL can change: each resolver is one call of payment-client and the shape of its
answer."""

from typing import Annotated, Any, TypeAlias

import strawberry

import payment_client
from payment_client import Action, CaptureMethod, FieldViolation
from requestor_mock.bodies import moment
from requestor_mock.caller import one_key
from requestor_mock.errors import fields_invalid
from requestor_mock.graphql_types import Context, Info, described, said
from requestor_mock.parameters import check
from requestor_mock.shapes import (
    Payment,
    ProcessedPayment,
    RefundedPayment,
    known,
    shown,
    shown_refund,
)

strawberry.enum(Action, description=Action.__doc__, graphql_name_from="value")


@strawberry.input(description="What a new payment is made of.")
class PaymentInput:
    amount: str = strawberry.field(description='Decimal string above zero, such as "10.00".')
    # What has a default may be null, which means the default: editors want a value for whatever
    # may not, even where there is a default.
    currency: str | None = strawberry.field(default="USD", description="ISO 4217 code.")
    customer_id: str | None = strawberry.field(
        default=None, description="Required: 1 to 255 characters."
    )
    payment_method: str | None = strawberry.field(
        default="card", description="A token; never a card number."
    )
    capture_method: CaptureMethod | None = strawberry.field(
        default=CaptureMethod.AUTOMATIC, description="Whether processing captures at once."
    )
    description: str | None = strawberry.field(default="", description="At most 1,000 characters.")
    metadata: dict[str, str] | None = strawberry.field(
        default=None, description="At most 50 entries of your own."
    )
    expires_at: str | None = strawberry.field(
        default=None,
        description="A payment that nobody has tried by then expires; RFC 3339. Default: never.",
    )
    # Older clients spell these two as the wire does; customerId is nullable for their sake.
    customer_id_on_the_wire: str | None = strawberry.field(
        name="customer_id", default=None, deprecation_reason="Spelled customerId."
    )
    payment_method_on_the_wire: str | None = strawberry.field(
        name="payment_method", default=None, deprecation_reason="Spelled paymentMethod."
    )

    def chosen_customer_id(self) -> str:
        """The customer in whichever spelling; empty, which the service refuses, for none."""
        return _one_spelling("customer_id", self.customer_id, self.customer_id_on_the_wire) or ""

    def chosen_payment_method(self) -> str:
        """The payment method in whichever spelling."""
        modern = None if self.payment_method == "card" else self.payment_method
        return _one_spelling("payment_method", modern, self.payment_method_on_the_wire) or "card"


def _one_spelling(field: str, modern: str | None, old: str | None) -> str | None:
    if modern is not None and old is not None and modern != old:
        message = "is given in two spellings that differ"
        raise fields_invalid([FieldViolation(field=field, message=message)])
    return old if modern is None else modern


_Key: TypeAlias = Annotated[
    str | None, said("At most 255 printable ASCII characters; the same key has one effect.")
]
_Amount: TypeAlias = Annotated[str | None, said("So much of it; default: all that is left.")]
_Version: TypeAlias = Annotated[int | None, said("Only if the payment has this version.")]


@strawberry.type
class Mutation:
    @described
    async def create_payment(
        self, info: Info, payload: PaymentInput, idempotency_key: _Key = None
    ) -> Payment | None:
        """Records a payment; no money moves."""
        context = info.context
        check(expires_at=payload.expires_at)
        payment = await context.caller.client.payments.create(
            amount=payload.amount,
            customer_id=payload.chosen_customer_id(),
            currency=payload.currency or "USD",
            payment_method=payload.chosen_payment_method(),
            capture_method=known(
                "capture_method", payload.capture_method or CaptureMethod.AUTOMATIC
            ),
            description=payload.description or "",
            metadata=payload.metadata,
            expires_at=moment(payload.expires_at),
            idempotency_key=one_key(context.key_in_header, idempotency_key),
            headers=context.caller.headers,
        )
        context.mutated = payment.call
        return shown(payment, Payment)

    @described
    async def process_payment(
        self,
        info: Info,
        payment_id: str,
        action: Action = Action.PROCESS,
        amount: _Amount = None,
        payment_method: Annotated[str | None, said("A new attempt with another token.")] = None,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Runs a payment to its end by its capture method, or does what `action` says."""
        context = info.context
        processed = await context.caller.client.payments.process(
            payment_id,
            action,
            amount=amount,
            payment_method=payment_method,
            **_terms(context, expected_version, idempotency_key),
        )
        return _told(context, processed)

    @described
    async def capture_payment(
        self,
        info: Info,
        payment_id: str,
        amount: _Amount = None,
        final: Annotated[bool, said("Nothing will follow: what is left is released.")] = False,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Captures what is held, or a part of it."""
        context = info.context
        processed = await context.caller.client.payments.capture(
            payment_id,
            amount=amount,
            final=final,
            **_terms(context, expected_version, idempotency_key),
        )
        return _told(context, processed)

    @described
    async def cancel_payment(
        self,
        info: Info,
        payment_id: str,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Ends a payment of which nothing is captured, or releases what is left of a hold."""
        context = info.context
        terms = _terms(context, expected_version, idempotency_key)
        return _told(context, await context.caller.client.payments.cancel(payment_id, **terms))

    @described
    async def complete_payment_action(
        self,
        info: Info,
        payment_id: str,
        result: Annotated[
            str, said('What it came to; in the sandbox empty or "approved", or "refused".')
        ] = "",
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Goes on once the customer has done what the payment's nextAction asked."""
        context = info.context
        processed = await context.caller.client.payments.complete(
            payment_id, result=result, **_terms(context, expected_version, idempotency_key)
        )
        return _told(context, processed)

    @described
    async def refund_payment(
        self,
        info: Info,
        payment_id: str,
        amount: _Amount = None,
        reason: Annotated[str, said("Your own words, at most 255 characters.")] = "",
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> RefundedPayment | None:
        """Gives back what was captured, or a part of it; the refund's own status says how far it
        is."""
        context = info.context
        refunded = await context.caller.client.payments.refund(
            payment_id,
            amount=amount,
            reason=reason,
            **_terms(context, expected_version, idempotency_key),
        )
        context.mutated = refunded.call
        return shown_refund(refunded)


def _terms(
    context: Context, expected_version: int | None, idempotency_key: str | None
) -> dict[str, Any]:
    """What every change of a payment has beside its own words."""
    return {
        "expected_version": expected_version,
        "idempotency_key": one_key(context.key_in_header, idempotency_key),
        "headers": context.caller.headers,
    }


def _told(context: Context, processed: payment_client.ProcessedPayment) -> ProcessedPayment:
    context.mutated = processed.call
    return shown(processed, ProcessedPayment)
