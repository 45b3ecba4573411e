"""A database of the first schema, with rows as the program of that time left them.

That program knew neither events nor transfers nor refunds as rows; what it had under way when it
ended is pending.
"""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from payment_server.domain import ids
from payment_server.store import schema

DECLINE = {
    "code": "insufficient_funds",
    "advice": "later",
    "message": "There is not enough money on the card.",
    "network_code": "51",
}


@dataclass(frozen=True)
class Asked:
    """An operation. The last one of a payment has the payment's description as its key."""

    kind: str
    amount_minor: int = 1000
    status: str = "succeeded"
    captures: bool = False


@dataclass(frozen=True)
class Recorded:
    """A payment of 1000 by its last version."""

    status: str
    version: int
    amounts: dict[str, int] = field(default_factory=dict)
    operations: tuple[Asked, ...] = ()


HELD = {"authorized_minor": 1000}
TAKEN = {**HELD, "captured_minor": 1000}
HOLD = Asked("authorize")
SALE = Asked("authorize", captures=True)

PAYMENTS = {
    "created": Recorded("created", 1),
    "declined": Recorded("failed", 3, operations=(Asked("authorize", status="failed"),)),
    "authorized": Recorded("authorized", 3, HELD, (HOLD,)),
    "captured": Recorded("captured", 3, TAKEN, (SALE,)),
    "captured-later": Recorded("captured", 5, TAKEN, (HOLD, Asked("capture"))),
    "partly-captured": Recorded(
        "partially_captured", 5, {**HELD, "captured_minor": 300}, (HOLD, Asked("capture", 300))
    ),
    "closed": Recorded(
        "captured",
        7,
        {**HELD, "captured_minor": 300, "voided_minor": 700},
        (HOLD, Asked("capture", 300), Asked("cancel", 700)),
    ),
    "canceled": Recorded("canceled", 2, operations=(Asked("cancel", 0),)),
    "released": Recorded("canceled", 5, {**HELD, "voided_minor": 1000}, (HOLD, Asked("cancel"))),
    "partly-refunded": Recorded(
        "partially_refunded", 5, {**TAKEN, "refunded_minor": 300}, (SALE, Asked("refund", 300))
    ),
    "refunded": Recorded("refunded", 5, {**TAKEN, "refunded_minor": 1000}, (SALE, Asked("refund"))),
    "refund-failed": Recorded("captured", 5, TAKEN, (SALE, Asked("refund", 300, "failed"))),
    "processing": Recorded("processing", 2, {}, (Asked("authorize", 1000, "pending", True),)),
    "capturing": Recorded(
        "authorized",
        4,
        {**HELD, "capture_pending_minor": 400},
        (HOLD, Asked("capture", 400, "pending")),
    ),
    "canceling": Recorded(
        "authorized",
        4,
        {**HELD, "void_pending_minor": 1000},
        (HOLD, Asked("cancel", 1000, "pending")),
    ),
    "refunding": Recorded(
        "captured",
        4,
        {**TAKEN, "refund_pending_minor": 200},
        (SALE, Asked("refund", 200, "pending")),
    ),
}

_AMOUNTS = (
    *("authorized_minor", "captured_minor", "capture_pending_minor", "voided_minor"),
    *("void_pending_minor", "refunded_minor", "refund_pending_minor"),
)


async def make_first_schema(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Leaves of a database the first migration alone."""
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.execute(schema._PREPARE)
    first = schema.migrations()[0]
    await connection.execute(first.sql)
    await connection.execute(schema._RECORD, first.number, first.name, first.checksum)


async def record(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    """Stores PAYMENTS in a database of the first schema; returns their ids by their names."""
    # Not so long ago that an authorization which nobody finished is given up.
    changed_at = (datetime.now(UTC) - timedelta(minutes=5)).replace(microsecond=0)
    payment_ids = {}
    for name, recorded in PAYMENTS.items():
        payment = _payment_row(name, recorded, changed_at)
        await _insert(connection, "payments", payment)
        operation = None
        for asked in recorded.operations:
            operation = _operation_row(payment, asked, changed_at)
            is_last = asked is recorded.operations[-1]
            operation["idempotency_key"] = name if is_last else None
            await _insert(connection, "operations", operation)
        if operation is not None:
            await _insert(connection, "idempotency", _key_row(name, payment, operation))
        payment_ids[name] = payment["payment_id"]
    return payment_ids


def _payment_row(name: str, recorded: Recorded, changed_at: datetime) -> dict[str, Any]:
    attempts = sum(asked.kind == "authorize" for asked in recorded.operations)
    return {
        "payment_id": ids.new_id(),
        "merchant_id": "default",
        "customer_id": "cust123",
        "payment_method": "card",
        "capture_method": "automatic",
        "description": name,
        "metadata": {"order": "7", "note": 'ü "quoted"'},
        "currency": "USD",
        "exponent": 2,
        "amount_minor": 1000,
        "status": recorded.status,
        **{column: recorded.amounts.get(column, 0) for column in _AMOUNTS},
        "decline": DECLINE if recorded.status == "failed" else None,
        "attempts": attempts,
        "version": recorded.version,
        "created_at": changed_at - timedelta(hours=1),
        "updated_at": changed_at,
    }


def _operation_row(payment: dict[str, Any], asked: Asked, at: datetime) -> dict[str, Any]:
    return {
        "operation_id": ids.new_id(),
        "payment_id": payment["payment_id"],
        "merchant_id": "default",
        "kind": asked.kind,
        "amount_minor": asked.amount_minor,
        "payment_method": "card",
        "captures": asked.captures,
        "status": asked.status,
        "decline": DECLINE if asked.status == "failed" else None,
        "idempotency_key": None,
        "created_at": at,
        "settled_at": None if asked.status == "pending" else at,
    }


def _key_row(name: str, payment: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    answer = {"format_version": 1, "answer": {"payment": payment, "operation": operation}}
    return {
        "merchant_id": "default",
        "idempotency_key": name,
        "fingerprint": f"\\x{hashlib.sha256(_wish(operation).encode()).hexdigest()}",
        "fingerprint_version": 1,
        "payment_id": payment["payment_id"],
        "operation_id": operation["operation_id"],
        "answer": answer if operation["settled_at"] else None,
        "created_at": operation["created_at"],
    }


def _wish(operation: dict[str, Any]) -> str:
    """What a fingerprint was made of: the step that was asked for, without what was not said."""
    verb, amount_minor = operation["kind"], operation["amount_minor"]
    said = {"payment_id": operation["payment_id"]}
    said["action"] = "process" if operation["captures"] else verb
    if verb in ("capture", "refund"):
        said["amount"] = str(amount_minor // 100)
    return json.dumps(["ProcessPayment", said], separators=(",", ":"))


async def _insert(
    connection: "asyncpg.Connection[asyncpg.Record]", table: str, row: dict[str, Any]
) -> None:
    columns = ", ".join(row)
    await connection.execute(
        f"INSERT INTO {table} ({columns})"
        f" SELECT {columns} FROM json_populate_record(NULL::{table}, $1)",
        json.dumps(row, default=lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")),
    )
