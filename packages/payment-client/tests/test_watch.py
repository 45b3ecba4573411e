"""`payment_client._watch`: which stream follows, after what pause, on a clock of the test's own."""

import math
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import DeadlineExceeded, Internal, PaymentError, Unavailable
from payment_client._calls import WATCH, WatchCall
from payment_client._settings import read_settings
from payment_client._terms import terms_of_read
from payment_client._types import Watched
from payment_client._watch import MAX_PAUSE_SECONDS, WaitingClock, Watch, early_end, silence

SETTINGS = read_settings(merchant_id="shop-1", environment={})
BROKEN = Unavailable("", reason="UNAVAILABLE", retryable=True)
RESET = Internal("", reason="INTERNAL")
GREETING = Watched(event=None, cursor="c-0")


def call(headers: dict[str, str] | None = None, **changes: Any) -> WatchCall:
    arguments: dict[str, Any] = dict.fromkeys(["payment_id", "customer_id", "cursor"])
    arguments |= {"from_beginning": False} | changes
    return WATCH.call(terms_of_read(SETTINGS, None, headers), **arguments)


def begun(patience_seconds: float = 60.0) -> Watch:
    """A watch whose stream, opened at 0, has greeted; its pauses are as long as they may be."""
    watch = Watch(call(), patience_seconds, chance=lambda: 1.0)
    watch.next_call(0)
    watch.hand_over(GREETING, 0)
    return watch


def pauses(watch: Watch, times: int) -> Iterator[float]:
    """The pauses of so many failures in a row."""
    now = 0.0
    for _ in range(times):
        pause = watch.pause_after(BROKEN, now)
        assert pause is not None
        yield pause
        now += pause
        watch.next_call(now)


class TestWhereItGoesOn:
    def test_the_first_stream_is_as_asked_for(self) -> None:
        first = call(customer_id="cust123", from_beginning=True)
        assert Watch(first, 60).next_call(0) is first

    def test_what_never_began_begins_again(self) -> None:
        first = call(from_beginning=True)
        watch = Watch(first, 60)
        watch.next_call(0)
        watch.pause_after(BROKEN, 0)
        assert watch.next_call(1) is first

    def test_a_later_stream_is_behind_what_was_handed_over(self) -> None:
        watch = Watch(call(customer_id="cust123", from_beginning=True), 60)
        watch.next_call(0)
        watch.hand_over(Watched(event=None, cursor="c-1"), 0)
        watch.hand_over(Watched(event=None, cursor="c-2"), 0)
        resumed = pb.WatchPaymentsRequest(customer_id="cust123", cursor="c-2")
        assert watch.next_call(1).request == resumed

    def test_a_later_stream_has_the_terms_of_the_first(self) -> None:
        watch = Watch(call(headers={"x-request-id": "r-1"}), 60)
        first = watch.next_call(0)
        watch.hand_over(GREETING, 0)
        assert watch.next_call(1).terms is first.terms

    def test_the_cursor_is_the_one_given_until_one_is_heard(self) -> None:
        watch = Watch(call(cursor="mine"), 60)
        assert watch.cursor == "mine"
        watch.hand_over(GREETING, 0)
        assert watch.cursor == "c-0"


class TestSilence:
    def test_a_sound_stream_may_miss_three_of_its_idle_answers(self) -> None:
        assert begun().silence_limit_seconds(0) == 45

    def test_it_is_counted_over_all_waits_for_one_answer(self) -> None:
        assert begun().silence_limit_seconds(40) == 5

    def test_every_answer_ends_it(self) -> None:
        watch = begun()
        watch.hand_over(GREETING, 40)
        assert watch.silence_limit_seconds(41) == 44

    def test_a_first_answer_may_take_as_long_as_there_is_patience(self) -> None:
        watch = Watch(call(), 10)
        watch.next_call(0)
        assert watch.silence_limit_seconds(4) == 6

    def test_great_patience_waits_no_longer_on_one_stream(self) -> None:
        watch = Watch(call(), math.inf)
        watch.next_call(0)
        assert watch.silence_limit_seconds(4) == 41

    def test_patience_that_is_over_leaves_nothing_to_wait_for(self) -> None:
        watch = Watch(call(), 10)
        watch.next_call(0)
        assert watch.silence_limit_seconds(11) == 0

    def test_a_silence_may_be_followed_by_another_stream(self) -> None:
        error = silence(call())
        assert (type(error), error.retryable) == (DeadlineExceeded, True)

    def test_a_failure_of_our_own_names_the_request(self) -> None:
        assert silence(call(headers={"x-request-id": "r-1"})).request_id == "r-1"


class TestWaitingClock:
    def test_it_stands_still_while_nobody_waits(self) -> None:
        seconds = 100.0
        clock = WaitingClock(lambda: seconds)
        began = clock.now()
        for busy, waiting in [(7, 1), (120, 3)]:
            seconds += busy
            with clock:
                seconds += waiting
        assert clock.now() - began == 4


