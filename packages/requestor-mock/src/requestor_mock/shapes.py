"""What both doors show. One class per thing makes the JSON of REST, the types of GraphQL and the
schemas of OpenAPI, so that a value has one name and one meaning everywhere."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from inspect import getdoc
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import strawberry
from litestar.params import KwargDefinition
from strawberry.types import get_object_definition

import payment_client
from payment_client import (
    CaptureMethod,
    DeclineAdvice,
    FieldViolation,
    OperationKind,
    OperationStatus,
    PaymentStatus,
    RefundStatus,
)
from requestor_mock.errors import fields_invalid

_Shape = TypeVar("_Shape")
_Member = TypeVar("_Member", bound=StrEnum | None)

for _enum in (
    CaptureMethod,
    DeclineAdvice,
    OperationKind,
    OperationStatus,
    PaymentStatus,
    RefundStatus,
):
    # GraphQL spells the members as every other surface does: created, captured …
    strawberry.enum(_enum, description=_enum.__doc__, graphql_name_from="value")


def told(description: str) -> KwargDefinition:
    """What is said of a field, to readers of OpenAPI and of the GraphQL schema alike."""
    return KwargDefinition(description=description)


_Way: TypeAlias = Callable[[Any], Any]
"""How a field is made of what payment-client has under its name."""

_WAYS: Final[dict[type, Mapping[str, _Way]]] = {}
"""Every field of every shape, worked out once: answers are made all the time."""


def _way(hint: Any) -> _Way:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    nested = next((kind for kind in kinds if kind in _WAYS), None)
    if nested is not None:
        return lambda value: None if value is None else shown(value, nested)
    if str in kinds:
        return _text
    return get_origin(hint) or _as_it_is  # dict and list copy what payment-client has frozen


def _text(value: object) -> object:
    """Money with all its digits; times as the payment service writes them: to the millisecond,
    with Z."""
    match value:
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        case _:
            return value


def _as_it_is(value: object) -> object:
    return value


@dataclass_transform()
def _shape(cls: type[_Shape]) -> type[_Shape]:
    """A GraphQL type that takes its words from the docstring and the fields' annotations."""
    made = strawberry.type(cls, description=getdoc(cls))
    hints = get_type_hints(made, include_extras=True)
    for field in get_object_definition(made, strict=True).fields:
        field.description = hints[field.python_name].__metadata__[0].description
    _WAYS[made] = {name: _way(hint.__origin__) for name, hint in hints.items()}
    return made


@_shape
class Decline:
    """Why the processor or the card's issuer said no."""

    code: Annotated[str, told('The reason, such as "insufficient_funds".')]
    network_code: Annotated[str, told("The card network's response code; empty if there is none.")]
    advice: Annotated[DeclineAdvice, told("What to do now.")]
    retry_after: Annotated[
        str | None, told("When the same attempt may be repeated; null where nobody knows.")
    ]
    message: Annotated[str, told("A sentence that may be shown to the customer.")]


@_shape
class NextAction:
    """What the customer has to do before an authorization can be decided."""

    type: Annotated[str, told('What it is, such as "challenge".')]
    url: Annotated[str, told("Where to send the customer; empty where no page is needed.")]
    expires_at: Annotated[str, told("The payment expires if it is not completed by then.")]


@_shape
class Payment:
    """One payment. Amounts are decimal strings with all the digits of the currency, times are
    RFC 3339 in UTC."""

    payment_id: Annotated[str, told("UUIDv7.")]
    merchant_id: Annotated[str, told("The merchant whose payment it is.")]
    customer_id: Annotated[str, told("The customer, as the caller names them.")]
    payment_method: Annotated[str, told("The token of the payment method.")]
    capture_method: Annotated[CaptureMethod, told("Whether processing captures at once.")]
    description: Annotated[str, told("The caller's own words; empty where none were given.")]
    metadata: Annotated[dict[str, str], told("The caller's own data.")]
    currency: Annotated[str, told("ISO 4217 code, upper case.")]
    amount: Annotated[str, told("What the payment is for.")]
    status: Annotated[PaymentStatus, told("Where it is in its life.")]
    amount_authorized: Annotated[str, told("What the issuer agreed to.")]
    amount_captured: Annotated[str, told("What was taken.")]
    amount_capturable: Annotated[str, told("What is held and can still be taken.")]
    amount_voided: Annotated[str, told("What was held and is released.")]
    amount_refunded: Annotated[str, told("What went back to the customer.")]
    amount_refund_pending: Annotated[str, told("What is on its way back.")]
    amount_refundable: Annotated[str, told("What can still be given back.")]
    decline: Annotated[
        Decline | None, told("The last attempt's decline; null unless the status is failed.")
    ]
    attempts: Annotated[int, told("How many times authorization was tried.")]
    version: Annotated[int, told("Grows by one with every change; the first is 1.")]
    allowed_actions: Annotated[list[str], told("The actions that are possible now.")]
    created_at: Annotated[str, told("When it was recorded.")]
    updated_at: Annotated[str, told("When it last changed.")]
    next_action: Annotated[
        NextAction | None,
        told("What the customer has to do; null unless the status is requires_action."),
    ]
    authorization_expires_at: Annotated[
        str | None, told("When the hold lapses; null unless something is held.")
    ]
    expires_at: Annotated[
        str | None, told("A payment that nobody has tried by then expires; null: never.")
    ]


