"""A PostgreSQL of our own: started, supervised and stopped by this process, dead when it dies.

For POSIX systems. On Linux the server ends even when this process is killed with SIGKILL; other
systems have no such tie, so there a server may survive its parent and the next start names it.
It must never be the only way to run: a PostgreSQL of one's own needs none of this.
"""

from payment_server.store.embedded.cluster import (
    DATABASE,
    OWNER_ROLE,
    SERVICE_ROLE,
    SUPERUSER,
)
from payment_server.store.embedded.errors import (
    BinariesMissing,
    DataDirectoryInUse,
    DataDirectoryMissing,
    DataDirectoryVersionMismatch,
    EmbeddedPostgresError,
    KeepsCrashing,
    NoUnprivilegedUser,
    StartFailed,
)
from payment_server.store.embedded.server import EmbeddedPostgres
from payment_server.store.embedded.visit import visited

__all__ = [
    "DATABASE",
    "OWNER_ROLE",
    "SERVICE_ROLE",
    "SUPERUSER",
    "BinariesMissing",
    "DataDirectoryInUse",
    "DataDirectoryMissing",
    "DataDirectoryVersionMismatch",
    "EmbeddedPostgres",
    "EmbeddedPostgresError",
    "KeepsCrashing",
    "NoUnprivilegedUser",
    "StartFailed",
    "visited",
]
