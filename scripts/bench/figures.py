"""What is made of the measurements: medians with their spread, and the ratios that matter.

A ratio is made within each repetition, then the median of these is told: what disturbs a machine
for a minute disturbs both sides of it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

import msgspec

from scripts.bench.contest import Result

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
    """A ratio of ours to something, with the bound for each transport; `{}` is the transport."""

    name: str
    above: Read
    below: Read
    at_least: tuple[float | None, float | None] = (None, None)
    at_most: tuple[float | None, float | None] = (None, None)


TRANSPORTS: Final = ("native", "grpcio")


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
    return Figure(
        name=wanted.name,
        contestant=contestant,
        spread=Spread.of(ratios),
        at_least=wanted.at_least[place],
        at_most=wanted.at_most[place],
    )


def _of_transport(ours: str) -> Iterator[_Wanted]:
    create, create_512 = f"{ours}: create, 64 in flight", f"{ours}: create, 512 in flight"
    echo, usual = "echo: echo, 64 in flight", "usual: create, 64 in flight"
    both = ("server", "postgres")
    yield _Wanted("create / echo", throughput(create), throughput(echo), (1.5, 0.55))
    yield _Wanted(
        "create / echo, server's CPU", cpu(create, "server"), cpu(echo, "server"),
        at_most=(0.42, 1.5),
    )  # fmt: skip
    yield _Wanted("create / usual design, 64", throughput(create), throughput(usual), (8, 3))
    yield _Wanted(
        "create / usual design, 512",
        throughput(create_512),
        throughput("usual: create, 512 in flight"),
        (12, None),
    )
    yield _Wanted(
        "usual design / create, CPU of server and PostgreSQL",
        cpu(usual, *both),
        cpu(create, *both),
        (8, 3),
    )
    yield _Wanted(
        "create, 512 / pgbench's single-row insert, 64 clients",
        throughput(create_512),
        throughput("pgbench: insert, 64 in flight"),
        (0.7, None),
    )
    yield _Wanted("get / echo", throughput(f"{ours}: get, 64 in flight"), throughput(echo),
                  (2.2, 0.55))  # fmt: skip
    yield _Wanted("process / echo", throughput(f"{ours}: process, 64 in flight"), throughput(echo),
                  (0.5, 0.3))  # fmt: skip
    for kind, least in (
        ("create, changing metadata, 64 in flight", 0.8),
        ("create, 64 in flight on 64", 0.8),
        ("create, 10 % replays, 64 in flight", 0.85),
    ):
        yield _Wanted(
            f"{kind} / plain", throughput(f"{ours}: {kind}"), throughput(create), (least, least)
        )


def _of_all(ours: str) -> Iterator[_Wanted]:
    yield _Wanted(
        "create / pgbench running a create row by row, PostgreSQL's CPU",
        cpu(f"{ours}: create, 64 in flight", "postgres"),
        cpu("pgbench: create statement, 64 in flight", "postgres"),
        at_most=(0.5, None),
    )
    yield _Wanted(
        "lone create / pgbench's lone insert, p50",
        half_way(f"{ours}: create, 1 in flight"),
        half_way("pgbench: insert, 1 in flight"),
        at_most=(5, None),
    )
    for kind, most in (("REST", 3), ("GraphQL", 7)):
        yield _Wanted(
            f"{kind} create / Litestar echo, CPU of mock and echo",
            cpu(f"mock: {kind} create, 64 in flight on 64", "server"),
            cpu("litestar: echo, 64 in flight on 64", "server"),
            at_most=(most, None),
        )
