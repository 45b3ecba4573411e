"""No statement of the service reads a whole table, however many rows it has."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, TypeAlias

import pytest
from databases import copy_of

from payment_server.store import changes, database, election, events, payments
from payment_server.store.database import Connection, connect
from payment_server.store.statement import Statement

Plan: TypeAlias = dict[str, Any]

ROWS: Final = 100_000
WHOLE_TABLE: Final = re.compile(
    r"Seq Scan on (?!schema_identity)|Hash (Left )?Join|Merge (Left )?Join"
    r"|Index (Only )?Scan using \w+ on \w+.*\n(?!.*(Index Cond|Filter):)"
)
"""Or its whole index."""

# Each payment has one of everything. A hundredth may lapse, a thousandth of the operations is due,
# and as many answers are old enough to be forgotten.
DRAW: Final = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE drawn AS
  SELECT n, lpad(to_hex(n), 32, '0')::uuid AS id,
    '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 second' AS at
  FROM generate_series(1, {rows}) AS n;
"""
FILL: Final = """
INSERT INTO payments (merchant_id, payment_id, customer_id, payment_method, capture_method,
  description, metadata, currency, exponent, amount_minor, status, authorized_minor,
  captured_minor, version, created_at, updated_at, lapses_at)
SELECT 'default', id, 'c' || n % 1000, 'card', 'manual', '', '{}', 'USD', 2, 1000,
  CASE WHEN n % 100 = 0 THEN 'authorized' ELSE 'captured' END, 1000,
  CASE WHEN n % 100 = 0 THEN 0 ELSE 1000 END, 1, at, at,
  CASE WHEN n % 100 = 0 THEN at + interval '7 days' END
FROM drawn;
INSERT INTO operations (merchant_id, operation_id, payment_id, kind, status, amount_minor,
  captures, payment_method, created_at, settled_at, lease_until)
SELECT 'default', id, id, 'refund', 'succeeded', 1, false, 'card', at, at,
  CASE WHEN n % 1000 = 0 THEN at END
FROM drawn;
INSERT INTO refunds (merchant_id, refund_id, payment_id, amount_minor, currency, exponent, status,
  reason, created_at, updated_at)
SELECT 'default', id, id, 1, 'USD', 2, 'succeeded', '', at, at FROM drawn;
INSERT INTO events (merchant_id, payment_id, version, event_id, type, status, customer_id,
  occurred_at, snapshot, transaction_id)
SELECT 'default', id, 1, id, 'payment.created', 'created', 'c' || n % 1000, at, '{}',
  n::text::xid8
FROM drawn;
INSERT INTO idempotency (merchant_id, idempotency_key, fingerprint, fingerprint_version,
  payment_id, operation_id, answer, created_at)
SELECT 'default', 'key ' || n, sha256(''), 1, id, id, '{}',
  now() - CASE WHEN n % 1000 = 0 THEN interval '8 days' ELSE interval '1 day' END
FROM drawn;
ANALYZE;
"""

LOW, MIDDLE, HIGH = f"'{'0' * 32}'", f"'{50_000:032x}'", f"'{'f' * 32}'"
MERCHANT: Final = "'default'"

# The statement, and its arguments as SQL.
STATEMENTS: Final = {
    "the first page": (payments._LIST_ALL, MERCHANT, HIGH, LOW, "NULL", "NULL", "51", "5000"),
    "a later page": (payments._LIST_ALL, MERCHANT, MIDDLE, LOW, "NULL", "NULL", "51", "5000"),
    "a page of a status": (
        payments._LIST_ALL,
        MERCHANT,
        HIGH,
        LOW,
        "'captured'",
        "NULL",
        "51",
        "5000",
    ),
    "a page of a customer": (
        *(payments._LIST_OF_CUSTOMER, MERCHANT, HIGH, LOW, "NULL", "NULL", "51", "5000", "'c7'"),
    ),
    "refunds of a payment": (payments._LIST_REFUNDS, MERCHANT, MIDDLE, HIGH, "51"),
    "answers to forget": (payments._PRUNE, "604800", "1000"),
    "operations to look up": (changes._CLAIM, "10", "20"),
    "an election": (election._STAND, "gen_random_uuid()", "2"),
    "payments to lapse": (changes._LAPSED, "200"),
    "events of a payment": (events._LIST, MERCHANT, MIDDLE, "0", "51"),
    "where a watcher stands": (events._STANDING, MERCHANT, "'50000'", MIDDLE, "1"),
    "a payment's version at a position": (
        *(events._VERSION_AT, MERCHANT, MIDDLE, "'60000'", MIDDLE, "1"),
    ),
    "a stretch of the stream": (
        *(events._STRETCH, MERCHANT, "'50000'", MIDDLE, "1", "500", "NULL"),
    ),
    "a customer's in a stretch": (
        *(events._STRETCH, MERCHANT, "'50000'", MIDDLE, "1", "500", "'c7'"),
    ),
    "a stretch of a payment": (events._STRETCH_OF_PAYMENT, MERCHANT, MIDDLE, "0", "500"),
    "what has come": (
        events._ARRIVALS,
        *("'{default,other}'", "'{99990,0}'", f"ARRAY[{HIGH}, {LOW}]::uuid[]", "'{1,0}'", "500"),
    ),
}


