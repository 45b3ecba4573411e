"""Runs an embedded PostgreSQL until somebody kills this process.

Arguments: the data directory, or `ephemeral`; then optionally `uvloop`, `busy` (a session that
computes without a pause), `once` (stops by itself), `binaries=FOLDER`. Prints the data directory
when it begins to start, and the postmaster's pid once a row is committed.
"""

import asyncio
import sys
from pathlib import Path

import asyncpg
import uvloop

from payment_server.store.embedded import SUPERUSER, EmbeddedPostgres


async def main(where: str, *options: str) -> None:
    """Lives for ten minutes at most, should nobody come to kill it."""
    folders = [Path(option.partition("=")[2]) for option in options if "binaries=" in option]
    binaries = folders[0] if folders else None
    if where == "ephemeral":
        postgres = EmbeddedPostgres.ephemeral(binaries=binaries)
    else:
        postgres = EmbeddedPostgres(Path(where), binaries=binaries)
    sys.stdout.write(f"{postgres.data_dir}\n")
    sys.stdout.flush()
    await postgres.start()
    connection = await asyncpg.connect(postgres.url(SUPERUSER))
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('committed')")
    sys.stdout.write(f"{postgres.pid}\n")
    sys.stdout.flush()
    if "busy" in options:
        await connection.fetchval("SELECT count(*) FROM generate_series(1, 1000000000000)")
    if "once" not in options:
        await asyncio.sleep(600)
    await connection.close()
    await postgres.stop()


if __name__ == "__main__":
    factory = uvloop.new_event_loop if "uvloop" in sys.argv else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(*sys.argv[1:]))
