"""kill -9 of the server between the phases of each operation, and again while it recovers: one
effect or none, and whoever asks with the same key hears of that one."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import grpc
import killed_calls
import pytest
from auditing import differences_in
from killable_server import Place, key_of
from killed_calls import (
    CASES,
    Call,
    Case,
    Killable,
    check_answer,
    killable_server,
    prepared,
    recovered,
    state_at,
    state_of,
)
from processor_outside import OutsideProcess, outside_process
from service_under_test import SCALE, until

from payment.v1 import payment_pb2 as pb
from payment_server.store.database import Database

StartKillable: TypeAlias = Callable[..., AbstractAsyncContextManager[Killable]]


@pytest.fixture(autouse=True)
async def everything_adds_up(database_url: str) -> AsyncIterator[None]:
    yield
    assert await differences_in(database_url) == {}


@pytest.fixture
async def outside() -> AsyncIterator[OutsideProcess]:
    async with outside_process() as process:
        yield process


@pytest.fixture
def start_killable(database_url: str, outside: OutsideProcess) -> StartKillable:
    return partial(killable_server, database_url, outside)


@pytest.fixture
async def neighbours(database_url: str, outside: OutsideProcess) -> AsyncIterator[None]:
    async with killed_calls.neighbours(database_url, outside):
        yield


async def killed_on_its_way(killable: Killable, calls: Sequence[Call]) -> None:
    """Makes the calls, all of which die with the server and hear nothing of their outcome."""
    answers = [asyncio.ensure_future(call.answer(killable.servers)) for call in calls]
    await killable.died()
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(answer, grpc.aio.AioRpcError)
        assert answer.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.usefixtures("neighbours")
@pytest.mark.parametrize("place", Place)
async def test_a_server_killed_between_two_phases_leaves_one_effect_or_none_and_tells_of_it(
    start_killable: StartKillable, outside: OutsideProcess, database: Database, place: Place
) -> None:
    cases = [case for case in CASES if place in case.places]
    async with start_killable(arrivals=len(cases)) as first:
        calls = await asyncio.gather(
            *(prepared(first.servers, case, key_of(case.name, place)) for case in cases)
        )
        await killed_on_its_way(first, calls)
    for call in calls:
        assert await state_of(database, outside, call) == state_at(place, call.case), call.key
    async with start_killable(generation=1) as second:
        await recovered(database)
        for call in calls:
            is_begun = place is not Place.BEFORE_INTENT
            due = ("done", int(call.case.asks_processor)) if is_begun else ("nothing", 0)
            assert await state_of(database, outside, call) == due, call.key
        for call in calls:
            await check_answer(second.servers, outside, call)


@pytest.mark.usefixtures("neighbours")
async def test_a_batch_that_was_killed_on_its_way_is_finished_by_the_same_batch(
    start_killable: StartKillable, database: Database
) -> None:
    places = [Place.AFTER_INTENT, Place.BEFORE_INTENT] * 20
    requests = [
        pb.CreatePaymentRequest(
            amount="10.00", customer_id="cust123", idempotency_key=key_of(str(number), place)
        )
        for number, place in enumerate(places)
    ]
    batch = pb.BatchCreatePaymentsRequest(requests=requests)
    async with start_killable(arrivals=len(places)) as first:
        answer = asyncio.ensure_future(first.servers.stub.BatchCreatePayments(batch))
        await first.died()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await stored(database) == places.count(Place.AFTER_INTENT)
    async with start_killable(generation=1) as second:
        results = (await second.servers.stub.BatchCreatePayments(batch)).results
        again = (await second.servers.stub.BatchCreatePayments(batch)).results
    assert [each.idempotency_replayed for each in results] == ["true", ""] * 20
    assert [each.created for each in again] == [each.created for each in results]
    assert await stored(database) == len({each.created.payment_id for each in results}) == 40


async def stored(database: Database) -> int:
    [[count]] = await database.read("SELECT count(*) FROM payments")
    return int(count)


# The recovery is killed as well.

AGAIN = (Place.BEFORE_PROCESSOR, Place.AFTER_EFFECT, Place.BEFORE_BOOKING, Place.AFTER_BOOKING)
THEN: Mapping[Place, tuple[Place, ...]] = {
    Place.BEFORE_INTENT: (),
    Place.AFTER_INTENT: AGAIN,
    Place.BEFORE_PROCESSOR: AGAIN,
    Place.AFTER_EFFECT: AGAIN[2:],  # a look-up finds the effect
    Place.BEFORE_BOOKING: AGAIN[2:],
    Place.AFTER_BOOKING: (),
}
"""Where the recovery comes from each place; what has no intent, or is done, needs none."""

LAST_GENERATION = 3  # no key names a place for it

Plan: TypeAlias = list[tuple[Case, tuple[Place, ...]]]


RECOVERED_CASES = (
    "authorization with capture",
    *("completion", "final capture", "canceled hold", "refund"),
)


def every_place_again() -> Plan:
    """As many as a recovery takes up at once."""
    cases = [case for case in CASES if case.name in RECOVERED_CASES]
    return [(case, (Place.AFTER_INTENT, place)) for case in cases for place in AGAIN]


def random_places(dice: random.Random) -> Plan:
    """Up to three kills in sequence for each call."""
    plan = []
    for case in CASES:
        places = [dice.choice(case.places)]
        kills = dice.randint(1, LAST_GENERATION)
        while THEN[places[-1]] and case.asks_processor and len(places) < kills:
            places.append(dice.choice(THEN[places[-1]]))
        plan.append((case, tuple(places)))
    return plan


async def until_leases_are_over(database: Database) -> None:
    """From then on a recovery takes up everything at once."""

    async def none_is_left() -> bool:
        return not await database.read("SELECT 1 FROM operations WHERE lease_until > now()")

    await until(none_is_left)


async def killed_again_and_again(
    start_killable: StartKillable, outside: OutsideProcess, database: Database, plan: Plan
) -> list[Call]:
    """Each call of the plan, killed at its first place, its recovery at the next, and so on."""
    calls: list[Call] = []
    for generation in range(max(len(places) for _, places in plan)):
        await until_leases_are_over(database)
        arrivals = sum(len(places) > generation for _, places in plan)
        async with start_killable(generation=generation, arrivals=arrivals) as killable:
            if calls:
                await killable.died()
            else:
                calls = await asyncio.gather(
                    *(
                        prepared(killable.servers, case, key_of(str(number), *places))
                        for number, (case, places) in enumerate(plan)
                    )
                )
                await killed_on_its_way(killable, calls)
        for call, (case, places) in zip(calls, plan, strict=True):
            if len(places) > generation:
                due = state_at(places[generation], case)
                assert await state_of(database, outside, call) == due, call.key
    return calls


@pytest.mark.scaled
@pytest.mark.parametrize("round_", range(SCALE))
async def test_a_recovery_that_is_killed_is_recovered_from(
    start_killable: StartKillable, outside: OutsideProcess, database: Database, round_: int
) -> None:
    # Of the run's seed and the round: each test begins with the run's seed.
    dice = random.Random(f"{random.getrandbits(64)} {round_}")
    plan = random_places(dice) if round_ else every_place_again()
    calls = await killed_again_and_again(start_killable, outside, database, plan)
    async with start_killable(generation=LAST_GENERATION) as last:
        await recovered(database)
        for call in calls:
            await check_answer(last.servers, outside, call)
