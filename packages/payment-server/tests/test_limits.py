"""Rate limits: in one process, shared by several through Redis, and when Redis goes away."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from service_under_test import until
from valkey import Valkey

from payment_server import cache
from payment_server import limits as module
from payment_server.cache import Cache
from payment_server.domain.errors import RateLimited
from payment_server.domain.rate import SECOND_NS, Rate
from payment_server.limits import LEAD_SECONDS, Limits
from payment_server.workers import beside

SLOW = Rate.of(per_second=20, burst=5)
QUICK = Rate.of(per_second=2_000, burst=300)
HOUR_SECONDS = 3_600
HOUR = Rate(1, HOUR_SECONDS * SECOND_NS, 4 * HOUR_SECONDS * SECOND_NS)
"""Five at once, and one an hour: nothing is paid off while a test runs."""

Process = Callable[[Rate], AbstractAsyncContextManager[Limits]]


@asynccontextmanager
async def process(rate: Rate, url: str | None) -> AsyncIterator[Limits]:
    """The limits of one process, as the service runs them."""
    redis = Cache(url)
    await redis.probe()
    limits = Limits(rate, redis)
    async with beside(("redis", redis.probe, 0.1), ("limits", limits.share, 0.0)):
        yield limits
    await redis.close()


@pytest.fixture(params=["alone", "shared"])
def one(request: pytest.FixtureRequest) -> Process:
    """A process with its own limits, without Redis and with one."""
    if request.param == "alone":
        return lambda rate: process(rate, None)
    valkey: Valkey = request.getfixturevalue("valkey")
    return lambda rate: process(rate, valkey.url)


@pytest.fixture
def any_of_many(valkey: Valkey) -> Process:
    """One of the processes that share a Redis."""
    return lambda rate: process(rate, valkey.url)


async def is_let_in(limits: Limits, merchant_id: str = "m") -> bool:
    try:
        await limits.admit(merchant_id)
    except RateLimited:
        return False
    return True


async def count(limits: Limits, calls: int, merchant_id: str = "m") -> int:
    """How many of so many calls at once are let in."""
    return sum(await asyncio.gather(*(is_let_in(limits, merchant_id) for _ in range(calls))))


async def wait_of(limits: Limits, merchant_id: str = "m") -> float:
    with pytest.raises(RateLimited) as caught:
        await limits.admit(merchant_id)
    assert caught.value.retry_after_seconds is not None
    return caught.value.retry_after_seconds


async def hours_of(limits: Limits) -> int:
    return math.ceil(await wait_of(limits) / HOUR_SECONDS)


async def driven(limits: Limits, seconds: float) -> int:
    """How many calls are let in of more than may be."""
    found, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        found += await count(limits, 20)
        await asyncio.sleep(0.002)
    return found


async def test_a_burst_is_let_in_and_the_rest_is_refused(one: Process) -> None:
    async with one(HOUR) as limits:
        assert await count(limits, 20) == 5


async def test_who_waits_as_long_as_told_is_let_in(one: Process) -> None:
    async with one(Rate.of(per_second=2, burst=2)) as limits:  # half a second to be refused in
        await count(limits, 2)
        for _ in range(2):
            await asyncio.sleep(await wait_of(limits))
            await limits.admit("m")


async def test_a_refusal_costs_nothing_of_what_is_left(one: Process) -> None:
    async with one(HOUR) as limits:
        await count(limits, 5)
        before = await wait_of(limits)
        assert await count(limits, 100) == 0
        assert await wait_of(limits) <= before


async def test_a_merchant_is_not_refused_for_what_others_do(one: Process) -> None:
    async with one(HOUR) as limits:
        greedy = asyncio.create_task(count(limits, 200, "greedy"))
        modest = [await is_let_in(limits, "modest") for _ in range(5)]
        assert (await greedy, modest) == (5, [True] * 5)


async def test_a_heavy_call_is_paid_off_by_those_after_it(one: Process) -> None:
    async with one(HOUR) as limits:
        await limits.admit("m")
        limits.charge("m", 99)
        assert await hours_of(limits) == 96  # 100 were let in, and 4 may be owed


async def test_of_heavy_calls_at_once_one_is_let_in(one: Process) -> None:
    async with one(HOUR) as limits:
        assert await count(limits, 5) == 5
        limits.charge("m", 699)
        for _ in range(4):
            with pytest.raises(RateLimited):
                limits.charge("m", 699)
        assert await hours_of(limits) == 700
        with pytest.raises(RateLimited):
            limits.charge("m", 699)


async def test_the_last_call_of_a_burst_may_be_heavy(one: Process) -> None:
    async with one(HOUR) as limits:
        assert await count(limits, 5) == 5
        limits.charge("m", 1)
        assert await hours_of(limits) == 2


async def test_the_memory_for_merchants_is_bounded(
    one: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MERCHANTS_LIMIT", 10)
    async with one(HOUR) as limits:
        for number in range(100):
            await limits.admit(f"m{number}")
        assert len(limits._recent) + len(limits._before) <= 20


async def test_who_calls_on_is_remembered_by_all_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MERCHANTS_LIMIT", 10)
    async with process(HOUR, None) as limits:
        await count(limits, 5)
        for number in range(100):
            await limits.admit(f"m{number}")
            assert not await is_let_in(limits)


async def test_processes_share_one_burst(any_of_many: Process) -> None:
    async with any_of_many(HOUR) as first, any_of_many(HOUR) as second:
        assert sum(await asyncio.gather(count(first, 20), count(second, 20))) == 5


async def test_a_heavy_call_in_one_process_is_paid_off_in_all(any_of_many: Process) -> None:
    async with any_of_many(HOUR) as first, any_of_many(HOUR) as second:
        await first.admit("m")
        first.charge("m", 99)
        await first.admit("other")  # who asks Redis, and so has told it by then
        assert await hours_of(second) == 96


async def test_of_heavy_calls_in_several_processes_nothing_is_forgiven(
    any_of_many: Process,
) -> None:
    async with any_of_many(HOUR) as first, any_of_many(HOUR) as second, any_of_many(HOUR) as third:
        for each in (first, second):
            await each.admit("m")
        for each in (first, second):
            each.charge("m", 999)
            await each.admit("other")  # who asks Redis, and so has told it by then
        assert await hours_of(third) == 2_000 - 4


@pytest.mark.parametrize("rate", [SLOW, QUICK], ids=["slow", "quick"])
async def test_processes_together_keep_the_rate(any_of_many: Process, rate: Rate) -> None:
    lead = int(rate.per_second * LEAD_SECONDS)
    async with any_of_many(rate) as first, any_of_many(rate) as second:
        began = time.monotonic()
        found = sum(await asyncio.gather(driven(first, 1.0), driven(second, 1.0)))
        seconds = time.monotonic() - began
    burst = rate.tolerance_ns // rate.interval_ns + 1
    assert burst < found <= burst + rate.per_second * seconds + 2 * lead


async def noticed(limits: Limits, *, is_up: bool) -> None:
    async def is_noticed() -> bool:
        return limits._cache.is_up is is_up

    await until(is_noticed)


def is_let_in_at_once(limits: Limits, merchant_id: str) -> bool:
    """Whether a call is let in; it must not wait for anything, not even for its turn."""
    with pytest.raises(StopIteration) as ended:
        is_let_in(limits, merchant_id).send(None)
    return bool(ended.value.value)


@pytest.mark.usefixtures("hasty")
async def test_while_redis_is_away_nobody_waits_and_nothing_is_forgotten(valkey: Valkey) -> None:
    async with process(HOUR, valkey.url) as limits:
        assert await count(limits, 3) == 3
        valkey.freeze()
        await noticed(limits, is_up=False)
        assert [is_let_in_at_once(limits, "m") for _ in range(4)] == [True, True, False, False]
        assert sum(is_let_in_at_once(limits, "other") for _ in range(20)) == 5
        valkey.thaw()


@pytest.mark.usefixtures("hasty")
async def test_a_heavy_call_while_redis_goes_is_paid_off_once(valkey: Valkey) -> None:
    async with process(HOUR, valkey.url) as limits, process(HOUR, valkey.url) as other:
        await limits.admit("m")
        valkey.freeze()
        limits.charge("m", 99)
        await noticed(limits, is_up=False)
        assert await hours_of(limits) == 96
        valkey.thaw()
        for each in (limits, other):
            await noticed(each, is_up=True)
        assert await hours_of(limits) == 96
        await count(other, 5)
        assert await hours_of(other) <= 96  # Redis may have been told of it before it froze, or not


async def test_calls_that_wait_when_redis_goes_are_judged_alone(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "QUICK_LIMIT_SECONDS", 0.05)
    async with process(HOUR, valkey.url) as limits:
        valkey.freeze()
        async with asyncio.timeout(module.WAIT_LIMIT_SECONDS / 2):  # as soon as it is known
            assert await count(limits, 20) == 5
        valkey.thaw()


async def test_no_call_waits_for_redis_beyond_its_limit(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_LIMIT_SECONDS", 0.1)
    async with process(HOUR, valkey.url) as limits:
        valkey.freeze()
        async with asyncio.timeout(cache.QUICK_LIMIT_SECONDS / 2):
            assert await count(limits, 20) == 5
        valkey.thaw()


async def test_after_a_restart_of_redis_the_limit_is_shared_again(valkey: Valkey) -> None:
    async with process(HOUR, valkey.url) as first, process(HOUR, valkey.url) as second:
        assert await count(first, 20) == 5
        await valkey.stop()
        await noticed(first, is_up=False)
        assert not await is_let_in(first)
        await valkey.start()
        for each in (first, second):
            await noticed(each, is_up=True)
        assert await count(first, 20, "n") + await count(second, 20, "n") == 5


async def test_callers_that_leave_do_not_take_what_others_wait_for(valkey: Valkey) -> None:
    async with process(HOUR, valkey.url) as limits:
        valkey.freeze()
        leaving = [asyncio.create_task(is_let_in(limits)) for _ in range(5)]
        staying = [asyncio.create_task(is_let_in(limits)) for _ in range(5)]
        await asyncio.sleep(0.01)
        for each in leaving:
            each.cancel()
        await asyncio.sleep(0)
        valkey.thaw()
        async with asyncio.timeout(module.WAIT_LIMIT_SECONDS / 2):
            assert sum(await asyncio.gather(*staying)) == 5
