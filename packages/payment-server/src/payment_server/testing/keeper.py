"""The process that runs the service of a test run: `payment-server dev --ephemeral`, and its end.

    python -m payment_server.testing.keeper FOLDER

It is the program itself, in one process. It ends when no process holds FOLDER/users any more,
however they went. Whoever starts it hands over FOLDER/keeper, locked, by inheritance: that lock
is what says that it lives (see `sharing`).
"""

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

STOP_LIMIT_SECONDS: Final = 10.0
"""The service stops in less than one; PostgreSQL dies with this process in any case."""


def main(folder: Path) -> None:
    """Runs the service until nobody needs it."""
    if os.fork():
        os._exit(0)  # so that the pytest process has no child to wait for, or to be warned of
    ready = folder / "ready.json"
    threading.Thread(target=_end_with_users, args=(folder / "users",), daemon=True).start()
    from payment_server.cli import main as payment_server

    arguments = ["--ephemeral", "--grpc-port=0", "--http-port=0", f"--ready-file={ready}"]
    sys.argv = ["payment-server", "dev", *arguments]
    try:
        payment_server()
    finally:
        ready.unlink(missing_ok=True)


def _end_with_users(users: Path) -> None:
    descriptor = os.open(users, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # the kernel gives it when the last one is gone
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_LIMIT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
