"""Databases that last as long as a test: copies of a template, which take some milliseconds."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg


@asynccontextmanager
async def copy_of(superuser_url: str, template: str) -> AsyncIterator[str]:
    """The URL of a database that is gone afterwards."""
    name = f"{template[:32]}_{secrets.token_hex(6)}"
    await execute(superuser_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield with_database(superuser_url, name)
    finally:
        await execute(superuser_url, f"DROP DATABASE {name} WITH (FORCE)")


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
