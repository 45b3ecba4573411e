"""The GraphQL schema: each resolver is one call of payment-client and the shape of its answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from payment_client import (
    Action,
    CallInfo,
    CaptureMethod,
    FieldViolation,
    PaymentStatus,
)
from requestor_mock.caller import Caller, one_key
from requestor_mock.errors import fields_invalid
from requestor_mock.shapes import Payment, ProcessedPayment, known, shown

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_LIMIT: Final = 100  # a document may ask for as many pages as it may have aliases


@dataclass(slots=True)
class Context:
    """One GraphQL request: who asks, and how the calls that it made were answered."""

    caller: Caller
    operation_name: str | None
    key_in_header: str | None = None
    """Counts only where one mutation alone can be meant; the door sees to that."""
    mutations: int = 0
    """How many mutation fields the operation has."""
    mutated: CallInfo | None = None
    """The last mutation's call."""


Info: TypeAlias = strawberry.Info[Context, None]


def said(description: str) -> Any:
    """What the schema says of an argument."""
    return strawberry.argument(description=description)


strawberry.enum(Action, description=Action.__doc__, graphql_name_from="value")


def _string_map(value: object) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return value
    raise GraphQLError("must be an object whose values are strings")


CONFIG: Final = StrawberryConfig(
    scalar_map={
        dict[str, str]: strawberry.scalar(
            name="StringMap",
            description="An object whose values are strings.",
            serialize=dict,
            parse_value=_string_map,
        )
    }
)


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


_Resolver = TypeVar("_Resolver", bound=Callable[..., Any])


def _field(resolver: _Resolver) -> _Resolver:
    """A field of a root, described by its docstring."""
    made: Any = strawberry.field(resolver, description=getdoc(resolver))
    return made  # type: ignore[no-any-return]


@strawberry.type(description="A payment in a list.")
class PaymentEdge:
    node: Payment
    cursor: str | None = strawberry.field(
        description="Where the next page starts: only a page's last payment has one."
    )


@strawberry.type(description="Where a page of a list stands.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool = strawberry.field(description="Whether it was asked for with after.")
    start_cursor: str | None = strawberry.field(description="Always null: lists go forward only.")
    end_cursor: str | None = strawberry.field(description="The next page's after.")


@strawberry.type(description="A page of payments, newest first.")
class PaymentConnection:
    edges: list[PaymentEdge]
    page_info: PageInfo


# Every field of the two roots may be null, so that one that fails takes no other's answer with it:
# a mutation that happened must not look as if it had not.


@strawberry.type
class Query:
    @_field
    async def payment(self, info: Info, payment_id: str) -> Payment | None:
        """One payment as it is now."""
        caller = info.context.caller
        return shown(await caller.client.payments.get(payment_id, headers=caller.headers), Payment)

    @_field
    async def payments(
        self,
        info: Info,
        first: Annotated[int, said("At most so many; 100 is the most.")] = PAGE_SIZE_DEFAULT,
        after: Annotated[str | None, said("The endCursor of the page before.")] = None,
        customer_id: str | None = None,
        status: PaymentStatus | None = None,
    ) -> PaymentConnection | None:
        """Payments, newest first, a page at a time."""
        caller = info.context.caller
        if not 1 <= first <= PAGE_SIZE_LIMIT:
            message = f"must be from 1 to {PAGE_SIZE_LIMIT}"
            raise fields_invalid([FieldViolation(field="first", message=message)])
        pager = caller.client.payments.list(
            customer_id=customer_id,
            status=known("status", status),
            page_size=first,
            page_token=after,
            headers=caller.headers,
        )
        page = await anext(aiter(pager.pages()))
        return _connection(
            [shown(each, Payment) for each in page.payments], page.next_page_token, after
        )


def _connection(nodes: list[Payment], next_page_token: str, after: str | None) -> PaymentConnection:
    end = next_page_token or None
    edges = [PaymentEdge(node=node, cursor=None) for node in nodes]
    if edges:
        edges[-1].cursor = end
    return PaymentConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=end is not None,
            has_previous_page=after is not None,
            start_cursor=None,
            end_cursor=end,
        ),
    )


_Key: TypeAlias = Annotated[
    str | None, said("At most 255 printable ASCII characters; the same key has one effect.")
]
_Amount: TypeAlias = Annotated[str | None, said("So much of it; default: all that is left.")]
_Version: TypeAlias = Annotated[int | None, said("Only if the payment has this version.")]


@strawberry.type
class Mutation:
    @_field
    async def create_payment(
        self, info: Info, payload: PaymentInput, idempotency_key: _Key = None
    ) -> Payment | None:
        """Records a payment; no money moves."""
        context = info.context
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
            idempotency_key=one_key(context.key_in_header, idempotency_key),
            headers=context.caller.headers,
        )
        context.mutated = payment.call
        return shown(payment, Payment)

    @_field
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
        return await _change(
            info.context,
            payment_id,
            action,
            {
                "amount": amount,
                "payment_method": payment_method,
                "expected_version": expected_version,
            },
            idempotency_key,
        )

    @_field
    async def capture_payment(
        self,
        info: Info,
        payment_id: str,
        amount: _Amount = None,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Captures what is held; a created payment is authorized and captured."""
        return await _change(
            info.context,
            payment_id,
            Action.CAPTURE,
            {"amount": amount, "expected_version": expected_version},
            idempotency_key,
        )

    @_field
    async def cancel_payment(
        self,
        info: Info,
        payment_id: str,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Releases what is held."""
        return await _change(
            info.context,
            payment_id,
            Action.CANCEL,
            {"expected_version": expected_version},
            idempotency_key,
        )

    @_field
    async def refund_payment(
        self,
        info: Info,
        payment_id: str,
        amount: _Amount = None,
        expected_version: _Version = None,
        idempotency_key: _Key = None,
    ) -> ProcessedPayment | None:
        """Gives back what was captured."""
        return await _change(
            info.context,
            payment_id,
            Action.REFUND,
            {"amount": amount, "expected_version": expected_version},
            idempotency_key,
        )


async def _change(
    context: Context,
    payment_id: str,
    action: Action,
    terms: Mapping[str, Any],
    idempotency_key: str | None,
) -> ProcessedPayment:
    processed = await context.caller.client.payments.process(
        payment_id,
        action,
        **terms,
        idempotency_key=one_key(context.key_in_header, idempotency_key),
        headers=context.caller.headers,
    )
    context.mutated = processed.call
    return shown(processed, ProcessedPayment)
