"""What is made of the measurements: medians with their spread, and the ratios that matter.

A ratio is made within each repetition, then the median of these is told: what disturbs a machine
for a minute disturbs both sides of it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

import msgspec

from scripts.bench.calls import BY_CLIENT, BY_STUB
from scripts.bench.contest import Result
from scripts.bench.services import SEVERAL, TRANSPORTS

Repetition: TypeAlias = Mapping[str, Result]
Read: TypeAlias = Callable[[Repetition], float]


class Spread(msgspec.Struct, frozen=True):
    """A median, and the least and the most of what it was made from."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


class Figure(msgspec.Struct, frozen=True):
    """A ratio with its floor (or ceiling), as printed."""

    name: str
    contestant: str
    spread: Spread
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """None where nothing was asked for."""
        if self.at_least is not None:
            return self.spread.median >= self.at_least
        return None if self.at_most is None else self.spread.median <= self.at_most


@dataclass(frozen=True)
class _Wanted:
    """A ratio of ours to something else, with its bound on each of TRANSPORTS."""

    name: str
    above: Read
    below: Read
    bounds: tuple[float | None, float | None]
    is_ceiling: bool = False


def throughput(name: str) -> Read:
    return lambda repetition: repetition[name].per_second


def cpu(name: str, *parts: str) -> Read:
    return lambda repetition: sum(repetition[name].cpu_us[part] for part in parts)


def half_way(name: str) -> Read:
    """The median latency."""
    return lambda repetition: repetition[name].p50_ms or math.nan


def figures(repetitions: Sequence[Repetition], transports: Sequence[str]) -> list[Figure]:
    """All ratios, by transport where there is a choice."""
    return [
        *(
            _figure(each, place, transport, repetitions)
            for transport in transports
            for place in (TRANSPORTS.index(transport),)
            for each in _of_transport(transport)
        ),
        *(_figure(each, 0, "", repetitions) for each in _of_all(transports[0])),
    ]


def _figure(
    wanted: _Wanted, place: int, contestant: str, repetitions: Sequence[Repetition]
) -> Figure:
    ratios = [wanted.above(each) / (wanted.below(each) or math.nan) for each in repetitions]
    bound = wanted.bounds[place]
    return Figure(
        name=wanted.name,
        contestant=contestant,
        spread=Spread.of(ratios),
        at_least=None if wanted.is_ceiling else bound,
        at_most=bound if wanted.is_ceiling else None,
    )


def _of_transport(ours: str) -> Iterator[_Wanted]:
    echo = "echo: echo, 64 in flight"
    usual, usual_512 = (f"usual: create, {number} in flight" for number in (64, 512))
    create, create_512, get, process = (
        f"{ours}: {call} in flight"
        for call in ("create, 64", "create, 512", "get, 64", "process, 64")
    )
    insert = "pgbench: insert, 64 in flight"
    both = ("server", "postgres")
    for name, above, below, bounds in (
        ("create / echo", create, echo, (1.5, 0.55)),
        ("create / usual design", create, usual, (8, 3)),
        ("create / usual design, 512 in flight", create_512, usual_512, (12, None)),
        ("create, 512 in flight / pgbench's insert of a row", create_512, insert, (0.7, None)),
        ("get / echo", get, echo, (2.2, 0.55)),
        ("process / echo", process, echo, (0.5, 0.3)),
    ):
        yield _Wanted(name, throughput(above), throughput(below), bounds)
    for kind, least in (
        ("create, changing metadata, 64 in flight", 0.8),
        ("create, 64 in flight on 64", 0.8),
        ("create, 10 % replays, 64 in flight", 0.85),
    ):
        other = throughput(f"{ours}: {kind}")
        yield _Wanted(f"{kind} / plain", other, throughput(create), (least, least))
    server, nothing = cpu(create, "server"), cpu(echo, "server")
    yield _Wanted("create / echo, server's CPU", server, nothing, (0.42, 1.5), is_ceiling=True)
    name = "usual design / create, CPU of server and PostgreSQL"
    yield _Wanted(name, cpu(usual, *both), cpu(create, *both), (8, 3))


def _of_all(ours: str) -> Iterator[_Wanted]:
    """What is looked at on one transport."""
    lone, insert = f"{ours}: create, 1 in flight", "pgbench: insert, 1 in flight"
    create, row_by_row = (
        cpu(f"{name}, 64 in flight", "postgres")
        for name in (f"{ours}: create", "pgbench: create statement")
    )
    several, one = (f"{name}: create, 64 in flight on 64" for name in (SEVERAL, ours))
    yield _Wanted("2 workers / one, create", throughput(several), throughput(one), (None, None))
    batch = throughput(f"{ours}: batch create of 1,000, 4 in flight on 4")
    row = throughput("pgbench: insert, 64 in flight")
    yield _Wanted("batch create of 1,000 / pgbench's insert of a row", batch, row, (1.2, None))
    name = "create / pgbench doing it row by row, PostgreSQL's CPU"
    yield _Wanted(name, create, row_by_row, (0.5, None), is_ceiling=True)
    name = "lone create / pgbench's lone insert of a row, p50"
    yield _Wanted(name, half_way(lone), half_way(insert), (5, None), is_ceiling=True)
    client, stub = (cpu(f"{ours}: {call}, 64 in flight", "client") for call in (BY_CLIENT, BY_STUB))
    name = "payment-client / generated stub, CPU of the caller"
    yield _Wanted(name, client, stub, (1.15, None), is_ceiling=True)
    echo = cpu("litestar: echo, 64 in flight on 64", "server")
    for kind, most in (("REST", 3), ("GraphQL", 7)):
        mock = cpu(f"mock: {kind} create, 64 in flight on 64", "server")
        name = f"{kind} create / Litestar echo, CPU of mock and echo"
        yield _Wanted(name, mock, echo, (most, None), is_ceiling=True)
