"""`payment-server verify`: everything that is stored, proven from ledger, operations and events.

It shares neither a statement nor the reading of a row with the service, so that a fault of one is
seen by the other. It changes nothing, and holds neither locks nor a transaction number, so the
service may go on meanwhile. One snapshot is looked at, and only PostgreSQL needs the memory.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import asyncpg
import msgspec

from payment_server.domain.errors import DatabaseUnavailable
from payment_server.store import schema
from payment_server.store.audit import history, keys, ledger, operations
from payment_server.store.audit.check import Check
from payment_server.store.database import Connection, bounded, connect

CHECKS: Final = (*history.CHECKS, *ledger.CHECKS, *operations.CHECKS, *keys.CHECKS)
"""Every check, in the order in which they are made."""

SHOWN_LIMIT: Final = 20
"""Differences that a check names; whoever has more wants the first ones and the number."""

CHECK_LIMIT_SECONDS: Final = 24 * 3600.0
"""No check takes a day, on any disk; a server that is frozen is not waited for longer."""

_TABLES: Final = ("payments", "events", "transfers", "operations", "refunds", "idempotency")


class Difference(msgspec.Struct, frozen=True):
    """What contradicts a check; `payment_id` is None where it is not about one payment."""

    merchant_id: str | None
    payment_id: str | None
    what: str


class Finding(msgspec.Struct, frozen=True):
    """What a check has found: how many differences, and the first SHOWN_LIMIT of them.

    `failed` says why it could not be made, in PostgreSQL's code; empty where it was.
    """

    check: Check
    total: int = 0
    shown: tuple[Difference, ...] = ()
    failed: str = ""

    def lines(self) -> Iterator[str]:
        """The finding in words: the check, and below it each difference that is shown."""
        count = f"{self.total} difference{'s' if self.total > 1 else ''}"
        verdict = count if self.total else self.failed or "ok"
        yield f"{verdict:<16} {self.check.name}: {self.check.sentence}"
        for each in self.shown:
            place = " ".join(filter(None, (each.merchant_id, each.payment_id)))
            yield f"    {place or 'all'}: {each.what}"
        if self.total > len(self.shown):
            yield f"    and {self.total - len(self.shown)} more"


async def audit(url: str, on_finding: Callable[[Finding], None]) -> Mapping[str, int]:
    """Makes every check and tells what it has found; returns how many rows each table has.

    Raises DatabaseUnavailable, and SchemaError where the schema is not this program's.
    """
    try:
        connection = await connect(url)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(f"cannot connect to the database: {error!r}") from error
    try:
        # Whoever verifies has time: the limits are those of the service's calls.
        await bounded(connection, connection.execute("SET statement_timeout = 0"))
        await _refuse_other_schema(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for check in CHECKS:
                on_finding(await made(connection, check))
            return await _counted(connection)
    except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        kind = type(error).__name__
        raise DatabaseUnavailable(f"the database went away meanwhile ({kind})") from error
    finally:
        connection.terminate()


async def _refuse_other_schema(connection: Connection) -> None:
    """Not `schema.pending`, which refuses restored rows: of a backup one wants to know most."""
    try:
        rows = await bounded(connection, connection.fetch("SELECT number FROM schema_migrations"))
    except asyncpg.UndefinedTableError:
        raise schema.SchemaError("the database has no schema of ours") from None
    if {row["number"] for row in rows} != {each.number for each in schema.migrations()}:
        raise schema.SchemaError("the database's migrations are not this version's: run `migrate`")


async def made(connection: Connection, check: Check) -> Finding:
    """Makes one check. Where it stumbles over what cannot even be read, the finding says so."""
    try:
        async with connection.transaction():
            statement = connection.fetch(_found_by(check), SHOWN_LIMIT)
            rows = await bounded(connection, statement, CHECK_LIMIT_SECONDS)
    except (asyncpg.DataError, asyncpg.SyntaxOrAccessError) as error:
        return Finding(check, failed=f"SQLSTATE {error.sqlstate}")  # its words may quote a row
    shown = tuple(
        Difference(each["merchant_id"], each["payment_id"], each["difference"]) for each in rows
    )
    return Finding(check, rows[0]["total"] if rows else 0, shown)


def _found_by(check: Check) -> str:
    return f"""
WITH found AS MATERIALIZED ({check.sql})
SELECT merchant_id, payment_id::text, difference, (SELECT count(*) FROM found) AS total
FROM found ORDER BY merchant_id, payment_id, difference LIMIT $1
"""


async def _counted(connection: Connection) -> Mapping[str, int]:
    counts = ", ".join(f"(SELECT count(*) FROM {table}) AS {table}" for table in _TABLES)
    rows = await bounded(connection, connection.fetch(f"SELECT {counts}"), CHECK_LIMIT_SECONDS)
    return dict(rows[0])
