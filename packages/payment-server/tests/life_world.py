"""The real service with a processor that speaks when it is let, and a second worker beside it."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from service_under_test import Servers, until

from payment.v1 import payment_pb2 as pb
from payment_server import workers
from payment_server.domain.errors import IllegalStep
from payment_server.domain.operation import UNKNOWN, Operation, OperationStatus, Verdict
from payment_server.domain.payment import Payment
from payment_server.payments import Payments
from payment_server.processors.sandbox import Sandbox
from payment_server.store import payments as store
from payment_server.store.database import Database

MERCHANT = "default"
STEP_LIMIT_SECONDS = 30.0

Answer = TypeVar("Answer")


class Outside(Sandbox):
    """The sandbox when all refunds are settled; while it `is_silent`, and of operations that it
    was silent about, it says nothing before it may."""

    def __init__(self) -> None:
        long_after = datetime.now(UTC) + timedelta(days=365)
        super().__init__(settle_seconds=24 * 3600.0, clock=lambda: long_after)
        self.is_silent = False
        self.may_say: set[str] = set()

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        return UNKNOWN if self.is_silent else await super().authorize(payment, operation)

    async def complete(self, payment: Payment, operation: Operation) -> Verdict:
        return UNKNOWN if self.is_silent else await super().complete(payment, operation)

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        return UNKNOWN if self.is_silent else await super().capture(payment, operation)

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        return UNKNOWN if self.is_silent else await super().cancel(payment, operation)

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        return UNKNOWN if self.is_silent else await super().refund(payment, operation)

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        is_pending = operation.status is OperationStatus.PENDING
        if is_pending and operation.operation_id not in self.may_say:
            return UNKNOWN
        return await super().look_up(payment, operation)


@dataclass(frozen=True)
class World:
    """The service, the processor behind it, and a second worker on the same database."""

    servers: Servers
    outside: Outside
    database: Database
    payments: Payments
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """From the thread of the state machine, in the service's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(STEP_LIMIT_SECONDS)

    async def send(self, request: Message) -> tuple[Any, str]:
        """The reply, and how it is marked as a replay."""
        name = type(request).__name__.removesuffix("Request")
        call = getattr(self.servers.stub, name)(request)
        reply = await call
        trailing = dict(await call.trailing_metadata())
        return reply, trailing.get("idempotency-replayed", "")

    async def read(self, payment_id: str) -> pb.Payment:
        request = pb.GetPaymentRequest(payment_id=payment_id)
        return (await self.servers.stub.GetPayment(request)).payment

    async def let_say(self, operation_id: str) -> None:
        """The processor says what became of an operation, or of a refund that had succeeded."""
        self.outside.may_say.add(operation_id)

        async def is_said() -> bool:
            await self.database.write(_MAKE_DUE, operation_id, repeatable=True)
            await workers.look_up_due(self.database, self.payments)
            return not await self.database.read(_IS_OUTSTANDING, operation_id)

        await until(is_said)

    async def end_time(self, payment_id: str) -> None:
        """The payment's deadline, challenge or hold ends now, unless something is under way."""
        payment = await store.get(self.database, MERCHANT, payment_id)
        assert payment is not None
        with suppress(IllegalStep):
            await self.payments.lapse(payment)

    async def events(self, payment_id: str) -> list[pb.Event]:
        request = pb.ListPaymentEventsRequest(payment_id=payment_id, page_size=7)
        found: list[pb.Event] = []
        while True:
            page = await self.servers.stub.ListPaymentEvents(request)
            found += page.events
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def refunds(self, payment_id: str) -> list[pb.Refund]:
        request = pb.ListRefundsRequest(payment_id=payment_id)
        return list((await self.servers.stub.ListRefunds(request)).refunds)

    async def moved(self, payment_id: str) -> Counter[tuple[str, str]]:
        """What the ledger moved from one account to another."""
        rows = await self.database.read(_MOVED, payment_id)
        return Counter({(row["debit"], row["credit"]): row["total"] for row in rows})


_MAKE_DUE = """
UPDATE operations SET lease_until = now() - interval '1 second'
WHERE operation_id = $1 AND lease_until IS NOT NULL RETURNING true
"""
_IS_OUTSTANDING = "SELECT true FROM operations WHERE operation_id = $1 AND lease_until IS NOT NULL"
_MOVED = """
SELECT debit_account AS debit, credit_account AS credit, sum(amount_minor)::bigint AS total
FROM transfers WHERE payment_id = $1 GROUP BY 1, 2
"""
