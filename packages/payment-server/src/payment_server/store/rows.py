"""Rows and the domain's structs: which columns there are, in which order, and what they mean."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from payment_server.domain.events import Event, decode_snapshot, encode_snapshot
from payment_server.domain.idempotency import Answer, decode_answer
from payment_server.domain.ids import new_id
from payment_server.domain.operation import (
    Operation,
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
)
from payment_server.domain.payment import (
    CaptureMethod,
    Decline,
    EventType,
    NextAction,
    Payment,
    Status,
)

_CONSTANT: Final = (
    "merchant_id, payment_id, customer_id, capture_method, description, metadata, currency,"
    " exponent, amount_minor, created_at, expires_at"
)
CHANGING: Final = (
    "payment_method, status, authorized_minor, captured_minor, capture_pending_minor,"
    " voided_minor, void_pending_minor, refunded_minor, refund_pending_minor, decline,"
    " next_action, attempts, updated_at, lapses_at"
)
PAYMENT: Final = f"{_CONSTANT}, {CHANGING}, version"
_PAYMENT_WIDTH: Final = len(PAYMENT.split(","))
CREATED: Final = f"{_CONSTANT}, payment_method"
"""What a new payment brings; all else in its row follows from it."""
BEGUN: Final = (
    "operation_id, kind, status, amount_minor, captures, payment_method, decline, idempotency_key,"
    " settled_at, released_minor, completes, words"
)
"""What a new operation brings; all else in its row is its payment's."""
OPERATION: Final = f"merchant_id, payment_id, created_at, {BEGUN}"
REFUND: Final = (
    "merchant_id, refund_id, payment_id, amount_minor, currency, exponent, status, reason,"
    " decline, created_at, updated_at"
)
EVENT: Final = "event_id, type, status_before, snapshot"
OF_CHANGE: Final = "merchant_id, payment_id, version, status, customer_id, occurred_at"
"""What an event repeats of its payment's row."""
KEY: Final = (
    "merchant_id, idempotency_key, fingerprint, fingerprint_version, payment_id, operation_id,"
    " answer, created_at"
)

_NAMES_OF_TYPE: Final = {
    "text": """
        merchant_id customer_id payment_method capture_method description currency status kind
        idempotency_key words reason type status_before""",
    "uuid": "payment_id operation_id completes refund_id event_id",
    "jsonb": "metadata decline next_action",
    "json": "snapshot answer",
    "smallint": "exponent attempts fingerprint_version",
    "bigint": """
        amount_minor authorized_minor captured_minor capture_pending_minor voided_minor
        void_pending_minor refunded_minor refund_pending_minor released_minor version""",
    "timestamptz": "created_at updated_at settled_at expires_at lapses_at",
    "boolean": "captures",
    "bytea": "fingerprint",
}
_TYPES: Final = {name: each for each, names in _NAMES_OF_TYPE.items() for name in names.split()}
"""A name has the same type in every table."""

# Calling an Enum, and a decoder that is made for the call, take ten times as long.
_STATUSES: Final = {each.value: each for each in Status}
_CAPTURE_METHODS: Final = {each.value: each for each in CaptureMethod}
_METADATA: Final = msgspec.json.Decoder(dict[str, str])


class Key(msgspec.Struct, frozen=True):
    """A key as a request brings it."""

    text: str
    fingerprint: bytes


class BoundKey(msgspec.Struct, frozen=True):
    """A key as it is stored. `answer` is None while the outcome is outstanding."""

    fingerprint: bytes
    payment_id: str
    operation_id: str | None
    answer: Answer | None


def typed(prefix: str, columns: str) -> Sequence[tuple[str, str]]:
    """The columns of a table as those of a row that is brought, each with its type."""
    return [(f"{prefix}_{name}", _TYPES[name]) for name in _names(columns)]


def brought(prefix: str, columns: str) -> str:
    """What a row brings for these columns."""
    return ", ".join(f"{prefix}_{name}" for name in _names(columns))


def columns_of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{name}" for name in _names(columns))


def prefixed(prefix: str, columns: str) -> str:
    return ", ".join(f"{prefix}.{name} AS {prefix}_{name}" for name in _names(columns))


def _names(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",")]


def changing_row(payment: Payment) -> Sequence[object]:
    return (
        payment.payment_method,
        payment.status,
        payment.authorized_minor,
        payment.captured_minor,
        payment.capture_pending_minor,
        payment.voided_minor,
        payment.void_pending_minor,
        payment.refunded_minor,
        payment.refund_pending_minor,
        as_json(payment.decline),
        as_json(payment.next_action),
        payment.attempts,
        payment.updated_at,
        payment.lapses_at,
    )


