"""The service as in production, on a PostgreSQL of its own; a program for the service's
interpreter, and no test.

Arguments: the command `payment-server`, a folder for the log and the ready file, the number of
workers. Prints the ready file as a line when they serve, and ends, with all that it has started,
when its standard input does.
"""

import asyncio
import os
import sys
from pathlib import Path

from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres

START_LIMIT_SECONDS = 60  # a loaded machine has taken twenty
STOP_LIMIT_SECONDS = 30
POLL_SECONDS = 0.02


async def main(command: str, folder: Path, workers: str) -> None:
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    try:
        urls = {
            "DATABASE_URL": postgres.url(SERVICE_ROLE),
            "PAYMENT_OWNER_DATABASE_URL": postgres.url(OWNER_ROLE),
        }
        await serve(command, folder, workers, urls)
    finally:
        await postgres.stop()


async def serve(command: str, folder: Path, workers: str, urls: dict[str, str]) -> None:
    ready = folder / "ready.json"
    with (folder / "log").open("wb") as log:
        supervisor = await asyncio.create_subprocess_exec(
            *(command, "serve", f"--workers={workers}", f"--ready-file={ready}"),
            env={**os.environ, **urls},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(START_LIMIT_SECONDS):
            while True:
                if ready.exists() or supervisor.returncode is not None:
                    break
                await asyncio.sleep(POLL_SECONDS)
        print(ready.read_text().strip(), flush=True)  # noqa: T201 - what it is for
        await asyncio.to_thread(sys.stdin.read)
    finally:
        supervisor.terminate()
        async with asyncio.timeout(STOP_LIMIT_SECONDS):
            await supervisor.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
