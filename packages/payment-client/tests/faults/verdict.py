"""What must be true when all is over: what was told, no more and no less, is what there is."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import pytest
from faults.lives import (
    AMOUNT,
    PROCESS,
    Answer,
    Change,
    Life,
    events_of,
    is_pending,
    payment_of,
)

from payment_client import (
    AsyncPaymentClient,
    CaptureMethod,
    OutcomeUnknown,
    Payment,
    PaymentError,
    Unavailable,
)

SETTLE_LIMIT_SECONDS: Final = 20
"""Many times what the service takes to finish what a killed worker has left behind."""
POLL_SECONDS: Final = 0.1


async def settle(direct: AsyncPaymentClient, lives: Sequence[Life]) -> None:
    """Finds out what became of the calls of which nobody knows it: by the same key, over a
    connection that nobody disturbs. What was told to have failed has not happened."""
    found = defaultdict[str, list[Payment]](list)
    async for payment in direct.payments.list(page_size=1_000):
        found[payment.metadata["key"]].append(payment)
    for life in lives:
        if life.goes_on:
            continue
        if life.payment is None:
            await _settle_last(direct, life, found[life.told[0][0].key])
        else:
            await _settle_last(direct, life, [await direct.payments.get(life.payment.payment_id)])


async def _settle_last(direct: AsyncPaymentClient, life: Life, there: list[Payment]) -> None:
    change, outcome = life.told[-1]
    assert len(there) <= 1, f"{change.key} has happened {len(there)} times"
    before = 0 if life.payment is None else life.payment.version
    versions_on = sum(each.version for each in there) - before
    if type(outcome) is Unavailable:
        assert versions_on == 0, f"{change.key} has happened, and its caller was told otherwise"
        return
    if isinstance(outcome, PaymentError):
        assert type(outcome) is OutcomeUnknown, f"{change.key} ended as {outcome!r}"
        assert 0 <= versions_on <= change.step.events
    del life.told[-1]
    if change.step.refusal is None:
        life.tell(change, await _settled(direct, change))
    else:
        with pytest.raises(change.step.refusal):
            await change.ask(direct)


async def _settled(direct: AsyncPaymentClient, change: Change) -> Answer:
    async with asyncio.timeout(SETTLE_LIMIT_SECONDS):
        while True:
            answer = await change.ask(direct)
            if not is_pending(answer):
                return answer
            await asyncio.sleep(POLL_SECONDS)


async def check_payments(direct: AsyncPaymentClient, lives: Sequence[Life]) -> None:
    """Each payment is there once, as it was told last, and is the sum of the told effects; the
    merchant has no others."""
    there = [each async for each in direct.payments.list(page_size=1_000)]
    told = {life.payment.payment_id: life for life in lives if life.payment is not None}
    assert len(there) == len(told)
    for payment in there:
        life = told[payment.payment_id]
        effects = effects_of(life)
        assert payment == life.payment
        assert payment.version == sum(change.step.events for change, _ in effects)
        assert payment.amount_captured == sum(captured_by(*effect) for effect in effects)
        assert payment.amount_refunded == sum(refunded_by(change) for change, _ in effects)


async def check_keys_and_events(direct: AsyncPaymentClient, lives: Sequence[Life]) -> None:
    """Each key stands for what was told, and the events of each payment are without a gap."""
    for life in lives:
        for change, answer in effects_of(life):
            again = await change.ask(direct)
            assert again == answer
            assert again.call.replayed
        if life.payment is not None:
            events = await events_of(direct, life.payment.payment_id)
            assert [each.version for each in events] == [*range(1, life.payment.version + 1)]
            assert events[-1].payment == life.payment


def effects_of(life: Life) -> list[tuple[Change, Answer]]:
    return [
        (change, outcome) for change, outcome in life.told if not isinstance(outcome, PaymentError)
    ]


def captured_by(change: Change, answer: Answer) -> Decimal:
    if change.step.method == "capture":
        return Decimal(change.arguments["amount"])
    payment = payment_of(answer)
    is_sale = change.step is PROCESS and payment.capture_method is CaptureMethod.AUTOMATIC
    return AMOUNT if is_sale and payment.decline is None else Decimal(0)


def refunded_by(change: Change) -> Decimal:
    return Decimal(change.arguments["amount"]) if change.step.method == "refund" else Decimal(0)
