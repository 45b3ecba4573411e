"""How a watch goes on from one stream to the next. It is told the time, and sends nothing.

What is lost is asked for again, behind the last answer that was handed over; so nothing is missed
and nothing comes twice, however often the stream breaks.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from payment_client._calls import WatchCall
from payment_client._errors import PaymentError
from payment_client._failure import read_failure
from payment_client._settings import CLOSED, checked_patience
from payment_client._terms import REQUEST_ID_HEADER
from payment_client._types import Event, Watched
from payment_client._wire import requests

SILENCE_LIMIT_SECONDS: Final = 45.0
"""A service with nothing to tell says so every 15 s; who misses three of them hears a dead line."""
FIRST_PAUSE_SECONDS: Final = 0.2
"""As soon as grpcio connects again; see `_settings`."""
MAX_PAUSE_SECONDS: Final = 5.0
"""Short enough that events are not late for long, and thousands of watchers are no storm."""
_FAULTS: Final = frozenset({"INTERNAL", "UNKNOWN"})
"""The reasons of what broke a stream without a word of the service: a proxy, a reset of HTTP/2.
Where the service itself says INTERNAL_ERROR it has met a bug, which another stream meets again."""


class WaitingClock:
    """Seconds that somebody has waited; enter it to wait, outside it stands still.

    So neither patience nor silence is counted while a caller is busy with an event.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_at = clock()
        self._seconds_away = 0.0

    def now(self) -> float:
        return self._clock() - self._seconds_away

    def __enter__(self) -> None:
        self._seconds_away += self._clock() - self._left_at

    def __exit__(self, *_: object) -> None:
        self._left_at = self._clock()


class Watch:
    """One watch over all of its streams. Its times are those of a `WaitingClock`.

    After a failure that may pass, another stream is worth a pause (full jitter below a ceiling
    that doubles), until `patience_seconds` have passed since the first failure, or since the
    start, without an answer. After a fault a greeting alone does not count as one: whatever
    breaks the stream may wait behind it.
    """

    def __init__(
        self,
        call: WatchCall,
        patience_seconds: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.first_call = call
        self._patience_seconds = checked_patience(patience_seconds)
        self._chance = chance
        self._pause_ceiling_seconds = FIRST_PAUSE_SECONDS
        self._answers = 0
        """Of the current stream."""
        self._silent_at = math.inf
        """When the current stream has said nothing for too long."""
        self._gives_up_at = math.inf
        """Infinite while the stream is sound."""
        self._had_fault = False
        self._broken_by: PaymentError | None = None
        """What ended the stream before, if nothing was heard since."""
        self.cursor = call.request.cursor
        """That of the last answer that was handed over."""
        self.has_begun = False
        """The service has said from where on it watches."""

    def next_call(self, now: float) -> WatchCall:
        """The call for the next stream: as asked for until something was heard, then behind it."""
        self._answers = 0
        self._silent_at = now + SILENCE_LIMIT_SECONDS
        self._wait_from(now)
        if not self.has_begun:
            return self.first_call
        request = requests.resumed_watch_request(self.first_call.request, self.cursor)
        return replace(self.first_call, request=request)

    def silence_limit_seconds(self, now: float) -> float:
        """How long the stream may go on saying nothing."""
        return max(0.0, min(self._silent_at, self._gives_up_at) - now)

    def hand_over(self, answer: Watched, now: float) -> Event | None:
        """What the caller gets for an answer; from here on it counts as theirs."""
        self._answers += 1
        if self._answers > 1:  # a service that only ever greets is not well yet
            self._pause_ceiling_seconds = FIRST_PAUSE_SECONDS
            self._had_fault = False
        if not self._had_fault:
            self._gives_up_at = math.inf
        self._broken_by = None
        self._silent_at = now + SILENCE_LIMIT_SECONDS
        self.has_begun = True
        self.cursor = answer.cursor
        return answer.event

    def pause_after(self, failure: PaymentError, now: float) -> float | None:
        """How many seconds to wait before the next stream; None when the failure is the end."""
        is_fault = failure.reason in _FAULTS
        self._had_fault = self._had_fault or is_fault
        self._wait_from(now)
        pause = self._chance() * self._pause_ceiling_seconds
        self._pause_ceiling_seconds = min(MAX_PAUSE_SECONDS, 2 * self._pause_ceiling_seconds)
        if failure.retry_after is not None:
            pause += failure.retry_after.total_seconds()
        may_pass = failure.retryable or is_fault
        if may_pass and now + pause < self._gives_up_at:
            self._broken_by = failure
            return pause
        return None

    def told(self, failure: PaymentError) -> PaymentError:
        """What its caller hears in the end: where the last stream was only silent, for as long as
        patience left it, what had broken the one before."""
        is_silence = failure.reason == "DEADLINE_EXCEEDED"
        return self._broken_by if is_silence and self._broken_by is not None else failure

    def _wait_from(self, now: float) -> None:
        self._gives_up_at = min(self._gives_up_at, now + self._patience_seconds)


def silence(call: WatchCall) -> PaymentError:
    """The failure of a stream on which nothing was heard for too long."""
    return _failure_of(call, "DEADLINE_EXCEEDED", "nothing was heard for too long")


def early_end(call: WatchCall) -> PaymentError:
    """The failure of a stream that ended in good order: a watch has no end."""
    return _failure_of(call, "UNAVAILABLE", "the service ended the watch")


def cut_off(call: WatchCall) -> PaymentError:
    """The failure of a watch that outlives its client: as of a call that is under way then."""
    return _failure_of(call, "CANCELLED", CLOSED)


def _failure_of(call: WatchCall, code: str, message: str) -> PaymentError:
    request_id = call.terms.headers.get(REQUEST_ID_HEADER, "")
    return read_failure(code, message, (), request_id=request_id)