GATHERED: Final = {
    f"{module.__name__.rpartition('.')[2]}{name}": value
    for module in (payments, changes)
    for name, value in vars(module).items()
    if isinstance(value, Statement)
}
BATCHES: Final = (1, 128)


@pytest.fixture(scope="module")
async def filled(superuser_url: str, template: str) -> AsyncIterator[Connection]:
    async with copy_of(superuser_url, template) as url:
        connection = await connect(url, **database._PLANNING)
        await connection.execute("SET statement_timeout = 0")
        await connection.execute(DRAW.format(rows=ROWS) + FILL)
        yield connection
        await connection.close()


async def whole_tables(connection: Connection, statement: str, arguments: str) -> list[str]:
    """The plan of a statement, if it reads a whole table or is made for its arguments."""
    await connection.execute(f"PREPARE planned AS {statement}")
    plan = await connection.fetch(f"EXPLAIN EXECUTE planned ({arguments})")
    made_for = await connection.fetchval(
        "SELECT custom_plans FROM pg_prepared_statements WHERE name = 'planned'"
    )
    await connection.execute("DEALLOCATE planned")
    told = "\n".join(row[0] for row in plan)
    return [told] if made_for or WHOLE_TABLE.search(told) else []


async def test_no_statement_reads_a_whole_table(filled: Connection) -> None:
    for name, (statement, *arguments) in STATEMENTS.items():
        assert await whole_tables(filled, statement, ", ".join(arguments)) == [], name


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("name", GATHERED)
async def test_a_gathered_statement_looks_rows_up(filled: Connection, name: str, rows: int) -> None:
    assert await whole_tables(filled, *nothing_for(GATHERED[name], rows)) == []


@pytest.mark.parametrize("rows", [0, 5, 60])
async def test_a_plan_of_a_small_table_does_for_a_large_one(
    superuser_url: str, template: str, rows: int
) -> None:
    """Each row is looked up by the whole of its primary key, however few there were."""
    async with copy_of(superuser_url, template) as url:
        connection = await connect(url, **database._PLANNING)
        if rows:  # an empty table is not analyzed either
            await connection.execute(DRAW.format(rows=rows) + FILL)
        scanned = {
            name: await not_by_key(connection, *nothing_for(each, 8))
            for name, each in GATHERED.items()
        }
        await connection.close()
    assert not any(scanned.values()), scanned


async def not_by_key(connection: Connection, statement: str, arguments: str) -> list[Plan]:
    """The parts of a plan that read a table otherwise than by its whole primary key."""
    await connection.execute(f"PREPARE planned AS {statement}")
    told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE planned ({arguments})")
    await connection.execute("DEALLOCATE planned")
    return [
        each
        for each in parts(json.loads(told)[0]["Plan"])
        if each["Node Type"] in ("Materialize", "Seq Scan", "Bitmap Heap Scan")
        or ("Index Name" in each and not is_by_key(each))
    ]


def parts(plan: Plan) -> Iterator[Plan]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from parts(each)


def is_by_key(scan: Plan) -> bool:
    index, condition = str(scan["Index Name"]), str(scan.get("Index Cond"))
    key_columns = 3 if scan["Relation Name"] == "events" else 2
    return index.endswith("_pkey") and condition.count(" = ") == key_columns


def nothing_for(statement: Statement, rows: int) -> tuple[str, str]:
    """The statement and its arguments as SQL: a plan only depends on how many rows there are."""
    types = re.findall(r"\$\d+::(\w+)\[\]", statement.sql)
    return statement.sql, ", ".join(f"array_fill(NULL::{each}, '{{{rows}}}')" for each in types)


async def test_every_statement_that_reads_many_rows_is_looked_at() -> None:
    planned = {statement for statement, *_ in STATEMENTS.values()}
    reading = {
        value
        for module in (payments, changes, events)
        for name, value in vars(module).items()
        if name.startswith("_") and isinstance(value, str) and re.search("LIMIT|ORDER BY", value)
    }
    assert reading <= planned
