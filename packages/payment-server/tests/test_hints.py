"""Hints: what changes in one process is heard of by those who watch in another."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from service_under_test import Servers, Start
from valkey import Valkey, publish_to_somebody
from watching_under_test import heard, opened, said

from payment_server import hints, watching
from payment_server.cache import Cache
from payment_server.hints import Hints
from payment_server.store.database import Database
from payment_server.watching import Watching
from payment_server.workers import beside

ABSENT = "redis://127.0.0.1:1/0"


@pytest.fixture
async def two(
    start: Start, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Servers, Servers]]:
    """Two services on one database and one Redis, which without hints look every half minute."""
    monkeypatch.setattr(watching, "LOOK_PAUSE_SECONDS", 30.0)
    async with start(REDIS_URL=valkey.url) as first, start(REDIS_URL=valkey.url) as second:
        yield first, second


async def listens(valkey: Valkey) -> None:
    """Waits until a service has subscribed."""
    cache = Cache(valkey.url)
    await publish_to_somebody(cache, "nobody")
    await cache.close()


async def test_a_watcher_hears_at_once_what_another_process_has_changed(
    two: tuple[Servers, Servers], valkey: Valkey
) -> None:
    first, second = two
    answers, _ = await opened(second)
    await listens(valkey)
    payment = await first.created()
    assert said(await heard(answers, 1)) == [(payment.payment_id, 1)]
    answers.cancel()


async def test_a_watcher_hears_at_once_what_its_own_process_has_changed(
    two: tuple[Servers, Servers],
) -> None:
    answers, _ = await opened(two[0])
    payment = await two[0].created()
    assert said(await heard(answers, 1)) == [(payment.payment_id, 1)]
    answers.cancel()


async def test_hints_come_again_after_a_restart_of_redis(
    two: tuple[Servers, Servers], valkey: Valkey
) -> None:
    first, second = two
    answers, _ = await opened(second)
    await listens(valkey)
    await valkey.stop()
    await first.created()
    await valkey.start()
    await listens(valkey)

    async def create() -> None:
        await first.created()  # until one comes after the probe of the first service

    async with beside(("creates", create, 0.1)):
        assert len(await heard(answers, 2)) == 2
    answers.cancel()


async def test_without_redis_watchers_hear_as_they_did_before(start: Start) -> None:
    async with start(REDIS_URL=ABSENT) as first, start(REDIS_URL=ABSENT) as second:
        answers, _ = await opened(second)
        payment = await first.created()
        assert said(await heard(answers, 1)) == [(payment.payment_id, 1)]
        answers.cancel()


async def test_what_is_to_be_told_is_bounded(
    valkey: Valkey, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "MERCHANTS_LIMIT", 10)
    cache = Cache(valkey.url)
    await cache.probe()
    teller = Hints(cache, Watching(database))
    for number in range(100):
        teller.changed(f"m{number}")
    published = cache.published()
    text = asyncio.create_task(anext(published))
    await publish_to_somebody(cache, "nobody")
    assert await text == "nobody"
    await teller.publish()
    assert len((await anext(published)).split(" ")) == 1 + 10
    await published.aclose()
    await cache.close()
