"""Who does what: the runs of one repetition, and how each is measured.

Every repetition has all runs, one after the other, every second one backwards: so contestants are
interleaved, and a machine that grows slower does so for all of them.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from payment_server.store.embedded import DATABASE
from scripts.bench.calls import BATCHES, BY_CALLERS
from scripts.bench.load import Job, Measured, Report
from scripts.bench.postgres import FOLDER, PLAIN, Postgres
from scripts.bench.services import SEVERAL, Services
from scripts.bench.statements import CREATE_ONE, INSERT_ONE, SELECT_ONE

LOAD_LIMIT_SECONDS: Final = 60.0  # over what the job is told to take
IDS_LIMIT: Final = 60_000  # payments to read and to process: more than a run gets through
CONNECTIONS: Final = 4  # of the plain case: a few clients with many calls each
BATCHES_IN_FLIGHT: Final = 4  # of a few importers, each of which waits for its answer
HALF: Final = 0.5  # of the capacity: where latency is looked at


@dataclass(frozen=True)
class Run:
    """One contestant with one kind of call. `half_of` names the run whose throughput, halved, is
    the rate of this one."""

    contestant: str
    call: str
    in_flight: int = 64
    connections: int = CONNECTIONS
    half_of: str | None = None
    beside: tuple[str, ...] = ()
    """Who else has to be awake."""

    @property
    def items(self) -> int:
        """Of one call."""
        return BATCHES.get(self.call, 1)

    @property
    def name(self) -> str:
        """Unique within a repetition."""
        load = "half load" if self.half_of else f"{self.in_flight} in flight"
        lines = f" on {self.connections}" if self.connections == self.in_flight > 1 else ""
        return f"{self.contestant}: {self.call}, {load}{lines}"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run came to; a batch counts as its payments, but for latency. Latencies are None
    where nobody could measure them."""

    name: str
    per_second: float
    cpu_us: dict[str, float]
    p50_ms: float | None
    p99_ms: float | None
    resident_mib: float | None = None


@dataclass
class Count:
    """The payments that must be there in the end, and what went wrong on the way."""

    created: int = 0
    faults: list[str] = field(default_factory=list)


_SCRIPTS: Final = {
    "insert": (INSERT_ONE, PLAIN),
    "select": (SELECT_ONE, PLAIN),
    "create statement": (CREATE_ONE, DATABASE),
}


def runs(transports: tuple[str, ...]) -> Iterator[Run]:
    """All runs of a repetition, those that are compared near each other."""
    yield Run("echo", "echo")
    for ours in transports:
        yield Run(ours, "create")
    yield Run("usual", "create")
    for ours in transports:
        yield Run(ours, "create", connections=64)
        if ours == transports[0]:
            yield Run(SEVERAL, "create", connections=64)
        yield Run(ours, "create, changing metadata")
        yield Run(ours, "create, 10 % replays")
    for ours in transports:
        yield Run(ours, "create", 512)
    yield Run("usual", "create", 512)
    for call in BATCHES:
        yield Run(transports[0], call, BATCHES_IN_FLIGHT)
    yield Run("pgbench", "insert")
    yield Run("pgbench", "create statement")
    for ours in transports:
        yield Run(ours, "get")
        yield Run(ours, "process")
        yield Run(ours, "list")
    yield Run("pgbench", "select")
    for call in BY_CALLERS:
        yield Run(transports[0], call, connections=1)
    for contestant in (*transports, "usual"):
        yield Run(contestant, "create", half_of=f"{contestant}: create, 64 in flight")
    for contestant in (*transports, "usual"):
        yield Run(contestant, "create", 1, 1)
    yield Run(transports[0], "create", 8)
    yield Run("pgbench", "insert", 1, 1)
    behind = (transports[0],)
    yield Run("litestar", "echo", 64, 64)
    yield Run("mock", "REST create", 64, 64, beside=behind)
    yield Run("mock", "GraphQL create", 64, 64, beside=behind)