@_shape
class Operation:
    """One thing that was asked of the processor for a payment."""

    operation_id: Annotated[str, told("UUIDv7.")]
    kind: Annotated[OperationKind, told("What was asked.")]
    status: Annotated[OperationStatus, told("How far it has come.")]
    amount: Annotated[str, told("What was asked for.")]
    decline: Annotated[Decline | None, told("Why it failed; null otherwise.")]
    created_at: Annotated[str, told("When it was asked for.")]
    settled_at: Annotated[
        str | None, told("When its outcome was recorded; null while it is pending.")
    ]


@_shape
class ProcessedPayment:
    """A payment after an action. A decline is told here; it is no error."""

    payment: Annotated[Payment, told("The payment as it is now.")]
    operation: Annotated[
        Operation | None, told("What was asked of the processor; null where nothing was.")
    ]
    processed_at: Annotated[
        str, told("When the outcome was recorded; of a pending operation, when it was asked for.")
    ]


@_shape
class Refund:
    """Money given back to the customer."""

    refund_id: Annotated[str, told("UUIDv7; the id of the operation that asked for it.")]
    payment_id: Annotated[str, told("The payment it belongs to.")]
    amount: Annotated[str, told("What goes back.")]
    currency: Annotated[str, told("The payment's currency.")]
    status: Annotated[RefundStatus, told("How far it has come; what succeeded may fail later.")]
    reason: Annotated[str, told("The caller's own words; empty where none were given.")]
    decline: Annotated[Decline | None, told("Why it failed; null otherwise.")]
    created_at: Annotated[str, told("When it was asked for.")]
    updated_at: Annotated[str, told("When its status last changed.")]


@_shape
class RefundedPayment:
    """A payment after a refund was asked for, which may be on its way for days."""

    payment: Annotated[Payment, told("The payment as it is now.")]
    operation: Annotated[Operation, told("What was asked of the processor.")]
    refund: Annotated[Refund, told("The refund, by whose id its fate can be followed.")]
    processed_at: Annotated[
        str, told("When the outcome was recorded; of a pending refund, when it was asked for.")
    ]


@_shape
class Event:
    """One change of a payment."""

    event_id: Annotated[str, told("UUIDv7.")]
    payment_id: Annotated[str, told("The payment that changed.")]
    version: Annotated[int, told("The payment's version after the change: 1, 2, 3 and so on.")]
    type: Annotated[str, told('What happened, in the past tense, such as "payment.captured".')]
    occurred_at: Annotated[str, told("When it happened.")]
    payment: Annotated[Payment, told("The payment after the change.")]


def shown(value: object, shape: type[_Shape], **more: object) -> _Shape:
    """`value`, a thing of payment-client, in its shape: with what is said `more`, and without what
    the shape has not."""
    fields = {
        name: way(more[name] if name in more else getattr(value, name))
        for name, way in _WAYS[shape].items()
    }
    return shape(**fields)


def known(field: str, member: _Member) -> _Member:
    """`member`, unless it is the one that stands for what only a newer service knows: that can be
    shown but not asked for. Raises Refused."""
    if member == "unknown":
        raise fields_invalid([FieldViolation(field=field, message="cannot be unknown")])
    return member


def shown_refund(refunded: payment_client.RefundedPayment) -> RefundedPayment:
    """A refund that was asked for, with the time that every other change tells too."""
    at = refunded.operation.settled_at or refunded.operation.created_at
    return shown(refunded, RefundedPayment, processed_at=at)
