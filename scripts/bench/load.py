"""The load generator, a process of its own: jobs come on stdin, what was measured goes to stdout.

Closed: each answer makes room for the next call. Open: calls are due at a rate whatever comes back,
and latency is counted from when a call was due, so that a server that stalls cannot hide it. It
must cost far less than what it measures: no client library, no task per call.
"""

import selectors
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Final

import msgspec

from scripts.bench.calls import grpc_headers, grpc_messages, grpc_method, http_requests
from scripts.bench.http1 import Http1Line
from scripts.bench.http2 import Answers, Http2Line, Requests
from scripts.bench.lines import SILENCE_LIMIT_SECONDS, Due, Line, Score, ServerLeft
from scripts.bench.meter import MICROSECONDS, Meter

UNDER_WAY_LIMIT: Final = 2_048
"""Of an open run. Beyond it calls wait here, and their latency grows as it would at a client."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `meters` names process trees by their roots; `rate` (calls per second) makes the
    run an open one; `ids_file` has payments, 36 bytes each."""

    call: str
    port: int
    in_flight: int
    connections: int
    warm_up_seconds: float
    seconds: float
    rate: float | None = None
    meters: dict[str, int] = {}
    ids_file: str | None = None
    page_token: str = ""
    is_http: bool = False


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. `answered`, `replayed` and `failed` count from its very first call on,
    everything else the part that was measured."""

    per_second: float
    calls: int
    cpu_us: dict[str, float]
    p50_ms: float
    p99_ms: float
    answered: int
    replayed: int
    failed: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a job: one of the two."""

    measured: Measured | None = None
    error: str = ""


class Window:
    """The part of a run that is measured: opens after the warm-up, closes when its time is over."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._meter: Meter | None = None
        self._before: dict[str, float] = {}
        self._began = 0.0
        self._look_at = time.perf_counter() + job.warm_up_seconds
        self.latencies: list[float] = []
        """In seconds, as they come in."""
        self.is_over = False
        self.seconds = 0.0
        self.measured: list[float] = []
        self.cpu_us: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Opens or closes the window if it is time."""
        if now < self._look_at or self.is_over:
            return
        if self._meter is None:
            self._open()
        else:
            self.close(now)

    def close(self, now: float) -> None:
        """Also before its time, when there is nothing left to send."""
        self.is_over = True
        if self._meter is not None:
            # Its own time is read next to what it did: to read the others' takes some of it.
            after = {"client": time.process_time()} | self._meter.seconds()
            self.seconds, self.measured = now - self._began, sorted(self.latencies)
            per_call = MICROSECONDS / max(len(self.measured), 1)
            self.cpu_us = {name: (after[name] - self._before[name]) * per_call for name in after}

    def result(self, score: Score) -> Measured:
        """What was measured, and what became of the calls; ServerLeft where none was."""
        if not self.measured:
            raise ServerLeft(f"nothing was measured; failed: {dict(score.failed)}")
        return Measured(
            per_second=len(self.measured) / self.seconds,
            calls=len(self.measured),
            cpu_us=self.cpu_us,
            p50_ms=_quantile(self.measured, 0.5) * 1_000,
            p99_ms=_quantile(self.measured, 0.99) * 1_000,
            answered=score.answered,
            replayed=score.replayed,
            failed=dict(score.failed),
        )

    def _open(self) -> None:
        self._meter = Meter(self._job.meters)
        self._before = self._meter.seconds() | {"client": time.process_time()}
        self.latencies.clear()
        self._began = time.perf_counter()
        self._look_at = self._began + self._job.seconds


class Load:
    """The connections of one job, and what goes over them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._score = Score()
        self._lines = list(_lines(job, self._score))
        # An open run needs waits of less than a millisecond, which epoll does not have.
        self._selector: selectors.BaseSelector = (
            selectors.SelectSelector() if job.rate else selectors.DefaultSelector()
        )
        for line in self._lines:
            self._selector.register(line.fileno(), selectors.EVENT_READ, line)
        self._messages = _messages(job)
        self._under_way = 0
        self._window = Window(job)

    def run(self) -> Measured:
        """Raises ServerLeft and what the network raises."""
        if self._job.rate:
            self._run_open(self._job.rate)
        else:
            self._run_closed()
        while self._under_way:
            self._receive(SILENCE_LIMIT_SECONDS)
        for line in self._lines:
            line.close()
        return self._window.result(self._score)

    def _run_closed(self) -> None:
        share, rest = divmod(self._job.in_flight, len(self._lines))
        for place, line in enumerate(self._lines):
            self._post(line, share + (place < rest), time.perf_counter())
        while not self._window.is_over:
            for line, answered in self._receive(SILENCE_LIMIT_SECONDS):
                now = time.perf_counter()
                self._window.look(now)
                if answered and not self._window.is_over:
                    self._post(line, answered, now)

    def _run_open(self, rate: float) -> None:
        interval = 1 / rate
        due_at = time.perf_counter()
        turn = cycle(self._lines)
        while not self._window.is_over:
            now = time.perf_counter()
            while due_at <= now and self._under_way < UNDER_WAY_LIMIT:
                self._post(next(turn), 1, due_at)
                due_at += interval
            self._receive(max(0.0, due_at - time.perf_counter()))
            self._window.look(time.perf_counter())

    def _post(self, line: Line, count: int, due_at: float) -> None:
        calls: list[Due] = [(message, due_at) for message in islice(self._messages, count)]
        self._under_way += len(calls)
        line.post(calls)
        if len(calls) < count:
            self._window.close(time.perf_counter())

    def _receive(self, patience_seconds: float) -> list[tuple[Line, int]]:
        """Reads from every line that has something; how many calls each has answered."""
        readable = self._selector.select(patience_seconds)
        if not readable and patience_seconds == SILENCE_LIMIT_SECONDS:
            raise ServerLeft(f"{self._under_way} calls are not answered")
        answers = []
        for key, _ in readable:
            line: Line = key.data
            due = line.receive()
            now = time.perf_counter()
            self._window.latencies += [now - each for each in due]
            self._under_way -= len(due)
            answers.append((line, len(due)))
        return answers


def _lines(job: Job, score: Score) -> Iterator[Line]:
    if job.is_http:
        for _ in range(job.connections):
            yield Http1Line(job.port, score)
        return
    length = len(next(grpc_messages(job.call, _ids(job), job.page_token)))
    answers, headers = Answers(), grpc_headers(job.call)
    for _ in range(job.connections):
        requests = Requests(grpc_method(job.call), *headers, length)
        yield Http2Line(job.port, requests, answers, score)


def _messages(job: Job) -> Iterator[bytes]:
    return (
        http_requests(job.call)
        if job.is_http
        else grpc_messages(job.call, _ids(job), job.page_token)
    )


def _ids(job: Job) -> list[bytes]:
    if job.ids_file is None:
        return []
    with open(job.ids_file, "rb") as file:  # noqa: PTH123 - a path from the job
        return [line.strip() for line in file]


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def serve(measured: Callable[[Job], Measured]) -> None:
    """A job a line, until stdin ends; for each a line with what was measured, or what failed."""
    for line in sys.stdin.buffer:
        try:
            report = Report(measured=measured(msgspec.json.decode(line, type=Job)))
        except (ServerLeft, OSError) as error:
            report = Report(error=str(error) or type(error).__name__)
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(lambda job: Load(job).run())
