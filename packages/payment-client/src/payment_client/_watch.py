"""How a watch goes on from one stream to the next. Pure: it is told the time and sends nothing.

What is lost is asked for again, behind the last answer that was handed over; so nothing is missed
and nothing comes twice, however often the stream breaks.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from payment_client._calls import WatchCall
from payment_client._errors import PaymentError
from payment_client._failure import read_failure
from payment_client._policy import REQUEST_ID_HEADER
from payment_client._settings import checked_patience
from payment_client._types import Event, Watched
from payment_client._wire import requests

SILENCE_LIMIT_SECONDS: Final = 45.0
"""A service with nothing to tell says so every 15 s; who misses three of them hears a dead line."""
FIRST_PAUSE_SECONDS: Final = 0.2
"""As soon as grpcio connects again; see `_settings`."""
MAX_PAUSE_SECONDS: Final = 5.0
"""Short enough that events are not late for long, and thousands of watchers are no storm."""


class Watch:
    """One watch over all of its streams.

    After a failure that may pass, another stream is worth a pause (full jitter below a ceiling
    that doubles), until `patience_seconds` have passed since the first failure, or since the
    start, without an answer.
    """

    def __init__(
        self,
        call: WatchCall,
        patience_seconds: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_call = call
        self._patience_seconds = checked_patience(patience_seconds)
        self._chance = chance
        self._pause_ceiling_seconds = FIRST_PAUSE_SECONDS
        self._answers = 0
        """Of the current stream."""
        self._gives_up_at: float | None = None
        """None while the stream is sound."""
        self.cursor = call.request.cursor
        """That of the last answer that was handed over."""
        self.has_begun = False
        """The service has said from where on it watches."""

    def next_call(self, now: float) -> WatchCall:
        """The call for the next stream: as asked for until something was heard, then behind it."""
        self._answers = 0
        self._wait_from(now)
        if not self.has_begun:
            return self._first_call
        request = requests.resumed_watch_request(self._first_call.request, self.cursor)
        return replace(self._first_call, request=request)

    def silence_limit_seconds(self, now: float) -> float:
        """How long the stream may say nothing from now on."""
        if self._gives_up_at is None:
            return SILENCE_LIMIT_SECONDS
        return min(SILENCE_LIMIT_SECONDS, max(0.0, self._gives_up_at - now))

    def hand_over(self, answer: Watched) -> Event | None:
        """What the caller gets for an answer; from here on it counts as theirs."""
        self._answers += 1
        if self._answers > 1:  # a service that only ever greets is not well yet
            self._pause_ceiling_seconds = FIRST_PAUSE_SECONDS
        self._gives_up_at = None
        self.has_begun = True
        self.cursor = answer.cursor
        return answer.event

    def pause_after(self, failure: PaymentError, now: float) -> float | None:
        """How many seconds to wait before the next stream; None when the failure is the end."""
        gives_up_at = self._wait_from(now)
        pause = self._chance() * self._pause_ceiling_seconds
        self._pause_ceiling_seconds = min(MAX_PAUSE_SECONDS, 2 * self._pause_ceiling_seconds)
        if failure.retry_after is not None:
            pause += failure.retry_after.total_seconds()
        return pause if failure.retryable and now + pause < gives_up_at else None

    def _wait_from(self, now: float) -> float:
        if self._gives_up_at is None:
            self._gives_up_at = now + self._patience_seconds
        return self._gives_up_at


def silence(call: WatchCall, limit_seconds: float) -> PaymentError:
    """The failure of a stream on which nothing was heard for too long."""
    return _failure_of(call, "DEADLINE_EXCEEDED", f"nothing was heard for {limit_seconds:.3g} s")


def early_end(call: WatchCall) -> PaymentError:
    """The failure of a stream that ended in good order: a watch has no end."""
    return _failure_of(call, "UNAVAILABLE", "the service ended the watch")


def _failure_of(call: WatchCall, code: str, message: str) -> PaymentError:
    request_id = call.terms.headers.get(REQUEST_ID_HEADER, "")
    return read_failure(code, message, (), request_id=request_id)
