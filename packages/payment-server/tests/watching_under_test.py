"""Readers of watches, and writers of events who hold their transactions open."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import grpc
import httpx
from service_under_test import Servers

from payment.v1 import payment_pb2 as pb
from payment_server.domain.events import encode_snapshot
from payment_server.domain.ids import new_id
from payment_server.domain.payment import CaptureMethod, Payment

Answers: TypeAlias = "grpc.aio.UnaryStreamCall[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse]"

HEARING_LIMIT_SECONDS = 20.0


async def opened(
    servers: Servers, merchant: str = "default", **wish: str | bool
) -> tuple[Answers, str]:
    """A watch that has begun, and its first cursor."""
    request = pb.WatchPaymentsRequest(**wish)  # type: ignore[arg-type]
    answers = servers.stub.WatchPayments(request, metadata=(("x-merchant-id", merchant),))
    first = await next_answer(answers)
    assert not first.HasField("event")
    return answers, first.cursor


async def next_answer(answers: Answers) -> pb.WatchPaymentsResponse:
    async with asyncio.timeout(HEARING_LIMIT_SECONDS):
        answer = await answers.read()
    assert isinstance(answer, pb.WatchPaymentsResponse)
    return answer


async def heard(answers: Answers, count: int) -> list[pb.WatchPaymentsResponse]:
    """The next answers with an event."""
    found: list[pb.WatchPaymentsResponse] = []
    while len(found) < count:
        answer = await next_answer(answers)
        if answer.HasField("event"):
            found.append(answer)
    return found


def said(answers: list[pb.WatchPaymentsResponse]) -> list[tuple[str, int]]:
    return [(each.event.payment_id, each.event.version) for each in answers]


@dataclass
class Sent:
    """One server-sent event; `id` alone where only the cursor has moved."""

    id: str = ""
    event: str = ""
    data: str = ""


async def sent(response: httpx.Response) -> AsyncIterator[Sent]:
    """What an EventSource would make of the lines."""
    current = Sent()
    async for line in response.aiter_lines():
        if not line:
            yield current
            current = Sent()
            continue
        name, _, value = line.partition(": ")
        setattr(current, name, value)


_TEMPLATE = Payment(
    payment_id="@payment",
    merchant_id="default",
    customer_id="@customer",
    payment_method="card",
    capture_method=CaptureMethod.AUTOMATIC,
    description="",
    metadata={},
    currency="USD",
    exponent=2,
    amount_minor=1000,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)

APPEND = """
INSERT INTO events (merchant_id, payment_id, version, event_id, type, status_before, status,
  customer_id, occurred_at, snapshot)
SELECT 'default', payment_id, version, gen_random_uuid(),
  CASE WHEN version = 1 THEN 'payment.created' ELSE 'payment.capture_started' END,
  CASE WHEN version > 1 THEN 'authorized' END,
  CASE WHEN version = 1 THEN 'created' ELSE 'authorized' END,
  customer_id, now(),
  replace(replace(replace($5, '@payment', payment_id::text), '@customer', customer_id),
    '"version":1', '"version":' || version)::json
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[])
    AS payment (payment_id, customer_id, last, more),
  generate_series(last + 1, last + more) AS version
"""
"""Appends `more` versions to each payment; without rows of their own, for only events are read."""

SNAPSHOT = encode_snapshot(_TEMPLATE)


@dataclass
class Writer:
    """Appends events to payments of its own, several to a transaction, and takes its time."""

    url: str
    seed: int
    customers: tuple[str, ...]
    hold_seconds: float
    payments: dict[str, str] = field(default_factory=dict)
    """Customer by payment."""
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """What is committed."""

    def written(self, customer: str) -> dict[str, int]:
        """The versions of the customer's payments, or of all for none."""
        return {
            payment_id: version
            for payment_id, version in self.versions.items()
            if customer in ("", self.payments[payment_id])
        }

    async def write(self, events: int, *, payments: int = 40, at_once: int = 250) -> None:
        """Commits about so many events; gives up one transaction of ten."""
        chance = random.Random(self.seed)
        for _ in range(payments):
            self.payments[new_id()] = chance.choice(self.customers)
        connection = await asyncpg.connect(self.url)
        try:
            while sum(self.versions.values()) < events:
                await self._transaction(connection, chance, at_once)
        finally:
            await connection.close()

    async def _transaction(
        self, connection: "asyncpg.Connection[asyncpg.Record]", chance: random.Random, most: int
    ) -> None:
        chosen = chance.sample(sorted(self.payments), chance.randint(1, len(self.payments)))
        more = [chance.randint(1, max(1, 2 * most // len(self.payments))) for _ in chosen]
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            APPEND,
            chosen,
            [self.payments[each] for each in chosen],
            [self.versions[each] for each in chosen],
            more,
            SNAPSHOT,
        )
        await asyncio.sleep(chance.random() * self.hold_seconds)
        if chance.random() < 0.1:
            await transaction.rollback()
            return
        await transaction.commit()
        for payment_id, count in zip(chosen, more, strict=True):
            self.versions[payment_id] += count
