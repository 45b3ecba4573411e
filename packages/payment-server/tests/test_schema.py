"""Migrations: forward only, once, by one at a time; and the schema agrees with the statements."""

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from databases import copy_of

from payment_server.store import changes, events, payments, schema
from payment_server.store.database import Connection
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres
from payment_server.store.schema import SchemaError


@pytest.fixture
async def empty_url(database_url: str) -> str:
    """A database without the schema."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return database_url


@pytest.fixture(scope="module")
async def migrated(superuser_url: str, template: str) -> AsyncIterator[Connection]:
    """A database with one payment, for tests that leave it as it is."""
    async with copy_of(superuser_url, template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "INSERT INTO payments (merchant_id, payment_id, customer_id, payment_method,"
            " capture_method, description, metadata, currency, exponent, amount_minor, status,"
            " created_at, updated_at) VALUES ('default', gen_random_uuid(), 'c', 'card',"
            " 'automatic', '', '{}', 'USD', 2, 1000, 'created', now(), now())"
        )
        yield connection
        await connection.close()


async def test_ten_starts_at_once_migrate_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(schema.migrate(empty_url) for _ in range(10)))
    assert sum(len(each) for each in applied) == len(schema.migrations())
    assert await schema.pending(empty_url) == ()


async def test_an_empty_database_lacks_everything(empty_url: str) -> None:
    assert await schema.pending(empty_url) == schema.migrations()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("INSERT INTO schema_migrations VALUES (9999, 'later', 'x')", "newer"),
        ("UPDATE schema_migrations SET checksum = 'x'", "differs"),
    ],
)
async def test_a_schema_of_another_program_is_refused(
    database_url: str, change: str, message: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(change)
    await connection.close()
    with pytest.raises(SchemaError, match=message):
        await schema.migrate(database_url)
    with pytest.raises(SchemaError, match=message):
        await schema.pending(database_url)


STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}{name}": value
    for module in (payments, changes, events)
    for name, value in vars(module).items()
    if name.startswith("_") and isinstance(value, str) and " FROM " in value
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_every_statement_prepares_against_the_schema(migrated: Connection, name: str) -> None:
    await migrated.prepare(STATEMENTS[name])


BY_TIME = {"payments_lapsing", "operations_to_look_up", "idempotency_answered"}
"""What the loops that go over all merchants read by."""


async def test_merchant_id_leads_every_key_and_index(migrated: Connection) -> None:
    rows = await migrated.fetch(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename NOT LIKE 'schema_%' AND tablename <> 'election'"
    )
    assert len(rows) >= 5
    leads = re.compile(r"\(merchant_id(?: COLLATE \"C\")?, ")
    others = {row["indexname"] for row in rows if not leads.search(row["indexdef"])}
    assert others == BY_TIME


TABLES = ("payments", "operations", "refunds", "transfers", "events", "idempotency", "election")
FORBIDDEN = (
    *(f"DELETE FROM {table}" for table in TABLES),
    *(f"TRUNCATE {table}" for table in TABLES),
    *(f"DROP TABLE {table}" for table in TABLES),
    "UPDATE transfers SET amount_minor = 1",
    "UPDATE transfers SET leg = leg WHERE false",
    "UPDATE events SET snapshot = '{}'",
    "INSERT INTO events TABLE events ON CONFLICT ON CONSTRAINT events_pkey DO UPDATE SET type = ''",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "CREATE TABLE x ()",
    "UPDATE schema_identity SET identity = gen_random_uuid()",
    "DELETE FROM schema_migrations",
    "UPDATE schema_lease SET until = now()",
)


@pytest.fixture(scope="module")
async def service_connection() -> AsyncIterator[Connection]:
    """The service's own role on a database that its owner has migrated."""
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    try:
        await schema.migrate(postgres.url(OWNER_ROLE))
        connection = await asyncpg.connect(postgres.url(SERVICE_ROLE))
        yield connection
        await connection.close()
    finally:
        await postgres.stop()


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_service_role_may_only_add_to_ledger_and_events(
    service_connection: Connection, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service_connection.execute(statement)


async def test_the_service_role_owns_nothing(service_connection: Connection) -> None:
    owned = await service_connection.fetch(
        "SELECT relname FROM pg_class WHERE pg_has_role(relowner, 'USAGE')"
        " AND relnamespace = 'public'::regnamespace"
    )
    assert owned == []


async def test_every_table_is_known_to_this_test(service_connection: Connection) -> None:
    rows = await service_connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ '^schema_'"
    )
    assert {row[0] for row in rows} == set(TABLES)


WRONG_AMOUNTS = (
    "captured_minor = 1",
    "authorized_minor = 1001",
    "status = 'captured'",
    "status = 'lost'",
    "status = 'failed'",
    "refunded_minor = 1",
    "refund_pending_minor = 1",
    "void_pending_minor = -1",
    "version = 0",
    "attempts = 11",
    "currency = 'usd'",
)


@pytest.mark.parametrize("change", WRONG_AMOUNTS)
async def test_the_database_refuses_what_cannot_be(migrated: Connection, change: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await migrated.execute(f"UPDATE payments SET {change}")
