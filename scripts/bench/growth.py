"""`make bench-growth`: whether rows and calls that pile up make anything slower or larger.

Fills the tables by SQL, to ten thousand payments and in steps to five million, and looks at each
step at what a create and a page cost; then makes a million calls and looks at the memory. Takes
ten minutes, on slow machines half an hour, and 15 GB of disk, which it gives back.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import chdir
from statistics import median
from typing import Final

import msgspec

from payment_server.domain.commands import ListPayments
from payment_server.domain.paging import token_after
from scripts.bench import postgres as database
from scripts.bench import report, services
from scripts.bench.contest import CONNECTIONS, Generator
from scripts.bench.figures import Figure, Spread
from scripts.bench.load import Job, Measured
from scripts.bench.postgres import Postgres
from scripts.bench.services import Running

SIZES: Final = (10_000, 100_000, 1_000_000, 5_000_000)
RUNS: Final = 3  # of each kind at each size
DEPTH: Final = 0.99
CALLS: Final = 1_000_000
MEMORY_RUN_SECONDS: Final = 10.0
MEMORY_RUNS_LIMIT: Final = 60
"""Ten minutes: a service too slow for a million calls in that time has made enough of them."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What things cost at one size. Processor time is that of server and PostgreSQL together."""

    rows: int
    create_us: Spread
    creates_per_second: float
    first_page_ms: Spread
    deep_page_ms: Spread


class Growth:
    """One service on one database that grows."""

    def __init__(self, postgres: Postgres, service: Running, generator: Generator) -> None:
        self._postgres = postgres
        self._service = service
        self._generator = generator

    async def step(self, rows: int) -> Step:
        """Fills up to `rows` payments and measures."""
        await self._run("create", seconds=0.1)  # what is filled in is modelled on a stored one
        await self._postgres.fill(rows)
        token = token_after(ListPayments(), await self._postgres.id_at_depth(round(rows * DEPTH)))
        creates, firsts, deeps = [], [], []
        for _ in range(RUNS):
            creates.append(await self._run("create"))
            firsts.append(await self._run("list", in_flight=1))
            deeps.append(await self._run("list", in_flight=1, page_token=token))
        return Step(
            rows=rows,
            create_us=Spread.of([_both_us(each) for each in creates]),
            creates_per_second=median(each.per_second for each in creates),
            first_page_ms=Spread.of([each.p50_ms for each in firsts]),
            deep_page_ms=Spread.of([each.p50_ms for each in deeps]),
        )

    async def memory(self) -> list[tuple[int, float]]:
        """The resident MiB after so many calls."""
        calls, seen = 0, []
        for _ in range(MEMORY_RUNS_LIMIT):
            measured = await self._run("create", seconds=MEMORY_RUN_SECONDS)
            calls += measured.answered
            seen.append((calls, self._service.resident_mib))
            if calls >= CALLS:
                break
        return seen

    async def _run(
        self, call: str, *, in_flight: int = 64, seconds: float = 4.0, page_token: str = ""
    ) -> Measured:
        job = Job(
            call=call,
            port=self._service.ports["grpc_port"],
            in_flight=in_flight,
            connections=min(in_flight, CONNECTIONS),
            warm_up_seconds=0.5,
            seconds=seconds,
            meters={"server": self._service.pid, "postgres": self._postgres.pid},
            page_token=page_token,
        )
        measured = await self._generator.measured(job)
        if measured.failed:
            raise RuntimeError(f"{call}: {measured.failed}")
        return measured


async def bench(largest: int, transport: str) -> None:
    """Prints the tables and keeps the figures."""
    async with (
        database.running() as postgres,
        Generator.started("scripts.bench.load") as generator,
        services.serving(postgres, (transport,)) as running,
    ):
        with running.on(transport):
            growth = Growth(postgres, running[transport], generator)
            steps = []
            for rows in (each for each in SIZES if each <= largest):
                steps.append(await growth.step(rows))
                print(f"{rows:,} payments: {steps[-1]}", file=sys.stderr)
            seen = await growth.memory()
        machine = report.machine(await postgres.version())
    figures = list(_figures(steps, seen))
    for line in (
        f"{machine}; transport {transport}.\n",
        *report.ratios(figures),
        "",
        *_table(steps),
        f"\nMemory after so many calls: {', '.join(f'{n:,}: {mib:.1f} MiB' for n, mib in seen)}",
    ):
        print(line)
    kept = {"machine": machine, "steps": steps, "memory": seen, "figures": figures}
    report.keep(kept, database.FOLDER / "growth.json")


def _figures(steps: list[Step], seen: list[tuple[int, float]]) -> Iterator[Figure]:
    first, last = steps[0], steps[-1]
    calls, growth_mib = seen[-1][0], seen[-1][1] - seen[len(seen) // 2][1]
    for name, value, most in (
        (
            f"CPU per create at {last.rows:,} payments / at {first.rows:,}",
            last.create_us.median / first.create_us.median,
            1.2,
        ),
        (
            f"page at {DEPTH:.0%} of {last.rows:,} payments / first page, p50",
            last.deep_page_ms.median / last.first_page_ms.median,
            1.2,
        ),
        (f"MiB of growth over the last half of {calls:,} calls", growth_mib, 5.0),
    ):
        yield Figure(name, "", Spread.of([value]), at_most=most)


def _table(steps: list[Step]) -> Iterator[str]:
    yield "| payments | creates/s | server + PostgreSQL µs | first page ms | page at 99 % ms |"
    yield "|---|---|---|---|---|"
    for each in steps:
        cpu, first, deep = (
            report.spread(spread, "{:.2f}")
            for spread in (each.create_us, each.first_page_ms, each.deep_page_ms)
        )
        yield f"| {each.rows:,} | {each.creates_per_second:,.0f} | {cpu} | {first} | {deep} |"


def _both_us(measured: Measured) -> float:
    return measured.cpu_us["server"] + measured.cpu_us["postgres"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument("--payments", type=int, default=SIZES[-1], help="the largest step")
    arguments = parser.parse_args()
    with chdir(database.ROOT):
        asyncio.run(bench(max(arguments.payments, SIZES[0]), services.transports()[0]))


if __name__ == "__main__":
    main()
