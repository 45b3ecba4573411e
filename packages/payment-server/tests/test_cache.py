"""Redis is optional: told when it is away, and missed by no answer."""

import asyncio
import logging

import pytest
from service_under_test import Start, until
from valkey import Valkey, publish_to_somebody

from payment_server.cache import HEAVIEST_CALL, Ask, Cache, CacheState, RedisAway
from payment_server.domain.rate import SECOND_NS, Rate

ABSENT = "redis://127.0.0.1:1/0"
RATE = Rate.of(per_second=10, burst=5)


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


async def test_a_bucket_grants_what_fits_and_says_what_is_owed(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    [first, other] = await cache.take(RATE, [Ask("m", 0, 3), Ask("n", 0, 9)])
    assert (first.granted, other.granted) == (3, 5)
    assert first.owed_ns == pytest.approx(0.3 * SECOND_NS, abs=0.02 * SECOND_NS)
    [again] = await cache.take(RATE, [Ask("m", 0, 9)])
    assert again.granted == 2
    await cache.close()


async def test_what_was_spent_is_charged_before_anything_is_granted(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    [taken] = await cache.take(RATE, [Ask("m", 9, 1)])
    assert taken.granted == 0
    assert taken.owed_ns == pytest.approx(0.9 * SECOND_NS, abs=0.02 * SECOND_NS)
    await cache.close()


async def test_nobody_owes_more_than_the_heaviest_call(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    [taken] = await cache.take(RATE, [Ask("m", 1_000_000, 0)])
    assert taken.owed_ns == RATE.tolerance_ns + (HEAVIEST_CALL + 1) * RATE.interval_ns
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
    monkeypatch.setattr("payment_server.cache.QUIET_SECONDS", 0.2)
    cache = Cache(valkey.url)
    published = cache.published()
    heard = asyncio.create_task(anext(published))
    await publish_to_somebody(cache, "m1")
    await heard
    more = asyncio.create_task(anext(published))
    await asyncio.sleep(0.7)
    assert not more.done()  # it was asked, and lives
    valkey.freeze()
    with pytest.raises(RedisAway):
        await more
    valkey.thaw()
    await cache.close()
