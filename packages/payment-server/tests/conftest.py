"""A real PostgreSQL for each worker, a database of its own for each test, and real servers on it.

TEST_DATABASE_URL names a superuser of another server to use instead of the embedded one.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from service_under_test import Servers, Start, running

from payment_server.processors import Processor
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import SUPERUSER, EmbeddedPostgres

TEMPLATE = "payment_template"


@pytest.fixture(scope="session")
async def superuser_url() -> AsyncIterator[str]:
    """A PostgreSQL server, by a role that may make databases."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    try:
        yield postgres.url(SUPERUSER, "postgres")
    finally:
        await postgres.stop()


@pytest.fixture(scope="session")
async def template(superuser_url: str) -> AsyncIterator[str]:
    """The name of a database with the schema and no rows."""
    name = f"{TEMPLATE}_{secrets.token_hex(4)}"
    await _execute(superuser_url, f"CREATE DATABASE {name}")
    await schema.migrate(_with_database(superuser_url, name))
    yield name
    await _execute(superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(superuser_url: str, template: str) -> AsyncIterator[str]:
    """A fresh copy of the template, which takes some milliseconds."""
    name = f"test_{secrets.token_hex(6)}"
    await _execute(superuser_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _with_database(superuser_url, name)
    await _execute(superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, connections=4)
    yield found
    await found.close()


@pytest.fixture
def start(database_url: str) -> Start:
    """Starts a service on the test's database; settings by their variables' names."""

    def started(
        processor: Processor | None = None, **environment: str
    ) -> AbstractAsyncContextManager[Servers]:
        return running(database_url, environment, processor)

    return started


@pytest.fixture
async def servers(start: Start) -> AsyncIterator[Servers]:
    async with start() as running_servers:
        yield running_servers


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
