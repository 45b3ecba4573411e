"""The tables, in Markdown, and the JSON file."""

import json
import math
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

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
    yield "| run | per s | server µs | PostgreSQL µs | load µs | p50 ms | p99 ms | MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in repetitions[0]:
        results = [each[name] for each in repetitions]
        cpu = [
            _number([each.cpu_us.get(part) for each in results])
            for part in ("server", "postgres", "client")
        ]
        cells = [
            name,
            spread(Spread.of([each.per_second for each in results]), "{:,.0f}"),
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
        ratio = spread(each.spread, "{:.2f}")
        yield f"| {each.name} | {each.contestant} | {ratio} | {wanted} | {reached} |"


def plot(repetitions: Sequence[Repetition]) -> Iterator[str]:
    """Creates per second beside what they are measured by, as a diagram in Mermaid's language."""
    bars = {
        name.partition(",")[0].replace(": ", " "): median(
            each[name].per_second for each in repetitions
        )
        for name in repetitions[0]
        if name.endswith(("create, 512 in flight", "echo, 64 in flight", "insert, 64 in flight"))
    }
    yield "```mermaid"
    yield "xychart-beta horizontal"
    yield '  title "calls per second: create with 512 in flight; echo and insert with 64"'
    yield f"  x-axis [{', '.join(json.dumps(name) for name in bars)}]"
    yield f"  bar [{', '.join(f'{value:.0f}' for value in bars.values())}]"
    yield "```"


def starts(seconds: dict[str, Spread]) -> str:
    return "Start-up until ready, s: " + ", ".join(
        f"{name} {spread(each, '{:.2f}')}" for name, each in seconds.items()
    )


def keep(report: object, path: Path) -> None:
    """Writes the JSON file."""
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1)
    path.write_bytes(encoded + b"\n")


def spread(of: Spread, form: str) -> str:
    """A median with its least and most, unless all are one."""
    if of.least == of.most:
        return form.format(of.median)
    return f"{form.format(of.median)} ({form.format(of.least)} to {form.format(of.most)})"


def _number(values: Sequence[float | None], form: str = "{:.0f}") -> str:
    known = [each for each in values if each is not None and not math.isnan(each)]
    return form.format(Spread.of(known).median) if known else ""
