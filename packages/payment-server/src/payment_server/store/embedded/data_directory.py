"""The folder that holds one embedded PostgreSQL: its layout, its locks, its secrets.

    service.lock    locked by the process that runs PostgreSQL, and naming it
    postgres.lock   locked by every process of PostgreSQL, for as long as one lives
    passwords/      one file per role, 0600
    cluster/        PostgreSQL's own data; there only when complete
    postgres.log    what PostgreSQL says
    socket/         its unix socket, unless the path would be too long for one

It must never wait for PostgreSQL, nor start anything.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from payment_server.store.embedded.errors import DataDirectoryInUse

SOCKET_PORT: Final = 5432  # names the socket file only; nothing listens on a port
_SOCKET_PATH_LIMIT_BYTES: Final = 103  # Linux takes 107, macOS 103: one limit behaves alike
_LOG_LIMIT_BYTES: Final = 10 * 1024**2  # a quiet server writes kilobytes a month
_LOG_TAIL_BYTES: Final = 2000  # a screenful: PostgreSQL says why it ends in its last lines


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """One folder, named by its absolute path; nothing is touched before `make`."""

    path: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data, once it is complete."""
        return self.path / "cluster"

    @property
    def unfinished_cluster(self) -> Path:
        """Where a cluster is made; what is found here was left by an interrupted first start."""
        return self.path / "cluster.unfinished"

    @property
    def log(self) -> Path:
        """What PostgreSQL wrote to stderr."""
        return self.path / "postgres.log"

    @property
    def socket_directory(self) -> Path:
        """`socket` inside, or a folder of a name of our own where temporary files are."""
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        outside = f"payment-{os.geteuid()}-{name}"
        candidates = (
            self.path / "socket",
            Path(tempfile.gettempdir(), outside),
            Path("/tmp", outside),  # noqa: S108 - short everywhere; mkdir refuses a squatter's
        )
        return next((path for path in candidates if _can_hold_socket(path)), candidates[-1])

    def make(self) -> None:
        """Creates the folder and those above it; its own content is for our eyes only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Removes all of it, as far as the system lets us."""
        self.remove_socket_directory()
        shutil.rmtree(self.path, ignore_errors=True)

    def remove_socket_directory(self) -> None:
        """Removes the folder of the socket, which may lie among the temporary files."""
        shutil.rmtree(self.socket_directory, ignore_errors=True)

    def hold(self) -> int:
        """Takes the folder until the descriptor is closed or we die. Raises DataDirectoryInUse.

        No child inherits this lock, so it is free as soon as its holder is dead.
        """
        descriptor = self._open_lock("service.lock")
        if not _lock(descriptor):
            pid = os.pread(descriptor, 20, 0)
            os.close(descriptor)
            raise DataDirectoryInUse(self.path, int(pid) if pid.isdigit() else None)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def hold_for_postgres(self) -> int | None:
        """A lock for PostgreSQL to inherit, or None while a process of an earlier one lives."""
        descriptor = self._open_lock("postgres.lock")
        if _lock(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def give_to(self, uid: int, gid: int) -> None:
        """Makes the folder, still without a cluster, that user's."""
        for path in (self.path, *self.path.iterdir()):
            os.chown(path, uid, gid, follow_symlinks=False)

    def password_file(self, role: str) -> Path:
        """Where the password of `role` is."""
        return self.path / "passwords" / role

    def make_password(self, role: str) -> str:
        """Makes up a password for `role` and keeps it; safe in SQL and in a URL as it is."""
        password, file = secrets.token_urlsafe(24), self.password_file(role)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(password)
        for path in (file.parent, file):
            self._give_to_owner(path)
        return password

    def is_ready(self, pid: int) -> bool:
        """Whether the PostgreSQL of this pid takes connections, as it says in its lock file."""
        lines = self._postmaster_lines()
        return lines[0:1] == [str(pid)] and lines[7:8] == ["ready   "]

    def postmaster_pid(self) -> int | None:
        """The pid that a PostgreSQL left in its own lock file, dead or alive."""
        first = "".join(self._postmaster_lines()[0:1])
        return int(first) if first.isdigit() else None

    def forget_dead_postmaster(self) -> None:
        """Removes a lock file of PostgreSQL whose pid now belongs to somebody else.

        PostgreSQL sees through a pid that is free, but takes a stranger of that pid for its former
        self: likely in a container, where the same few pids are given out after each restart.
        Raises DataDirectoryInUse when it is no stranger but a server started by hand.
        """
        pid = self.postmaster_pid()
        if pid is None:
            return
        try:
            folder = Path(f"/proc/{pid}/cwd").readlink()
        except PermissionError:  # of another user, who could not even read our data
            folder = Path()
        except OSError:  # gone, or a system without /proc: PostgreSQL judges by itself
            return
        if folder == self.cluster:
            raise DataDirectoryInUse(self.path, pid)
        (self.cluster / "postmaster.pid").unlink()

    def fresh_socket_directory(self) -> Path:
        """Makes the folder of the socket anew: what a killed server left there is in the way."""
        folder = self.socket_directory
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        self._give_to_owner(folder)
        return folder

    def open_log(self) -> int:
        """The log, to be appended to; begun anew when it has grown large (one old one is kept)."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._give_to_owner(self.log)
        return descriptor

    def log_tail(self, begin: int) -> str:
        """The last lines of the log, none of those before the byte `begin`."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(begin, self.log.stat().st_size - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")
        return ""

    def free_bytes(self) -> int:
        """What an ordinary user may still write to the filesystem of the data."""
        return shutil.disk_usage(self.path).free

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _open_lock(self, name: str) -> int:
        # No symlinks: among shared temporary files a name may be a stranger's trap.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path / name, flags, 0o600)
        self._give_to_owner(self.path / name)
        return descriptor

    def _give_to_owner(self, path: Path) -> None:
        """What root makes in the folder of another user belongs to that user."""
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _can_hold_socket(folder: Path) -> bool:
    socket = folder / f".s.PGSQL.{SOCKET_PORT}"
    # PostgreSQL takes a list of folders, and the driver a list of hosts, both divided by commas.
    return len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT_BYTES and "," not in str(folder)
