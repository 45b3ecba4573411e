"""The tables, in Markdown, and the JSON file."""

import math
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from scripts.bench.figures import Figure, Repetition, Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one bench, as it is kept."""

    machine: str
    seconds: float
    repetitions: list[dict[str, object]]
    figures: list[Figure]
    start_seconds: dict[str, Spread]


def machine(postgres_version: str) -> str:
    """What the figures depend on, and nothing of whose machine it is."""
    return (
        f"{os.cpu_count()} cores shared by servers, PostgreSQL and load, {platform.machine()},"
        f" {platform.system()}, CPython {platform.python_version()}, PostgreSQL {postgres_version}"
    )


def measurements(repetitions: Sequence[Repetition]) -> Iterator[str]:
    """A row for each run: medians over the repetitions, the throughput with its spread."""
    yield "| run | calls/s | server µs | PostgreSQL µs | load µs | p50 ms | p99 ms | MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in repetitions[0]:
        results = [each[name] for each in repetitions]
        cpu = [
            _number([each.cpu_us.get(part) for each in results])
            for part in ("server", "postgres", "client")
        ]
        cells = [
            name,
            _spread(Spread.of([each.per_second for each in results]), "{:,.0f}"),
            *cpu,
            _number([each.p50_ms for each in results], "{:.2f}"),
            _number([each.p99_ms for each in results], "{:.2f}"),
            _number([each.resident_mib for each in results]),
        ]
        yield f"| {' | '.join(cells)} |"


def ratios(figures: Sequence[Figure]) -> Iterator[str]:
    """A row for each ratio."""
    yield "| ratio | transport | median (least to most) | wanted | reached |"
    yield "|---|---|---|---|---|"
    for each in figures:
        wanted = ""
        if each.at_least is not None:
            wanted = f"≥ {each.at_least:g}"
        elif each.at_most is not None:
            wanted = f"≤ {each.at_most:g}"
        reached = {True: "yes", False: "no", None: ""}[each.is_reached]
        spread = _spread(each.spread, "{:.2f}")
        yield f"| {each.name} | {each.contestant} | {spread} | {wanted} | {reached} |"


def starts(seconds: dict[str, Spread]) -> str:
    return "Start-up until ready, s: " + ", ".join(
        f"{name} {_spread(spread, '{:.2f}')}" for name, spread in seconds.items()
    )


def keep(report: Report, path: Path) -> None:
    """Writes the JSON file."""
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    path.write_bytes(encoded + b"\n")


def _spread(spread: Spread, form: str) -> str:
    if spread.least == spread.most:
        return form.format(spread.median)
    return (
        f"{form.format(spread.median)} ({form.format(spread.least)} to {form.format(spread.most)})"
    )


def _number(values: Sequence[float | None], form: str = "{:.0f}") -> str:
    known = [each for each in values if each is not None and not math.isnan(each)]
    return form.format(Spread.of(known).median) if known else ""
