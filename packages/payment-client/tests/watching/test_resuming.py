"""The two watchers at a server of foreign make, which breaks off in every way that there is."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from threading import Event as Flag
from threading import Timer
from typing import TYPE_CHECKING, NoReturn

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from payment.v1 import payment_pb2 as pb
from payment_client import (
    CursorExpired,
    DeadlineExceeded,
    Internal,
    PaymentClient,
    PaymentNotFound,
    Unavailable,
    _watch,
)

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

Code = grpc.StatusCode
FOR_EVER_SECONDS = 60
"""How long the foreign server keeps what nobody ends; the end of the test ends it."""


def fail(context: grpc.ServicerContext, code: Code, reason: str = "") -> NoReturn:
    if reason:
        packed = AnyMessage()
        packed.Pack(ErrorInfo(reason=reason, domain="payment.v1"))
        details = Status(details=[packed]).SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(code, "")


@pytest.fixture
def brief_silence(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds of silence after which a stream is given up."""
    monkeypatch.setattr(_watch, "SILENCE_LIMIT_SECONDS", 0.3)
    return 0.3


def cursors(foreign: "ForeignServer") -> list[str]:
    return [pb.WatchPaymentsRequest.FromString(each).cursor for each in foreign.requests]


class Interrupted(Exception):
    """What a signal handler raises, as Ctrl-C does in a notebook."""


class TestInterruption:
    def test_a_read_that_a_signal_ends_is_followed_by_a_stream_of_its_own(
        self, foreign: "ForeignServer"
    ) -> None:
        def stream(
            request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
        ) -> Iterator[pb.WatchPaymentsResponse]:
            over = Flag()
            context.add_callback(over.set)
            yield foreign.greeting(request)
            if len(foreign.requests) > 1:
                yield foreign.step(1)
            over.wait(FOR_EVER_SECONDS)

        def interrupt(_number: int, _frame: object) -> NoReturn:
            raise Interrupted

        foreign.stream = stream
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with PaymentClient(foreign.target) as client, client.payments.watch() as watcher:
                timer = Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
                timer.start()
                with pytest.raises(Interrupted):
                    next(watcher)
                timer.join()
                assert next(watcher).version == 1
        finally:
            signal.signal(signal.SIGUSR1, before)


