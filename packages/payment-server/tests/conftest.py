"""A real PostgreSQL for each worker, a database of its own for each test, and real servers on it.

TEST_DATABASE_URL names a superuser of another server to use instead of the embedded one.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from databases import copy_of, name_of
from service_under_test import SETTINGS, Servers, Start, running
from valkey import Valkey

from payment_server import cache, limits
from payment_server.api.transport import Transport
from payment_server.cache import QUICK_LIMIT_SECONDS
from payment_server.limits import WAIT_LIMIT_SECONDS
from payment_server.processors import Processor
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import OWNER_ROLE, SUPERUSER, EmbeddedPostgres


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
    async with copy_of(superuser_url, "template0") as url:
        await schema.migrate(url)
        yield name_of(url)


@pytest.fixture
async def own_postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of the test's own, which it may freeze and kill."""
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    try:
        await schema.migrate(postgres.url(OWNER_ROLE))
        yield postgres
    finally:
        await postgres.stop()


@pytest.fixture
async def database_url(superuser_url: str, template: str) -> AsyncIterator[str]:
    """A database with the schema and no rows."""
    async with copy_of(superuser_url, template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, connections=4)
    yield found
    await found.close()


@pytest.fixture
async def valkey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Valkey]:
    """A Valkey of the test's own, which it may freeze and kill. It is waited for even where other
    tests take all the time there is, unless the test is `hasty`."""
    monkeypatch.setattr(cache, "QUICK_LIMIT_SECONDS", 5.0)
    monkeypatch.setattr(limits, "WAIT_LIMIT_SECONDS", 10.0)
    server = Valkey(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def hasty(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - comes after it
    """Redis is waited for no longer than the service does."""
    monkeypatch.setattr(cache, "QUICK_LIMIT_SECONDS", QUICK_LIMIT_SECONDS)
    monkeypatch.setattr(limits, "WAIT_LIMIT_SECONDS", WAIT_LIMIT_SECONDS)


@pytest.fixture(scope="module", params=list(Transport))
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Each of the gRPC servers in turn, for a module that is about the wire."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SETTINGS, "PAYMENT_GRPC_TRANSPORT", request.param)
        yield request.param


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