class TestPauses:
    def test_they_double_up_to_a_limit(self) -> None:
        watch = begun(patience_seconds=math.inf)
        assert list(pauses(watch, 7)) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    def test_they_stay_below_the_limit_however_often_it_fails(self) -> None:
        watch = Watch(call(), math.inf)
        assert max(pauses(watch, 5_000)) < MAX_PAUSE_SECONDS

    def test_they_are_drawn_from_all_below_the_ceiling(self) -> None:
        watch = Watch(call(), math.inf, random.Random(7).random)
        drawn = [pause / MAX_PAUSE_SECONDS for pause in list(pauses(watch, 1_000))[10:]]
        assert min(drawn) < 0.01
        assert 0.45 < sum(drawn) / len(drawn) < 0.55

    def test_whoever_gives_up_in_silence_tells_what_broke_the_stream_before(self) -> None:
        watch = begun(patience_seconds=1.0)
        assert watch.pause_after(BROKEN, 0) is not None
        silent = silence(watch.next_call(1))
        assert watch.pause_after(silent, 1) is None
        assert watch.told(silent) is BROKEN
        assert watch.told(RESET) is RESET

    def test_silence_after_an_answer_is_told_as_it_is(self) -> None:
        watch = begun()
        watch.pause_after(BROKEN, 0)
        silent = silence(watch.next_call(1))
        watch.hand_over(GREETING, 1)
        assert watch.told(silent) is silent

    def test_they_are_short_again_when_a_stream_was_sound(self) -> None:
        watch = begun()
        list(pauses(watch, 4))
        watch.hand_over(GREETING, 100)
        watch.hand_over(GREETING, 100)
        assert watch.pause_after(BROKEN, 100) == 0.2

    def test_a_service_that_only_greets_is_left_alone_for_longer_and_longer(self) -> None:
        watch = begun()
        for expected in (0.2, 0.4, 0.8):
            assert watch.pause_after(BROKEN, 0) == expected
            watch.next_call(0)
            watch.hand_over(GREETING, 0)

    def test_they_begin_behind_the_time_that_the_service_names(self) -> None:
        told = Unavailable(
            "", reason="OVERLOADED", retryable=True, retry_after=timedelta(seconds=2)
        )
        assert begun().pause_after(told, 0) == 2.2


class TestTheEnd:
    def test_a_failure_that_will_not_pass_ends_the_watch(self) -> None:
        assert begun().pause_after(Internal("", reason="INTERNAL_ERROR"), 0) is None

    def test_a_stream_that_ended_in_good_order_is_resumed(self) -> None:
        error = early_end(call())
        assert (type(error), error.retryable) == (Unavailable, True)

    def test_patience_is_counted_from_the_failure_and_not_from_the_last_answer(self) -> None:
        watch = begun(patience_seconds=1)
        assert watch.pause_after(BROKEN, 1_000) is not None

    def test_patience_ends_when_nothing_was_heard_for_so_long(self) -> None:
        watch = begun(patience_seconds=10)
        watch.pause_after(BROKEN, 100)
        watch.next_call(101)
        assert watch.pause_after(BROKEN, 110) is None

    def test_a_greeting_renews_it(self) -> None:
        watch = begun(patience_seconds=10)
        watch.pause_after(BROKEN, 100)
        watch.next_call(109)
        watch.hand_over(GREETING, 109)
        assert watch.pause_after(BROKEN, 118) is not None

    def test_of_a_service_that_never_answered_it_is_counted_from_the_start(self) -> None:
        watch = Watch(call(), 10)
        watch.next_call(0)
        assert watch.pause_after(BROKEN, 10) is None

    def test_a_line_that_goes_dead_is_given_up_after_silence_and_patience(self) -> None:
        watch = begun(patience_seconds=10)
        assert watch.silence_limit_seconds(0) == 45
        assert watch.pause_after(silence(call()), 45) is not None
        watch.next_call(46)
        assert watch.silence_limit_seconds(46) == 9
        assert watch.pause_after(silence(call()), 55) is None

    def test_a_greeting_after_a_fault_does_not_renew_it(self) -> None:
        watch = begun(patience_seconds=10)
        watch.pause_after(RESET, 100)
        watch.next_call(105)
        watch.hand_over(GREETING, 105)
        assert watch.pause_after(RESET, 110) is None

    def test_an_answer_behind_the_greeting_renews_it_after_a_fault(self) -> None:
        watch = begun(patience_seconds=10)
        watch.pause_after(RESET, 100)
        watch.next_call(105)
        watch.hand_over(GREETING, 105)
        watch.hand_over(GREETING, 106)
        assert watch.pause_after(RESET, 110) is not None

    def test_a_pause_that_goes_beyond_it_is_not_begun(self) -> None:
        told = Unavailable(
            "", reason="OVERLOADED", retryable=True, retry_after=timedelta(seconds=11)
        )
        assert begun(patience_seconds=10).pause_after(told, 0) is None

    @pytest.mark.parametrize("patience_seconds", [0, -1, math.nan])
    def test_no_patience_at_all_is_refused(self, patience_seconds: float) -> None:
        with pytest.raises(ValueError, match="patience_seconds must be above 0"):
            Watch(call(), patience_seconds)


@pytest.mark.parametrize("seed", range(20))
def test_over_any_breaks_nothing_is_missed_and_nothing_comes_twice(seed: int) -> None:
    chance = random.Random(seed)
    watch = Watch(call(from_beginning=True), 60, chance.random)
    now, received = 0.0, list[str]()
    while len(received) < 200:
        behind = int(watch.next_call(now).request.cursor or 0)
        for number in range(behind, behind + chance.randrange(4)):
            watch.hand_over(Watched(event=None, cursor=str(number + 1)), now)
            received.append(watch.cursor)
        pause = watch.pause_after(_some_failure(chance), now)
        assert pause is not None
        now += pause
    assert received == [str(number + 1) for number in range(len(received))]


def _some_failure(chance: random.Random) -> PaymentError:
    return chance.choice([BROKEN, silence(call()), early_end(call())])
