"""A service lived through: every operation, every outcome, and what is still under way."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp
from recorded_before import make_first_schema, record
from service_under_test import Servers, running, until

from payment.v1 import payment_pb2 as pb
from payment_server.domain.operation import UNKNOWN, Operation, OperationStatus, Verdict
from payment_server.domain.payment import Advice, Decline, Payment
from payment_server.processors.sandbox import Sandbox
from payment_server.store import schema

NO: Final = Verdict(
    status=OperationStatus.FAILED,
    decline=Decline(code="generic_decline", advice=Advice.OTHER, message="No."),
)

QUICK: Final = {"PAYMENT_SANDBOX_SETTLE_MS": "300", "PAYMENT_PROCESSOR_TIMEOUT_MS": "200"}


class Moody(Sandbox):
    """A processor that refuses to give back what is described as `refused`, and never answers
    about what is described as `silent`."""

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        return _mood(payment, await super().capture(payment, operation))

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        return _mood(payment, await super().cancel(payment, operation))

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        return _mood(payment, await super().refund(payment, operation))


def _mood(payment: Payment, verdict: Verdict) -> Verdict:
    if payment.description.startswith("silent"):
        return UNKNOWN
    return NO if payment.description.startswith("refused") else verdict


AUTOMATIC, MANUAL = pb.CAPTURE_METHOD_AUTOMATIC, pb.CAPTURE_METHOD_MANUAL

# The description of a payment; its method and capture method; what is asked, in this order.
LIVES: Final[dict[str, tuple[str, int, list[tuple[str, dict[str, Any]]]]]] = {
    "waits": ("card", AUTOMATIC, []),
    "sale": ("card", AUTOMATIC, [("process", {})]),
    "declined": ("decline:insufficient_funds", AUTOMATIC, [("process", {})]),
    "second attempt": (
        "decline:insufficient_funds",
        AUTOMATIC,
        [("process", {}), ("process", {"payment_method": "card_visa"})],
    ),
    "held": ("card", MANUAL, [("process", {})]),
    "whole": ("card", MANUAL, [("process", {}), ("capture", {})]),
    "parts": (
        "card",
        MANUAL,
        [
            ("process", {}),
            ("capture", {"amount": "3.00"}),
            ("capture", {"amount": "2.00"}),
            ("capture", {"amount": "1.00", "final": True}),
            ("refund", {"amount": "1.50"}),
            ("refund", {"amount": "0.50", "reason": "broken"}),
            ("refund", {}),
        ],
    ),
    "closed": (
        "card",
        MANUAL,
        [("process", {}), ("capture", {"amount": "3.00"}), ("cancel", {})],
    ),
    "canceled": ("card", AUTOMATIC, [("cancel", {})]),
    "canceled hold": ("card", MANUAL, [("process", {}), ("cancel", {})]),
    "canceled decline": ("decline:lost_card", AUTOMATIC, [("process", {}), ("cancel", {})]),
    "canceled challenge": ("card_3ds", AUTOMATIC, [("process", {}), ("cancel", {})]),
    "challenged": ("card_3ds", AUTOMATIC, [("process", {})]),
    "challenge met": ("card_3ds", AUTOMATIC, [("process", {}), ("complete", {})]),
    "challenge held": ("card_3ds", MANUAL, [("process", {}), ("complete", {})]),
    "challenge refused": (
        "card_3ds",
        AUTOMATIC,
        [("process", {}), ("complete", {"result": "refused"})],
    ),
    "lapsing hold": ("card", MANUAL, [("process", {})]),
    "lapsing part": ("card", MANUAL, [("process", {}), ("capture", {"amount": "3.00"})]),
    "lapsing challenge": ("card_3ds", AUTOMATIC, [("process", {})]),
    "timeout": ("card_timeout", AUTOMATIC, [("process", {})]),
    "capture fails": (
        "card_capture_fails",
        MANUAL,
        [("process", {}), ("capture", {"amount": "3.00", "final": True})],
    ),
    "sale fails": ("card_capture_fails", AUTOMATIC, [("process", {})]),
    "refund pending": ("card_refund_pending", AUTOMATIC, [("process", {}), ("refund", {})]),
    "refund late": (
        "card_refund_late_fail",
        AUTOMATIC,
        [("process", {}), ("refund", {"amount": "3.00"}), ("refund", {"amount": "7.00"})],
    ),
    "refused cancel": ("card", MANUAL, [("process", {}), ("cancel", {})]),
    "refused refund": ("card", AUTOMATIC, [("process", {}), ("refund", {"amount": "3.00"})]),
    "silent capture": (
        "card",
        MANUAL,
        [("process", {}), ("capture", {"amount": "3.00", "final": True})],
    ),
    "silent cancel": ("card", MANUAL, [("process", {}), ("cancel", {})]),
    "silent refund": ("card", AUTOMATIC, [("process", {}), ("refund", {"amount": "3.00"})]),
}

ENDS: Final = {
    "expires": "expired",
    "lapsing hold": "expired",
    "lapsing part": "captured",
    "lapsing challenge": "expired",
    "timeout": "captured",
    "refund pending": "refunded",
    "refund late": "captured",
    "processing": "captured",  # of the first schema
}
"""Where time and the workers lead."""


async def live(url: str) -> None:
    """Fills a database: rows of the first schema, migrated, and the lives of the table."""
    connection = await asyncpg.connect(url)
    await make_first_schema(connection)
    before = await record(connection)
    await schema.migrate(url)
    async with running(url, QUICK, Moody(settle_seconds=0.3)) as servers:
        lives: list[Coroutine[Any, Any, object]] = [
            *(_life(servers, name) for name in LIVES),
            _expires(servers),
            _of_others(servers),
            servers.ask(before["authorized"], "capture"),
            servers.ask(before["captured"], "refund", amount="1.00"),
        ]
        await asyncio.gather(*lives)
        await connection.execute(
            "UPDATE payments SET lapses_at = now() WHERE description LIKE 'lapsing %'"
        )
        await until(lambda: _have_ended(connection))
    await connection.close()


async def _life(servers: Servers, name: str) -> None:
    method, capture_method, steps = LIVES[name]
    created = await servers.created(
        description=name,
        payment_method=method,
        capture_method=capture_method,
        metadata={"order": name},
        idempotency_key=f"{name}, created",
    )
    for index, (action, fields) in enumerate(steps):
        key = f"{name}, {index}" if index != 1 else ""  # most callers have one
        await servers.ask(created.payment_id, action, **fields, idempotency_key=key)


async def _expires(servers: Servers) -> None:
    deadline = Timestamp()
    deadline.FromDatetime(datetime.now(UTC) + timedelta(milliseconds=700))
    await servers.created(description="expires", expires_at=deadline)


async def _of_others(servers: Servers) -> None:
    """Another merchant's, in another currency, under a key that somebody else has too."""
    merchant = (("x-merchant-id", "other"),)
    request = pb.CreatePaymentRequest(
        amount="1000", currency="JPY", customer_id="c", idempotency_key="sale, 0"
    )
    created = await servers.stub.CreatePayment(request, metadata=merchant)
    await servers.process(created.payment_id, metadata=merchant)


async def _have_ended(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    rows = await connection.fetch("SELECT description, status FROM payments")
    found = dict(tuple(row) for row in rows)
    late = await connection.fetchval(
        "SELECT count(*) FROM refunds AS r JOIN operations AS o ON operation_id = refund_id"
        " WHERE (r.status, o.status) = ('failed', 'succeeded')"
    )
    return all(found[name] == status for name, status in ENDS.items()) and late == 2
