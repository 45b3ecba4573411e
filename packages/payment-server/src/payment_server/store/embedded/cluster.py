"""Makes PostgreSQL's data: encoding, roles, database. A cluster is complete or not there at all.

It must never touch a complete one.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from payment_server.store.embedded.child_process import Identity, run
from payment_server.store.embedded.data_directory import DataDirectory
from payment_server.store.embedded.errors import (
    DataDirectoryInUse,
    DataDirectoryVersionMismatch,
    StartFailed,
)
from payment_server.store.embedded.programs import Programs

DATABASE: Final = "payment"
OWNER_ROLE: Final = "payment_owner"
SERVICE_ROLE: Final = "payment_service"
SUPERUSER: Final = "postgres"

_STEP_LIMIT_SECONDS: Final = 60.0  # each takes below 0.5 s; a loaded machine's disk has had 20
# A postmaster that is told to quit waits 5 s before it kills its children; and a little more.
_DYING_LIMIT_SECONDS: Final = 7.0
_POLL_SECONDS: Final = 0.01

_PROVISION: Final = """\
REVOKE CREATE ON SCHEMA public FROM PUBLIC
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC
CREATE ROLE {owner} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{owner_password}'
CREATE ROLE {service} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{service_password}'
CREATE DATABASE {database} OWNER {owner}
REVOKE ALL ON DATABASE {database} FROM PUBLIC
GRANT CONNECT ON DATABASE {database} TO {service}
"""
"""One statement a line, run in template1, so that the database inherits the first."""


async def ensure_cluster(data: DataDirectory, programs: Programs, *, is_durable: bool) -> None:
    """Makes the cluster unless there is one. Raises StartFailed, DataDirectoryVersionMismatch.

    An interruption at any point leaves something that the next call removes. Only what is to be
    durable is worth the wait for the disk, which takes most of the time on a busy one.
    """
    if data.cluster.exists():
        found = (data.cluster / "PG_VERSION").read_text().strip()
        if found != str(programs.major):
            raise DataDirectoryVersionMismatch(data.path, found, programs.major)
        return
    lock = await hold_for_postgres(data)
    try:
        if data.unfinished_cluster.exists():
            shutil.rmtree(data.unfinished_cluster)
        await _initialize(data, programs, lock, () if is_durable else ("--no-sync",))
        await _provision(data, programs, lock, () if is_durable else ("-c", "fsync=off"))
    finally:
        os.close(lock)
    data.unfinished_cluster.rename(data.cluster)
    _make_durable(data.path)


async def hold_for_postgres(data: DataDirectory) -> int:
    """Waits until nothing of an earlier PostgreSQL is alive. Raises DataDirectoryInUse.

    The descriptor is to be inherited by PostgreSQL and then closed: the lock is held until the
    last process that has it is gone.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _DYING_LIMIT_SECONDS
    while (descriptor := data.hold_for_postgres()) is None:
        if loop.time() > deadline:
            raise DataDirectoryInUse(data.path, data.postmaster_pid())
        await asyncio.sleep(_POLL_SECONDS)
    return descriptor


async def _initialize(
    data: DataDirectory, programs: Programs, lock: int, options: tuple[str, ...]
) -> None:
    data.make_password(SUPERUSER)
    command: tuple[str | Path, ...] = (
        programs.initdb,
        f"--pgdata={data.unfinished_cluster}",
        f"--username={SUPERUSER}",
        f"--pwfile={data.password_file(SUPERUSER)}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        *_locale(programs.major),
        *options,
    )
    await _run_step("initdb", command, programs.identity, lock)


def _locale(major: int) -> list[str]:
    """Code point order. From 17 on PostgreSQL brings it along, the same on every system."""
    if major < 17:
        return ["--locale=C.UTF-8"]
    return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


async def _provision(
    data: DataDirectory, programs: Programs, lock: int, options: tuple[str, ...]
) -> None:
    """Makes roles and database without a server, so that nobody can connect in between."""
    statements = _PROVISION.format(
        owner=OWNER_ROLE,
        owner_password=data.make_password(OWNER_ROLE),
        service=SERVICE_ROLE,
        service_password=data.make_password(SERVICE_ROLE),
        database=DATABASE,
    )
    # A statement that fails ends it, and is not repeated in its output: it may hold a password.
    settings = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")
    cluster = ("-D", data.unfinished_cluster)
    command: tuple[str | Path, ...]
    command = (programs.postgres, "--single", *cluster, *settings, *options, "template1")
    await _run_step("making the roles", command, programs.identity, lock, statements.encode())


async def _run_step(
    what: str, command: Sequence[str | Path], identity: Identity, lock: int, stdin: bytes = b""
) -> None:
    finished = await run(
        command,
        identity=identity,
        stdin=stdin,
        kept_fds=(lock,),
        limit_seconds=_STEP_LIMIT_SECONDS,
    )
    if finished.status != 0:
        raise StartFailed(f"{what} failed (status {finished.status})", finished.output)


def _make_durable(folder: Path) -> None:
    """Without this a power cut could undo the rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
