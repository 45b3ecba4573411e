"""Brings a database to this program's schema; forward only, and never behind another's back.

Each migration is a numbered file in `migrations/`, applied in a transaction of its own together
with its row in schema_migrations. A lease row keeps two starts from migrating at once.
"""

import asyncio
import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Final

import asyncpg
import msgspec

from payment_server.domain.errors import DatabaseUnavailable
from payment_server.store.database import Connection, bounded, connect

LEASE_SECONDS: Final = 60.0  # longer than any migration; a holder that died is waited out
LEASE_POLL_SECONDS: Final = 0.2
LEASE_WAIT_LIMIT_SECONDS: Final = 2 * LEASE_SECONDS
MIGRATION_LIMIT_SECONDS: Final = 55.0  # may rewrite a table, but not outlive the lease
ADOPTION_LIMIT_SECONDS: Final = 3600.0  # rewrites every event: some hundred millions

_PREPARE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  number     integer     PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS schema_lease (
  one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
  holder     uuid,
  until      timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO schema_lease DEFAULT VALUES ON CONFLICT DO NOTHING;
"""

_TAKE_LEASE: Final = """
UPDATE schema_lease SET holder = $1, until = now() + make_interval(secs => $2)
WHERE until < now() OR holder = $1
RETURNING true
"""

_RELEASE_LEASE: Final = "UPDATE schema_lease SET until = '-infinity' WHERE holder = $1"

_APPLIED: Final = "SELECT number, checksum FROM schema_migrations ORDER BY number"

# Watchers read in the order of transaction numbers, which another cluster counts from its own
# beginning. There the restored events become history of before its time.
_IS_AT_HOME: Final = """
SELECT system_identifier = (SELECT system_identifier FROM pg_control_system())
FROM schema_identity
"""

_ADOPT: Final = """
WITH adopted AS (UPDATE events SET transaction_id = '3')
UPDATE schema_identity SET identity = gen_random_uuid(),
  system_identifier = (SELECT system_identifier FROM pg_control_system())
"""

_RECORD: Final = "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)"

_NAME: Final = re.compile(r"(?P<number>\d{4})_(?P<name>\w+)\.sql", re.ASCII)


class SchemaError(Exception):
    """The database's schema is not one that this program can work on; the message says why."""


class Migration(msgspec.Struct, frozen=True):
    """One step: `checksum` is the SHA-256 of its text in hexadecimal."""

    number: int
    name: str
    sql: str
    checksum: str


def migrations() -> tuple[Migration, ...]:
    """Every migration of this program, in order."""
    found = []
    for file in (files("payment_server.store") / "migrations").iterdir():
        if (match := _NAME.fullmatch(file.name)) is not None:
            sql = file.read_text(encoding="utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(match["number"]), match["name"], sql, checksum))
    return tuple(sorted(found, key=lambda each: each.number))


async def migrate(owner_url: str) -> tuple[Migration, ...]:
    """Applies what is missing and returns it.

    Raises DatabaseUnavailable, and SchemaError where the database is newer than this program, was
    migrated by other files of the same numbers, or refuses a statement.
    """
    holder = uuid.uuid4()
    async with _connected(owner_url) as connection:
        await bounded(connection, connection.execute("SET statement_timeout = 0"))
        await bounded(connection, _prepare(connection))
        await _take_lease(connection, holder)
        try:
            missing = _missing(await bounded(connection, connection.fetch(_APPLIED)))
            for each in missing:
                # Each on a lease of its own length.
                await bounded(connection, connection.fetch(_TAKE_LEASE, holder, LEASE_SECONDS))
                await bounded(connection, _apply(connection, each), MIGRATION_LIMIT_SECONDS)
            await _adopt_restored(connection, holder)
            return missing
        finally:
            if not connection.is_closed():
                await bounded(connection, connection.execute(_RELEASE_LEASE, holder))


async def pending(url: str) -> tuple[Migration, ...]:
    """The migrations that a database lacks; empty when it fits this program.

    Raises DatabaseUnavailable and SchemaError.
    """
    async with _connected(url) as connection:
        try:
            missing = _missing(await bounded(connection, connection.fetch(_APPLIED)))
        except asyncpg.UndefinedTableError:
            return migrations()
        if not missing and not await _is_at_home(connection):
            raise SchemaError(
                "the rows were restored from another cluster: run `payment-server migrate` first"
            )
        return missing


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    try:
        connection = await connect(url)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(f"cannot connect to the database: {error!r}") from error
    try:
        yield connection
    except asyncpg.PostgresError as error:
        raise SchemaError(f"the database refused a statement: {error}") from error
    except (TimeoutError, OSError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable("the database went away while its schema was read") from error
    finally:
        connection.terminate()


def _missing(applied: list[asyncpg.Record]) -> tuple[Migration, ...]:
    ours = {each.number: each for each in migrations()}
    for row in applied:
        known = ours.pop(row["number"], None)
        if known is None:
            raise SchemaError(
                f"the database has migration {row['number']}, which this version does not know:"
                " it was migrated by a newer one"
            )
        if known.checksum != row["checksum"]:
            raise SchemaError(
                f"migration {known.number} ({known.name}) differs from the one that was applied"
            )
    return tuple(ours.values())


async def _prepare(connection: Connection) -> None:
    try:
        await connection.execute(_PREPARE)
    except (
        asyncpg.UniqueViolationError,
        asyncpg.DuplicateObjectError,
        asyncpg.DuplicateTableError,
    ):
        # Two first starts at once: IF NOT EXISTS looks before it locks. By now the other is done.
        await connection.execute(_PREPARE)


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(_RECORD, migration.number, migration.name, migration.checksum)


async def _is_at_home(connection: Connection) -> bool:
    return bool(await bounded(connection, connection.fetchval(_IS_AT_HOME)))


async def _adopt_restored(connection: Connection, holder: uuid.UUID) -> None:
    """Gives a database that was restored into this cluster an identity of its own."""
    if not await _is_at_home(connection):
        lease = connection.fetch(_TAKE_LEASE, holder, ADOPTION_LIMIT_SECONDS)
        await bounded(connection, lease)
        await bounded(connection, connection.execute(_ADOPT), ADOPTION_LIMIT_SECONDS)


async def _take_lease(connection: Connection, holder: uuid.UUID) -> None:
    for _ in range(int(LEASE_WAIT_LIMIT_SECONDS / LEASE_POLL_SECONDS)):
        if await bounded(connection, connection.fetch(_TAKE_LEASE, holder, LEASE_SECONDS)):
            return
        await asyncio.sleep(LEASE_POLL_SECONDS)
    raise SchemaError(f"another start has been migrating for {LEASE_WAIT_LIMIT_SECONDS:.0f} s")
