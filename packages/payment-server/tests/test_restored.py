"""Rows restored into another cluster, whose transaction numbers begin anew: no watcher may wait
for numbers of the old one, and no old cursor may be taken for one of the new."""

import asyncpg
import pytest
from auditing import differences_in
from service_under_test import Servers, Start

from payment_server.store import schema

FAR = 2**40
"""A transaction number of a cluster with a longer life."""


@pytest.fixture
async def restored_url(database_url: str, start: Start) -> str:
    """Payments with events of another cluster, not migrated since."""
    async with start() as servers:
        await captured(servers)
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE schema_identity SET system_identifier = 7")
    await connection.execute(f"UPDATE events SET transaction_id = '{FAR}'::xid8")
    await connection.close()
    return database_url


async def captured(servers: Servers) -> None:
    await servers.process((await servers.created()).payment_id)


async def identity_of(url: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT identity FROM schema_identity")
    finally:
        await connection.close()


async def test_verify_says_that_the_rows_come_from_elsewhere(restored_url: str) -> None:
    assert set(await differences_in(restored_url)) == {"events-are-at-home", "events-are-in-order"}


async def test_the_service_does_not_start_on_them(restored_url: str) -> None:
    with pytest.raises(schema.SchemaError, match="another cluster"):
        await schema.pending(restored_url)


async def test_migrate_makes_it_a_database_of_its_own(restored_url: str) -> None:
    before = await identity_of(restored_url)
    await schema.migrate(restored_url)
    assert await identity_of(restored_url) != before
    assert await differences_in(restored_url) == {}


async def test_migrate_once_more_changes_nothing(restored_url: str) -> None:
    await schema.migrate(restored_url)
    before = await identity_of(restored_url)
    await schema.migrate(restored_url)
    assert await identity_of(restored_url) == before


async def test_what_happens_from_then_on_is_behind_the_restored_events(
    restored_url: str, start: Start
) -> None:
    await schema.migrate(restored_url)
    async with start() as servers:
        await captured(servers)
    connection = await asyncpg.connect(restored_url)
    rows = await connection.fetch(
        "SELECT transaction_id::text, count(*) FROM events GROUP BY 1 ORDER BY min(transaction_id)"
    )
    await connection.close()
    assert [(int(row[0]) == 3, row[1]) for row in rows] == [(True, 3), *[(False, 1)] * 3]
    assert await differences_in(restored_url) == {}
