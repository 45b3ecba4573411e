"""`python -m scripts.bench`: all repetitions, the tables, the JSON file.

Exit code 1 when any answer was wrong, or when a payment that was acknowledged is not there.
"""

import argparse
import asyncio
import sys
import time
from contextlib import chdir
from dataclasses import dataclass
from typing import Final

from scripts.bench import postgres as database
from scripts.bench import report, services
from scripts.bench.contest import Contest, Count, Generator, Result, runs
from scripts.bench.figures import Spread, figures


@dataclass(frozen=True)
class Size:
    """How much of everything. The times are for each run, of which a repetition has about 40."""

    repetitions: int
    warm_up_seconds: float
    seconds: float


FULL: Final = Size(repetitions=5, warm_up_seconds=0.5, seconds=2.5)
QUICK: Final = Size(repetitions=1, warm_up_seconds=0.15, seconds=0.5)


async def bench(size: Size, transports: tuple[str, ...]) -> int:
    """Prints the tables; returns the exit code."""
    began = time.monotonic()
    repetitions: list[dict[str, Result]] = []
    starts: dict[str, list[float]] = {}
    total = Count()
    async with (
        database.running() as postgres,
        Generator.started("scripts.bench.load") as generator,
        Generator.started("scripts.bench.callers") as callers,
    ):
        for number in range(size.repetitions):
            async with services.serving(postgres, transports) as running:
                contest = Contest(
                    postgres,
                    running,
                    generator,
                    callers,
                    warm_up_seconds=size.warm_up_seconds,
                    seconds=size.seconds,
                )
                repetitions.append(await _repetition(contest, transports, number))
                for name in (*transports, "mock"):
                    starts.setdefault(name, []).append(running[name].start_seconds)
                total.created += contest.count.created
                total.faults += contest.count.faults
        stored = await postgres.payments()
        version = await postgres.version()
    if stored != total.created:
        total.faults.append(f"{total.created} payments were acknowledged, {stored} are stored")
    _tell(repetitions, starts, transports, report.machine(version), time.monotonic() - began)
    print(f"\n{stored} payments acknowledged and stored." if not total.faults else "")
    for fault in total.faults:
        print(f"WRONG: {fault}", file=sys.stderr)
    return 1 if total.faults else 0


async def _repetition(
    contest: Contest, transports: tuple[str, ...], number: int
) -> dict[str, Result]:
    done: dict[str, Result] = {}
    planned = list(runs(transports))
    # Forwards and backwards in turn; what stands on another run of the same repetition comes last.
    order = planned if number % 2 == 0 else planned[::-1]
    for each in sorted(order, key=lambda run: run.half_of is not None):
        done[each.name] = await contest.run(each, done)
        print(f"{number + 1}  {each.name}: {done[each.name].per_second:,.0f}/s", file=sys.stderr)
    return {each.name: done[each.name] for each in planned}


def _tell(
    repetitions: list[dict[str, Result]],
    starts: dict[str, list[float]],
    transports: tuple[str, ...],
    machine: str,
    seconds: float,
) -> None:
    ratios = figures(repetitions, transports)
    start_seconds = {name: Spread.of(each) for name, each in starts.items()}
    for line in (
        f"{machine}; {len(repetitions)} repetitions in {seconds:.0f} s.\n",
        *report.ratios(ratios),
        "",
        *report.plot(repetitions),
        "",
        *report.measurements(repetitions),
        "",
        report.starts(start_seconds),
    ):
        print(line)
    report.keep(
        report.Report(
            machine=machine,
            seconds=seconds,
            repetitions=[dict(each) for each in repetitions],
            figures=ratios,
            start_seconds=start_seconds,
        ),
        database.FOLDER / "bench.json",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short repetition")
    arguments = parser.parse_args()
    with chdir(database.ROOT):
        return asyncio.run(bench(QUICK if arguments.quick else FULL, services.transports()))


if __name__ == "__main__":
    sys.exit(main())