def created_row(payment: Payment) -> Sequence[object]:
    return (
        payment.merchant_id,
        payment.payment_id,
        payment.customer_id,
        payment.capture_method,
        payment.description,
        as_json(payment.metadata),
        payment.currency,
        payment.exponent,
        payment.amount_minor,
        payment.created_at,
        payment.expires_at,
        payment.payment_method,
    )


def begun_row(operation: Operation) -> Sequence[object]:
    return (
        operation.operation_id,
        operation.kind,
        operation.status,
        operation.amount_minor,
        operation.captures,
        operation.payment_method,
        as_json(operation.decline),
        operation.idempotency_key,
        operation.settled_at,
        operation.released_minor,
        operation.completes,
        operation.words,
    )


def event_row(before: Payment, after: Payment, event: EventType) -> Sequence[object]:
    return new_id(), event, before.status, encode_snapshot(after)


def payment_of(row: asyncpg.Record) -> Payment:
    """The payment whose columns, those of PAYMENT, are the row's first.

    By their places: looking names up takes four times as long.
    """
    # fmt: off
    (
        merchant_id, payment_id, customer_id, capture_method, description, metadata, currency,
        exponent, amount_minor, created_at, expires_at, payment_method, status,
        authorized_minor, captured_minor, capture_pending_minor, voided_minor, void_pending_minor,
        refunded_minor, refund_pending_minor, decline, next_action, attempts, updated_at,
        lapses_at, version,
    ) = row[:_PAYMENT_WIDTH]
    # fmt: on
    return Payment(
        payment_id=str(payment_id),
        merchant_id=merchant_id,
        customer_id=customer_id,
        payment_method=payment_method,
        capture_method=_CAPTURE_METHODS[capture_method],
        description=description,
        metadata=_METADATA.decode(metadata),
        currency=currency,
        exponent=exponent,
        amount_minor=amount_minor,
        status=_STATUSES[status],
        authorized_minor=authorized_minor,
        captured_minor=captured_minor,
        capture_pending_minor=capture_pending_minor,
        voided_minor=voided_minor,
        void_pending_minor=void_pending_minor,
        refunded_minor=refunded_minor,
        refund_pending_minor=refund_pending_minor,
        decline=_decline(decline),
        next_action=_next_action(next_action),
        attempts=attempts,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
        expires_at=expires_at,
        lapses_at=lapses_at,
    )


def operation_of(row: asyncpg.Record, prefix: str = "") -> Operation:
    def column(name: str) -> Any:
        return row[prefix + name]

    return Operation(
        operation_id=str(column("operation_id")),
        payment_id=str(column("payment_id")),
        merchant_id=column("merchant_id"),
        kind=OperationKind(column("kind")),
        status=OperationStatus(column("status")),
        amount_minor=column("amount_minor"),
        captures=column("captures"),
        released_minor=column("released_minor"),
        completes=str(column("completes")) if column("completes") else None,
        words=column("words"),
        payment_method=column("payment_method"),
        decline=_decline(column("decline")),
        idempotency_key=column("idempotency_key"),
        created_at=column("created_at"),
        settled_at=column("settled_at"),
    )


def refund_of_row(row: asyncpg.Record) -> Refund:
    return Refund(
        refund_id=str(row["refund_id"]),
        payment_id=str(row["payment_id"]),
        merchant_id=row["merchant_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        exponent=row["exponent"],
        status=RefundStatus(row["status"]),
        reason=row["reason"],
        decline=_decline(row["decline"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def event_of(row: asyncpg.Record) -> Event:
    return Event(
        event_id=str(row["event_id"]),
        type=EventType(row["type"]),
        occurred_at=row["occurred_at"],
        payment=decode_snapshot(row["snapshot"]),
    )


def bound_key_of(row: asyncpg.Record, prefix: str = "") -> BoundKey:
    operation_id: UUID | None = row[prefix + "operation_id"]
    answer: str | None = row[prefix + "answer"]
    return BoundKey(
        fingerprint=row[prefix + "fingerprint"],
        payment_id=str(row[prefix + "payment_id"]),
        operation_id=str(operation_id) if operation_id else None,
        answer=decode_answer(answer) if answer else None,
    )


def _decline(text: str | None) -> Decline | None:
    return None if text is None else msgspec.json.decode(text, type=Decline)


def _next_action(text: str | None) -> NextAction | None:
    return None if text is None else msgspec.json.decode(text, type=NextAction)


def as_json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
