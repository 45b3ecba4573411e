"""A batch of payments to create, whichever wire it came on: judged as a whole, then carried out.

What is wrong with one of its items is that item's failure, and nobody else's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from payment_server.api.gate import Gate
from payment_server.domain.commands import CreatePayment
from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.idempotency import Replay
from payment_server.payments import Caller, Outcome, Payments

ITEMS_LIMIT: Final = 1_000
"""In one batch: what the database records in some hundredths of a second. More would gain nothing,
and its caller's deadline has to cover all of it."""

BATCH_LIMIT_BYTES: Final = 1024 * 1024  # a thousand ordinary items have an eighth of it

TURN_ITEMS: Final = 128
"""Begun in one turn of the loop: as many as one statement takes. Then other calls have a turn, and
the database its first rows."""

Item = TypeVar("Item")
Told = TypeVar("Told")


async def create_each(
    payments: Payments,
    gate: Gate,
    merchant_id: str,
    items: Sequence[Item],
    wish: Callable[[Item], tuple[Caller, CreatePayment]],
    tell: Callable[[Outcome | Exception], Told],
) -> list[Told]:
    """What became of each item, in their order, as `tell` says it. `wish` says what an item asks
    for; what it raises is the item's failure, as is what `Payments.create` would raise.

    Raises Overloaded or RateLimited, before anything is done.
    """

    async def created(part: Sequence[Item]) -> list[Told]:
        return [tell(each) for each in await payments.create_each(part, wish)]

    with gate.with_items(merchant_id, len(items)):
        async with asyncio.TaskGroup() as group:
            parts = []
            for begin in range(0, len(items), TURN_ITEMS):
                parts.append(group.create_task(created(items[begin : begin + TURN_ITEMS])))
                await asyncio.sleep(0)
    return [each for part in parts for each in part.result()]


def check_batch(items: Sequence[object], keys: Sequence[str]) -> None:
    """Raises InvalidRequest for too many items or none, and for a key beside theirs."""
    violations = []
    if not items:
        violations.append(Violation("requests", "is required"))
    elif len(items) > ITEMS_LIMIT:
        told = f"has {len(items)} entries; at most {ITEMS_LIMIT} are allowed"
        violations.append(Violation("requests", told))
    if any(keys):
        violations.append(Violation("idempotency_key", "belongs to each of the requests"))
    if violations:
        raise InvalidRequest(violations)


def replay_of(outcome: Outcome) -> str:
    """What a call of its own says as `idempotency-replayed`; empty where it says nothing."""
    return "" if outcome.replay is Replay.NO else outcome.replay
