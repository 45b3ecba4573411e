"""The two watchers when they are closed, dropped or left waiting, or outlive their client."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import TYPE_CHECKING, NoReturn

import grpc
import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    AsyncPaymentClient,
    AsyncPaymentWatcher,
    DeadlineExceeded,
    PaymentClient,
    Unavailable,
    _watch,
)

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

LIMIT_SECONDS = 15
"""A test that waits for longer has failed."""
FOR_EVER_SECONDS = 60
"""How long the foreign server keeps what nobody ends; the end of the test ends it."""
A_MOMENT_SECONDS = 0.05
"""After which somebody else waits, as a rule; the facts hold also where they do not yet."""


class TestClosing:
    async def test_closing_ends_the_iteration_of_somebody_else(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        watcher = await connect(greeter.target).watch().begin()
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(A_MOMENT_SECONDS)
        await watcher.close()
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await waiting is None

    async def test_closing_ends_a_pause_between_two_streams(
        self,
        connect: "Callable[..., Twin]",
        foreign: "ForeignServer",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(_watch, "FIRST_PAUSE_SECONDS", 3600)
        foreign.stream = lambda _request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "")
        watcher = connect(foreign.target).watch(patience_seconds=7200)
        waiting = asyncio.create_task(watcher.next())
        await foreign.was_asked(times=1)
        await asyncio.sleep(A_MOMENT_SECONDS)
        await watcher.close()
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await waiting is None

    async def test_a_closed_watcher_has_ended(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        watcher = connect(one_at_a_time.target).watch()
        await watcher.next()
        await watcher.close()
        assert await watcher.next() is None

    async def test_closing_twice_is_closing_once(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        watcher = await connect(greeter.target).watch().begin()
        await watcher.close()
        await watcher.close()

    async def test_a_watcher_that_is_closed_before_it_has_begun_asks_nothing(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        watcher = connect(greeter.target).watch()
        await watcher.close()
        await watcher.begin()
        assert greeter.methods == []

    async def test_an_iteration_may_close_its_own_watcher(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        foreign.stream = lambda _request, _context: map(foreign.step, range(1, 4))
        watcher = connect(foreign.target).watch()
        seen = []
        while event := await watcher.next():
            seen.append(event.version)
            if event.version == 2:
                await watcher.close()
        assert seen == [1, 2]
        assert foreign.methods == ["WatchPayments"]

    async def test_closing_the_client_ends_a_watch_as_unavailable(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        twin = connect(greeter.target)
        watcher = await twin.watch().begin()
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(A_MOMENT_SECONDS)
        await twin.close()
        with pytest.raises(Unavailable):
            await waiting

    async def test_closing_the_client_ends_a_watch_that_nobody_waits_in_just_so(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        twin = connect(greeter.target)
        watcher = await twin.watch().begin()
        await twin.close()
        with pytest.raises(Unavailable, match="the client is closed"):
            await watcher.next()
        assert await watcher.next() is None

    async def test_closing_the_client_ends_a_pause_just_so(
        self,
        connect: "Callable[..., Twin]",
        foreign: "ForeignServer",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(_watch, "FIRST_PAUSE_SECONDS", 3600)
        foreign.stream = lambda _request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "")
        twin = connect(foreign.target)
        waiting = asyncio.create_task(twin.watch(patience_seconds=7200).next())
        await foreign.was_asked(times=1)
        await asyncio.sleep(A_MOMENT_SECONDS)
        await twin.close()
        async with asyncio.timeout(LIMIT_SECONDS):
            with pytest.raises(Unavailable, match="the client is closed"):
                await waiting

    async def test_a_watcher_outlives_no_closed_client_even_where_it_never_began(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        twin = connect(greeter.target)
        watcher = twin.watch()
        await twin.close()
        with pytest.raises(Unavailable, match="the client is closed"):
            await watcher.begin()

    async def test_a_watcher_that_is_closed_ends_so_whatever_becomes_of_its_client(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        twin = connect(greeter.target)
        watcher = await twin.watch().begin()
        await watcher.close()
        await twin.close()
        assert await watcher.next() is None

    async def test_a_closed_client_begins_no_watch(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        twin = connect(greeter.target)
        await twin.close()
        with pytest.raises(RuntimeError, match="the client is closed"):
            twin.watch()


def test_leaving_a_watcher_ends_its_stream(greeter: "ForeignServer", hung_up: Flag) -> None:
    with PaymentClient(greeter.target) as client:
        with client.payments.watch():
            assert not hung_up.is_set()
        assert hung_up.wait(LIMIT_SECONDS)


def test_a_blocking_watcher_that_is_dropped_ends_its_stream(
    greeter: "ForeignServer", hung_up: Flag
) -> None:
    with PaymentClient(greeter.target) as client:
        client.payments.watch().__enter__()
        gc.collect()
        assert hung_up.wait(LIMIT_SECONDS)


async def test_a_task_that_is_cancelled_while_it_waits_is_cancelled(
    greeter: "ForeignServer",
) -> None:
    async with AsyncPaymentClient(greeter.target) as client, client.payments.watch() as watcher:
        waiting = asyncio.create_task(anext(watcher))
        await asyncio.sleep(A_MOMENT_SECONDS)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_asyncio_watcher_that_is_dropped_in_the_midst_of_a_wait_ends_its_stream(
    greeter: "ForeignServer", hung_up: Flag
) -> None:
    async with AsyncPaymentClient(greeter.target) as client:
        watcher = await client.payments.watch().__aenter__()
        await give_up_waiting(watcher)
        del watcher
        gc.collect()
        assert await asyncio.to_thread(hung_up.wait, LIMIT_SECONDS)


async def test_waits_that_are_timed_out_lose_no_event(foreign: "ForeignServer") -> None:
    waited = Flag()

    def stream(
        request: pb.WatchPaymentsRequest, _context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        yield foreign.greeting(request)
        waited.wait(LIMIT_SECONDS)
        yield foreign.step(1)

    foreign.stream = stream
    async with AsyncPaymentClient(foreign.target) as client, client.payments.watch() as watcher:
        for _ in range(3):
            await give_up_waiting(watcher)
        waited.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            assert (await anext(watcher)).version == 1
    assert foreign.methods == ["WatchPayments"]


async def test_what_arrives_while_nobody_waits_is_handed_over(
    foreign: "ForeignServer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watch, "SILENCE_LIMIT_SECONDS", 0.3)
    asked = Flag()

    def stream(
        _request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        over = Flag()
        context.add_callback(over.set)
        asked.wait(LIMIT_SECONDS)
        yield foreign.step(1)
        over.wait(FOR_EVER_SECONDS)

    foreign.stream = stream
    async with AsyncPaymentClient(foreign.target) as client:
        watcher = client.payments.watch(patience_seconds=0.3)
        await give_up_waiting(watcher)
        asked.set()
        await asyncio.sleep(0.6)  # longer than there is patience, and than a stream may be silent
        assert (await anext(watcher)).version == 1
        await watcher.close()
    assert foreign.methods == ["WatchPayments"]


async def test_a_service_that_never_answers_is_given_up_over_many_short_waits(
    speechless: "ForeignServer",
) -> None:
    async with AsyncPaymentClient(speechless.target) as client:
        watcher = client.payments.watch(patience_seconds=0.3)
        async with asyncio.timeout(LIMIT_SECONDS):
            with pytest.raises(DeadlineExceeded):
                await wait_again_and_again(watcher)


async def wait_again_and_again(watcher: AsyncPaymentWatcher) -> NoReturn:
    while True:
        await give_up_waiting(watcher)


async def give_up_waiting(watcher: AsyncPaymentWatcher) -> None:
    """Waits for an event for a moment, in which none comes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(A_MOMENT_SECONDS):
            await anext(watcher)


@pytest.mark.parametrize("ending", ["close", "drop", "client"])
def test_a_blocking_watcher_leaves_no_thread_behind(greeter: "ForeignServer", ending: str) -> None:
    before = threading.enumerate()
    client = PaymentClient(greeter.target)
    watcher = client.payments.watch().__enter__()
    (guard,) = (each for each in threading.enumerate() if is_guard(each) and each not in before)
    if ending == "close":
        watcher.close()
    elif ending == "drop":
        del watcher
        gc.collect()
    else:
        client.close()
    guard.join(LIMIT_SECONDS)
    assert not guard.is_alive()
    client.close()


def is_guard(thread: threading.Thread) -> bool:
    return thread.name == "payment-watch-guard"
