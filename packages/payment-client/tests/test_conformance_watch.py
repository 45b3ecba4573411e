"""What both clients see of the real service's events, also while it is ended and started again."""

import asyncio
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from payment_client import (
    AsyncPaymentClient,
    CursorExpired,
    Event,
    InvalidRequest,
    PaymentClient,
    PaymentNotFound,
    Unavailable,
)

if TYPE_CHECKING:
    from conftest import ServiceProcess, Twin, TwinWatcher

LIFE = ["payment.created", "payment.authorization_started", "payment.captured"]
"""The events of a payment that is created and processed."""
LIMIT_SECONDS = 60
"""A test that waits for longer has failed."""


async def take(watcher: "TwinWatcher", count: int) -> list[Event]:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await watcher.take(count)


async def live(twin: "Twin", **arguments: object) -> str:
    """A payment that is created and processed."""
    created = await twin.create(**arguments)
    await twin.process(created.payment_id)
    return created.payment_id


async def test_what_happens_from_now_on_is_seen_in_its_order(twin: "Twin") -> None:
    await live(twin)
    watcher = await twin.watch().begin()
    payment_id = await live(twin)
    events = await take(watcher, 3)
    assert [(event.payment_id, event.type) for event in events] == [
        (payment_id, kind) for kind in LIFE
    ]


async def test_what_has_happened_is_seen_from_the_beginning(twin: "Twin") -> None:
    payment_id = await live(twin)
    events = await take(twin.watch(from_beginning=True), 3)
    assert events == await twin.events(payment_id)


async def test_a_watch_goes_on_behind_the_cursor_of_another(twin: "Twin") -> None:
    await live(twin)
    first = twin.watch(from_beginning=True)
    await take(first, 2)
    await first.close()
    events = await take(twin.watch(cursor=first.cursor), 1)
    assert [event.type for event in events] == LIFE[2:]


async def test_one_payment_is_watched(twin: "Twin") -> None:
    created = await twin.create()
    watcher = await twin.watch(payment_id=created.payment_id).begin()
    await live(twin)
    await twin.process(created.payment_id)
    events = await take(watcher, 2)
    assert [(event.payment_id, event.type) for event in events] == [
        (created.payment_id, kind) for kind in LIFE[1:]
    ]


async def test_one_customer_is_watched(twin: "Twin") -> None:
    watcher = await twin.watch(customer_id="cust-2").begin()
    await live(twin, customer_id="cust-1")
    payment_id = await live(twin, customer_id="cust-2")
    events = await take(watcher, 3)
    assert {event.payment_id for event in events} == {payment_id}


async def test_anothers_events_are_not_seen(twin: "Twin") -> None:
    watcher = await twin.watch().begin()
    await twin.create(headers={"x-merchant-id": f"another-{uuid.uuid4().hex}"})
    payment_id = await live(twin)
    assert (await take(watcher, 1))[0].payment_id == payment_id


async def test_what_the_service_does_by_itself_is_seen(twin: "Twin") -> None:
    watcher = await twin.watch().begin()
    await twin.create(expires_at=datetime.now(UTC) + timedelta(milliseconds=200))
    events = await take(watcher, 2)
    assert [event.type for event in events] == ["payment.created", "payment.expired"]


async def test_an_unknown_payment_is_not_found(twin: "Twin") -> None:
    with pytest.raises(PaymentNotFound):
        await twin.watch(payment_id="019ab000-0000-7000-8000-000000000000").begin()


async def test_a_payment_and_a_customer_at_once_are_refused(twin: "Twin") -> None:
    created = await twin.create()
    with pytest.raises(InvalidRequest):
        await twin.watch(payment_id=created.payment_id, customer_id="cust123").begin()


async def test_a_cursor_that_is_none_is_refused(twin: "Twin") -> None:
    with pytest.raises(InvalidRequest) as caught:
        await twin.watch(cursor="nonsense").begin()
    assert caught.value.violations[0].field == "cursor"


async def test_a_watch_outlives_its_service_and_sees_each_event_once(
    connect: "Callable[..., Twin]", own_service: "ServiceProcess", merchant_id: str
) -> None:
    twin = connect(own_service.target, merchant_id=merchant_id, timeout_seconds=20)
    watcher = await twin.watch(from_beginning=True).begin()
    payment_ids = [await live(twin) for _ in range(5)]
    seen = await take(watcher, 7)  # the rest may be on its way when the service ends
    for end in (signal.SIGTERM, signal.SIGKILL):
        await asyncio.to_thread(own_service.end, end)
        waiting = asyncio.create_task(take(watcher, 15))
        await asyncio.to_thread(own_service.start)
        await answers(twin)
        payment_ids += [await live(twin) for _ in range(5)]
        seen += await waiting
    seen += await take(watcher, 8)
    assert sorted((event.payment_id, event.version, event.type) for event in seen) == [
        (payment_id, version, kind)
        for payment_id in payment_ids
        for version, kind in enumerate(LIFE, start=1)
    ]
    for payment_id in payment_ids:
        assert [event.type for event in seen if event.payment_id == payment_id] == LIFE


async def answers(twin: "Twin") -> None:
    """Returns when the service answers again: the client's channel looks for it now and then."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            try:
                await twin.health()
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_cursor_of_another_database_has_expired(
    service: str, own_service: "ServiceProcess"
) -> None:
    async with AsyncPaymentClient(service) as here, here.payments.watch() as watcher:
        cursor = watcher.cursor
    with PaymentClient(own_service.target) as elsewhere, pytest.raises(CursorExpired) as caught:
        next(elsewhere.payments.watch(cursor=cursor))
    assert (caught.value.http_status, caught.value.retryable) == (410, False)
