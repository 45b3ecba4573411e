"""Redis is optional: told when it is away, and missed by no answer."""

import asyncio
import logging
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from service_under_test import Start, until
from valkey import Valkey, publish_to_somebody

from payment_server import cache as module
from payment_server.cache import (
    HEAVIEST_CALL,
    HEAVY_CALLS,
    RATE_KEYS,
    Ask,
    Cache,
    CacheState,
    RedisAway,
)
from payment_server.domain.rate import SECOND_NS, Rate

ABSENT = "redis://127.0.0.1:1/0"
RATE = Rate(1, 60 * SECOND_NS, 4 * 60 * SECOND_NS)
"""Five at once, and one a minute: nothing is paid off while a test runs."""


async def told(valkey: Valkey, *commands: str) -> None:
    """Says to it what an operator, or another program, might."""
    async with Redis.from_url(valkey.url) as redis:
        for each in commands:
            await redis.execute_command(*each.split())  # type: ignore[no-untyped-call]  # as all of it


async def test_without_a_url_there_is_no_redis() -> None:
    assert await Cache(None).state() is CacheState.OFF


async def test_an_absent_redis_is_down() -> None:
    cache = Cache(ABSENT)
    assert await cache.state() is CacheState.DOWN
    await cache.close()


async def test_a_redis_that_goes_and_comes_back_is_noticed(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    assert await cache.state() is CacheState.UP
    await valkey.stop()
    assert await cache.state() is CacheState.DOWN
    await valkey.start()
    assert await cache.state() is CacheState.UP
    await cache.close()


async def test_readiness_says_degraded_and_payments_go_on(start: Start) -> None:
    async with start(REDIS_URL=ABSENT) as servers:
        reply = await servers.http.get("/readyz")
        assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
        assert (await servers.created()).amount == "10.00"


async def test_readiness_says_up(start: Start, valkey: Valkey) -> None:
    async with start(REDIS_URL=valkey.url) as servers:
        assert (await servers.http.get("/readyz")).json()["redis"] == "up"


async def test_it_is_not_up_before_it_was_asked(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    before = cache.is_up
    await cache.probe()
    assert (before, cache.is_up) == (False, True)
    await cache.close()


@pytest.mark.usefixtures("hasty")
async def test_while_it_is_away_nothing_is_waited_for_long(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    await cache.probe()
    valkey.freeze()
    async with asyncio.timeout(0.4):  # less than a connection may take
        with pytest.raises(RedisAway):
            await cache.publish("hello")
    assert not cache.is_up
    valkey.thaw()

    async def is_up() -> bool:
        await cache.probe()
        return cache.is_up

    await until(is_up)
    await cache.close()


async def test_a_change_of_its_state_is_logged_once(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(valkey.url)
    with caplog.at_level(logging.INFO, "payment_server.cache"):
        for _ in range(3):
            await cache.probe()
        await valkey.stop()
        for _ in range(3):
            await cache.probe()
            assert await cache.state() is CacheState.DOWN
        await valkey.start()
        for _ in range(3):
            await cache.probe()
    told = [each.getMessage().partition(":")[0] for each in caplog.records]
    assert told == ["Redis does not answer", "Redis answers again"]
    await cache.close()


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("ACL SETUSER default -eval", "ACL SETUSER default +eval"),
        ("ACL SETUSER default -publish", "ACL SETUSER default +publish"),
    ],
)
async def test_one_that_refuses_is_away_until_it_does_not(
    valkey: Valkey, caplog: pytest.LogCaptureFixture, refuse: str, allow: str
) -> None:
    cache = Cache(valkey.url)
    await cache.probe()
    with caplog.at_level(logging.INFO, "payment_server.cache"):
        await told(valkey, refuse)
        for _ in range(3):
            with suppress(RedisAway):
                await cache.take(RATE, [Ask("m", 0, 1)])
            with suppress(RedisAway):
                await cache.publish("hello")
            assert not cache.is_up
            await cache.probe()
            assert await cache.state() is CacheState.DOWN
        await told(valkey, allow)
        await cache.probe()
        assert cache.is_up
    notes = [each.getMessage().partition(":")[0] for each in caplog.records]
    assert notes == ["Redis refuses", "Redis answers again"]
    await cache.close()


async def test_one_that_is_up_may_be_too_slow_for_calls(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUICK_LIMIT_SECONDS", 0.0)
    cache = Cache(valkey.url)
    await cache.probe()
    assert await cache.state() is CacheState.UP
    assert not cache.is_up
    await cache.close()


async def test_a_bucket_grants_what_fits_and_says_what_is_owed(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    [first, other] = await cache.take(RATE, [Ask("m", 0, 3), Ask("n", 0, 9)])
    assert (first.granted, other.granted) == (3, 5)
    assert first.owed_ns == pytest.approx(180 * SECOND_NS, abs=SECOND_NS)
    [again] = await cache.take(RATE, [Ask("m", 0, 9)])
    assert again.granted == 2
    await cache.close()


async def test_what_was_spent_is_charged_before_anything_is_granted(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    [taken] = await cache.take(RATE, [Ask("m", 9, 1)])
    assert taken.granted == 0
    assert taken.owed_ns == pytest.approx(540 * SECOND_NS, abs=SECOND_NS)
    await cache.close()


async def test_nothing_that_was_spent_is_forgiven(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    for calls in (5_600, 11_200):
        [taken] = await cache.take(RATE, [Ask("m", 5_600, 0)])
        assert taken.owed_ns == pytest.approx(calls * 60 * SECOND_NS, abs=30 * SECOND_NS)
    await cache.close()


async def test_what_is_found_is_believed_up_to_a_bound(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    await cache.take(RATE, [Ask("m", 1_000_000, 0)])
    [taken] = await cache.take(RATE, [Ask("m", 0, 0)])
    assert taken.owed_ns == RATE.tolerance_ns + HEAVY_CALLS * HEAVIEST_CALL * RATE.interval_ns
    await cache.close()


async def test_what_is_no_bucket_is_replaced(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    await told(valkey, f"LPUSH {RATE_KEYS}:m strange", f"SET {RATE_KEYS}:n strange")
    taken = await cache.take(RATE, [Ask("m", 0, 9), Ask("n", 0, 9)])
    assert [each.granted for each in taken] == [5, 5]
    await cache.close()


@pytest.mark.parametrize("per_second", [3, 7, 70_000, 100_000])
async def test_a_burst_is_granted_in_full_whatever_the_rate(
    valkey: Valkey, per_second: int
) -> None:
    cache = Cache(valkey.url)
    rate = Rate.of(per_second=per_second, burst=7)
    granted = [(await cache.take(rate, [Ask("m", 0, 1)]))[0].granted for _ in range(7)]
    assert granted == [1] * 7
    await cache.close()


async def test_what_is_published_is_heard(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    published = cache.published()
    heard = asyncio.create_task(anext(published))
    await publish_to_somebody(cache, "m1 m2")
    assert await heard == "m1 m2"
    await published.aclose()
    await cache.close()


async def test_a_subscription_that_is_cut_says_so(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    published = cache.published()
    heard = asyncio.create_task(anext(published))
    await publish_to_somebody(cache, "m1")
    await heard
    await valkey.stop()
    with pytest.raises(RedisAway):
        await anext(published)
    await valkey.start()
    await cache.close()


async def test_a_subscription_that_has_died_without_a_word_says_so(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payment_server.cache.QUIET_SECONDS", 0.6)
    cache = Cache(valkey.url)
    published = cache.published()
    heard = asyncio.create_task(anext(published))
    await publish_to_somebody(cache, "m1")
    await heard
    more = asyncio.create_task(anext(published))
    await asyncio.sleep(1.5)
    assert not more.done()  # it was asked, and lives
    valkey.freeze()
    with pytest.raises(RedisAway):
        await more
    valkey.thaw()
    await cache.close()
