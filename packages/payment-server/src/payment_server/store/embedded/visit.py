"""For programs that only look at the data of an embedded PostgreSQL.

Another process may run it already; then it is that one's, and goes on when the visit is over.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from payment_server.store.embedded.data_directory import DataDirectory
from payment_server.store.embedded.errors import DataDirectoryInUse, DataDirectoryMissing
from payment_server.store.embedded.server import EmbeddedPostgres


@asynccontextmanager
async def visited(
    data_dir: Path, *, binaries: Path | None = None
) -> AsyncIterator[EmbeddedPostgres]:
    """The PostgreSQL that runs on this data directory, or one that runs for as long as the visit.

    Raises DataDirectoryMissing where nothing was ever stored, and what `EmbeddedPostgres.start`
    raises.
    """
    postgres = EmbeddedPostgres(data_dir, binaries=binaries)
    if not DataDirectory(postgres.data_dir).cluster.exists():
        raise DataDirectoryMissing(postgres.data_dir)
    try:
        await postgres.start()
    except DataDirectoryInUse:
        is_ours = False  # its socket and its passwords lie where ours would
    else:
        is_ours = True
    try:
        yield postgres
    finally:
        if is_ours:
            await postgres.stop()