class Contest:
    """Makes runs on what is started. `warm_up_seconds` and `seconds` hold for each."""

    def __init__(
        self,
        postgres: Postgres,
        services: Services,
        generator: "Generator",
        callers: "Generator",
        *,
        warm_up_seconds: float,
        seconds: float,
    ) -> None:
        self._postgres = postgres
        self._services = services
        self._generator = generator
        self._callers = callers
        self._warm_up_seconds = warm_up_seconds
        self._seconds = seconds
        self.count = Count()

    async def run(self, run: Run, before: Mapping[str, Result]) -> Result:
        """One run; `before` has those of this repetition that are done."""
        await self._postgres.checkpoint()
        if run.contestant == "pgbench":
            script, database = _SCRIPTS[run.call]
            done = await self._postgres.pgbench(
                script, database, clients=run.in_flight, seconds=self._seconds
            )
            return Result(
                name=run.name,
                per_second=done.per_second,
                cpu_us={"postgres": done.postgres_us, "client": done.client_us},
                p50_ms=done.p50_ms,
                p99_ms=done.p99_ms,
            )
        with self._services.on(run.contestant, *run.beside):
            return await self._loaded(run, before)

    async def _loaded(self, run: Run, before: Mapping[str, Result]) -> Result:
        service = self._services[run.contestant]
        generator = self._callers if run.call in BY_CALLERS else self._generator
        measured = await generator.measured(await self._job(run, before))
        self._book(run, measured)
        return Result(
            name=run.name,
            per_second=measured.per_second * run.items,
            cpu_us={name: each / run.items for name, each in measured.cpu_us.items()},
            p50_ms=measured.p50_ms,
            p99_ms=measured.p99_ms,
            resident_mib=service.resident_mib,
        )

    async def _job(self, run: Run, before: Mapping[str, Result]) -> Job:
        service = self._services[run.contestant]
        ids_file = None
        if run.call in ("get", "process"):
            ids_file = FOLDER / "ids"
            ids_file.write_text("\n".join(await self._postgres.created_ids(IDS_LIMIT)))
        beside = {name: self._services[name].pid for name in run.beside}
        return Job(
            call=run.call,
            port=service.ports.get("grpc_port", service.ports.get("http_port", 0)),
            in_flight=run.in_flight,
            connections=run.connections,
            warm_up_seconds=self._warm_up_seconds,
            seconds=self._seconds,
            rate=before[run.half_of].per_second * HALF if run.half_of else None,
            meters={"server": service.pid, "postgres": self._postgres.pid, **beside},
            ids_file=str(ids_file) if ids_file else None,
            is_http=run.contestant in ("mock", "litestar"),
        )

    def _book(self, run: Run, measured: Measured) -> None:
        """Remembers how many payments the answers promise, and answers that are none."""
        if measured.failed:
            self.count.faults.append(f"{run.name}: {measured.failed}")
        replays_are_due = "replays" in run.call
        if replays_are_due != bool(measured.replayed):
            self.count.faults.append(f"{run.name}: {measured.replayed} replays")
        if "create" in run.call and run.contestant != "usual":
            self.count.created += (measured.answered - measured.replayed) * run.items


class Generator:
    """A process that makes calls, for one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def started(cls, module: str) -> "AsyncIterator[Generator]":
        """Ends with the context, or with this process: its input ends then."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def measured(self, job: Job) -> Measured:
        """Raises RuntimeError with the generator's words."""
        writer, reader = self._process.stdin, self._process.stdout
        if writer is None or reader is None:
            raise RuntimeError("the load generator has no pipes")
        writer.write(msgspec.json.encode(job) + b"\n")
        async with asyncio.timeout(job.warm_up_seconds + job.seconds + LOAD_LIMIT_SECONDS):
            line = await reader.readline()
        report = msgspec.json.decode(line or b'{"error":"it has ended"}', type=Report)
        if report.measured is None:
            raise RuntimeError(f"{job.call}: {report.error}")
        return report.measured