class TestResuming:
    async def test_events_come_once_each_over_many_streams(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        events = await connect(one_at_a_time.target).watch().take(4)
        assert [event.version for event in events] == [1, 2, 3, 4]

    async def test_each_stream_begins_behind_the_last_event_that_was_handed_over(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        await connect(one_at_a_time.target).watch().take(3)
        assert cursors(one_at_a_time) == ["", "1", "2"]

    async def test_the_cursor_is_that_of_the_event_in_hand(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        watcher = connect(one_at_a_time.target).watch()
        seen = [(await watcher.next(), watcher.cursor)[1] for _ in range(3)]
        assert seen == ["1", "2", "3"]

    async def test_entering_waits_for_the_service_to_say_where_it_is(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer"
    ) -> None:
        watcher = await connect(greeter.target).watch().begin()
        assert watcher.cursor == "0"

    async def test_an_event_that_comes_while_entering_is_not_lost(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        foreign.stream = lambda _request, _context: [foreign.step(1), foreign.step(2)]
        watcher = await connect(foreign.target).watch().begin()
        assert [event.version for event in await watcher.take(2)] == [1, 2]

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (Code.UNAVAILABLE, "SHUTTING_DOWN"),
            (Code.UNAVAILABLE, "OVERLOADED"),
            (Code.UNAVAILABLE, ""),
            (Code.CANCELLED, ""),
            (Code.INTERNAL, ""),
            (Code.UNKNOWN, ""),
            (Code.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW"),
            (Code.OK, ""),
        ],
        ids=str,
    )
    async def test_what_may_pass_is_followed_by_another_stream(
        self,
        connect: "Callable[..., Twin]",
        foreign: "ForeignServer",
        code: Code,
        reason: str,
    ) -> None:
        def stream(
            request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
        ) -> Iterator[pb.WatchPaymentsResponse]:
            if request.cursor:
                yield foreign.step(2)
            yield foreign.step(1)
            if code is not Code.OK:
                fail(context, code, reason)

        foreign.stream = stream
        events = await connect(foreign.target).watch().take(2)
        assert [event.version for event in events] == [1, 2]

    async def test_every_stream_has_the_merchant_and_the_headers(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        twin = connect(one_at_a_time.target, merchant_id="shop-1")
        await twin.watch(headers={"x-request-id": "r-1"}).take(2)
        sent = [(each["x-merchant-id"], each["x-request-id"]) for each in one_at_a_time.metadata]
        assert sent == [("shop-1", "r-1")] * 2

    async def test_a_stream_has_no_deadline(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        deadlines = []

        def stream(
            _request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
        ) -> list[pb.WatchPaymentsResponse]:
            deadlines.append(context.time_remaining())
            return [foreign.step(1)]

        foreign.stream = stream
        await connect(foreign.target, timeout_seconds=5).watch().next()
        assert deadlines[0] > 1e9  # as long as there are numbers for

    async def test_a_service_that_is_not_there_is_waited_for(
        self, connect: "Callable[..., Twin]", one_at_a_time: "ForeignServer"
    ) -> None:
        calls = iter([Code.UNAVAILABLE, Code.UNAVAILABLE])
        inner = one_at_a_time.stream

        def stream(
            request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
        ) -> Iterator[pb.WatchPaymentsResponse]:
            for code in calls:
                fail(context, code)
            yield from inner(request, context)

        one_at_a_time.stream = stream
        watcher = await connect(one_at_a_time.target).watch(from_beginning=True).begin()
        assert (watcher.cursor, cursors(one_at_a_time)) == ("0", ["", "", ""])


class TestSilence:
    async def test_a_stream_that_falls_silent_is_resumed(
        self, connect: "Callable[..., Twin]", greeter: "ForeignServer", brief_silence: float
    ) -> None:
        watcher = await connect(greeter.target).watch().begin()
        waiting = asyncio.create_task(watcher.next())
        await greeter.was_asked(times=3)
        assert cursors(greeter)[:3] == ["", "0", "0"]
        await watcher.close()
        assert await waiting is None

    async def test_a_service_that_never_answers_is_given_up(
        self, connect: "Callable[..., Twin]", speechless: "ForeignServer"
    ) -> None:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="nothing was heard for"):
            await connect(speechless.target).watch(patience_seconds=0.3).next()
        assert 0.3 <= time.monotonic() - began < 3

    async def test_a_caller_who_takes_their_time_is_not_taken_for_silence(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer", brief_silence: float
    ) -> None:
        foreign.stream = lambda _request, _context: map(foreign.step, range(1, 4))
        watcher = connect(foreign.target).watch()
        await watcher.next()
        await asyncio.sleep(3 * brief_silence)
        await watcher.take(2)
        assert foreign.methods == ["WatchPayments"]


class TestGivingUp:
    async def test_what_broke_the_stream_is_raised_when_patience_is_over(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        foreign.stream = lambda _request, context: fail(
            context, Code.UNAVAILABLE, "DATABASE_UNAVAILABLE"
        )
        with pytest.raises(Unavailable) as caught:
            await connect(foreign.target).watch(patience_seconds=0.5).next()
        assert caught.value.reason == "DATABASE_UNAVAILABLE"
        assert len(foreign.methods) > 1

    @pytest.mark.parametrize(
        ("code", "reason", "kind"),
        [
            (Code.NOT_FOUND, "PAYMENT_NOT_FOUND", PaymentNotFound),
            (Code.OUT_OF_RANGE, "CURSOR_EXPIRED", CursorExpired),
            (Code.INTERNAL, "INTERNAL_ERROR", Internal),
        ],
    )
    async def test_what_will_not_pass_is_raised_at_once(
        self,
        connect: "Callable[..., Twin]",
        foreign: "ForeignServer",
        code: Code,
        reason: str,
        kind: type[Exception],
    ) -> None:
        foreign.stream = lambda _request, context: fail(context, code, reason)
        with pytest.raises(kind):
            await connect(foreign.target).watch().begin()
        assert foreign.methods == ["WatchPayments"]

    async def test_a_watcher_that_has_raised_is_closed(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        foreign.stream = lambda _request, context: fail(context, Code.INTERNAL, "INTERNAL_ERROR")
        watcher = connect(foreign.target).watch()
        with pytest.raises(Internal):
            await watcher.next()
        assert await watcher.next() is None

    async def test_an_answer_against_the_contract_is_internal_and_moves_no_cursor(
        self, connect: "Callable[..., Twin]", foreign: "ForeignServer"
    ) -> None:
        broken = foreign.step(2)
        broken.event.payment.amount = "much"
        foreign.stream = lambda _request, _context: [foreign.step(1), broken]
        watcher = connect(foreign.target).watch()
        await watcher.next()
        with pytest.raises(Internal, match="an amount that is no number"):
            await watcher.next()
        assert watcher.cursor == "1"
