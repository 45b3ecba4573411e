"""`verify` finds nothing in what the service did, and each single thing that somebody changed."""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from auditing import differences_in
from databases import copy_of, execute, name_of
from lively_run import live

from payment_server.store.audit import CHECKS, SHOWN_LIMIT, made
from payment_server.store.database import Connection
from payment_server.store.embedded import OWNER_ROLE, EmbeddedPostgres
from payment_server.store.schema import migrate

COMMAND: Final = shutil.which("payment-server", path=sysconfig.get_path("scripts")) or ""
CLEAN: Final = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("PAYMENT_") and name != "DATABASE_URL"
}

PLANTED: Final = re.findall(
    r"^-- ([a-z-]+): (.+)\n((?:.+\n)+)",
    Path(__file__).with_name("planted.sql").read_text(encoding="utf-8"),
    re.MULTILINE,
)
"""The check that is meant to find it, in words what somebody did, and its statements."""

# What stands in the way of whoever would do such a thing, and what helps to say it.
UNGUARD: Final = """
DO $$
DECLARE guard record;
BEGIN
  FOR guard IN SELECT conrelid::regclass AS of, conname FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p')
    ORDER BY contype = 'p' LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', guard.of, guard.conname);
  END LOOP;
END $$;
CREATE FUNCTION of(text) RETURNS uuid STABLE LANGUAGE sql AS
  'SELECT payment_id FROM payments WHERE description = $1';
CREATE FUNCTION but(json, text[], jsonb) RETURNS json LANGUAGE sql AS
  'SELECT jsonb_set($1::jsonb, $2, $3, create_if_missing => false)::json';
CREATE FUNCTION new_id() RETURNS jsonb LANGUAGE sql AS
  $$ SELECT jsonb_build_object('operation_id', gen_random_uuid(), 'idempotency_key', NULL) $$;
"""


@pytest.fixture(scope="module")
async def lively(superuser_url: str, template: str) -> AsyncIterator[str]:
    """The name of a database in which a lot has happened."""
    async with copy_of(superuser_url, template) as url:
        await live(url)
        yield name_of(url)


@pytest.fixture
async def url(superuser_url: str, lively: str) -> AsyncIterator[str]:
    """A copy of it."""
    async with copy_of(superuser_url, lively) as copy:
        yield copy


@pytest.fixture(scope="module")
async def unguarded(superuser_url: str, lively: str) -> AsyncIterator[Connection]:
    """A copy without constraints, for changes that are rolled back."""
    async with copy_of(superuser_url, lively) as url:
        connection = await asyncpg.connect(url)
        await connection.execute(UNGUARD)
        yield connection
        await connection.close()


def verify(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "verify", *arguments],
        env={**CLEAN, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_what_the_service_did_adds_up(url: str) -> None:
    assert await differences_in(url) == {}


@pytest.mark.parametrize(
    ("name", "statements"),
    [(name, statements) for name, _, statements in PLANTED],
    ids=[words for _, words, _ in PLANTED],
)
async def test_what_somebody_changed_is_found(
    unguarded: Connection, name: str, statements: str
) -> None:
    [check] = [each for each in CHECKS if each.name == name]
    change = unguarded.transaction()
    await change.start()
    try:
        await unguarded.execute(statements)
        assert (await made(unguarded, check)).total > 0
    finally:
        await change.rollback()
    assert (await made(unguarded, check)).total == 0


def test_every_check_finds_something() -> None:
    assert {check for check, _, _ in PLANTED} == {each.name for each in CHECKS}


def test_the_program_says_that_all_is_well(url: str) -> None:
    done = verify(DATABASE_URL=url)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[: len(CHECKS)]] == [
        ["ok", f"{each.name}:"] for each in CHECKS
    ]


async def test_the_program_names_what_differs_and_nobody(url: str) -> None:
    await execute(url, "UPDATE payments SET customer_id = 'thief', amount_minor = 2000")
    done = verify(DATABASE_URL=url)
    assert done.returncode == 1
    assert "amount_minor of the row is 2000, of the last snapshot 1000" in done.stdout
    assert "customer_id of the row is not the last snapshot's" in done.stdout
    assert "thief" not in done.stdout
    assert "cust123" not in done.stdout


async def test_many_differences_are_counted_and_some_are_shown(url: str) -> None:
    await execute(url, "UPDATE payments SET attempts = 9")
    found = await differences_in(url)
    assert len(found["attempts-are-counted"]) == SHOWN_LIMIT
    assert re.search(
        r"\d+ differences +attempts-are-counted.*\n(    .*\n)+    and \d+ more",
        verify(DATABASE_URL=url).stdout,
    )


async def test_a_check_that_stumbles_is_no_check_that_was_made(url: str) -> None:
    """What cannot be read is quoted by nobody, and the other checks are made."""
    await execute(
        url,
        f"{UNGUARD} UPDATE idempotency SET answer = "
        "but(answer, '{answer,payment,version}', '\"secret\"')",
    )
    done = verify(DATABASE_URL=url)
    assert done.returncode == 2
    assert re.search(r"^SQLSTATE 22P02 +answers-are-history", done.stdout, re.MULTILINE)
    assert done.stdout.count("\nok ") == len(CHECKS) - 2
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, "cannot connect"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"PAYMENT_DATA_DIR": "/nowhere/at/all"}, "holds no data"),
    ],
)
def test_the_program_says_why_it_cannot_look(environment: dict[str, str], said: str) -> None:
    done = verify(**environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_database_that_lacks_migrations_is_not_looked_at(url: str) -> None:
    await execute(url, "DELETE FROM schema_migrations WHERE number > 1")
    done = verify(DATABASE_URL=url)
    assert done.returncode == 2
    assert "migrat" in done.stderr


async def test_an_embedded_database_is_verified_while_it_runs_and_afterwards(
    tmp_path: Path,
) -> None:
    postgres = EmbeddedPostgres(tmp_path)
    await postgres.start()
    try:
        await migrate(postgres.url(OWNER_ROLE))
        assert verify(f"--data-dir={tmp_path}").returncode == 0
        assert postgres.pid is not None
    finally:
        await postgres.stop()
    assert verify(f"--data-dir={tmp_path}").returncode == 0


async def test_verifying_holds_nobody_up(url: str) -> None:
    """A change meanwhile is neither waited for nor in the way."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("UPDATE payments SET attempts = attempts")
        assert await differences_in(url) == {}
    await connection.close()
