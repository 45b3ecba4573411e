"""`payment-server serve` with two workers on one port, who are replaced, or killed, under load."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[4]
COMMAND: Final = os.environ.get(
    "PAYMENT_SERVER_COMMAND", str(REPOSITORY / ".envs/payment-server/bin/payment-server")
)
PROGRAM: Final = Path(__file__).with_name("production.py")
WORKERS: Final = 2
LIMIT_SECONDS: Final = 60.0
"""For others to come in place of workers; it takes a second or two on a machine that is idle."""
STOP_LIMIT_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.05

SETTINGS: Final = {
    "PAYMENT_PROCESSOR": "sandbox",
    "PAYMENT_GRPC_PORT": "0",
    "PAYMENT_HTTP_PORT": "0",
    "PAYMENT_MIGRATE_ON_START": "true",
    "PAYMENT_PROCESSOR_TIMEOUT_MS": "500",  # so what a killed worker leaves behind is taken up soon
}


@dataclass(frozen=True)
class Workers:
    target: str
    supervisor: int
    """Its process id."""
    log: Path

    async def replaced(self) -> None:
        """Asks for a rolling restart, and returns when it is over."""
        over = self._has_said(f"replaced {WORKERS} workers")
        os.kill(self.supervisor, signal.SIGHUP)
        await until(over)

    async def one_killed(self) -> None:
        """Kills a worker, and returns when another one serves in its place."""
        followed = self._has_said("payment_server.app serving")
        os.kill(self._first(), signal.SIGKILL)
        await until(followed)

    def _first(self) -> int:
        """The process id of one that is alive."""
        children = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        return int(children.read_text().split()[0])

    def _has_said(self, words: str) -> Callable[[], bool]:
        """Whether the log has the words once more than now."""
        before = self.log.read_text().count(words)
        return lambda: self.log.read_text().count(words) > before


@contextmanager
def workers(folder: Path, **settings: str) -> Iterator[Workers]:
    """They serve from the beginning to the end, whatever is done to single ones."""
    # Where nohup runs the tests, what they start would inherit to ignore it.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    python = Path(COMMAND).with_name("python")
    with subprocess.Popen(
        [python, PROGRAM, COMMAND, folder, str(WORKERS)],
        env=neutral_environment() | SETTINGS | settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        signal.signal(signal.SIGHUP, before)
        assert process.stdout is not None
        try:
            found = json.loads(process.stdout.readline())
            yield Workers(f"127.0.0.1:{found['grpc_port']}", found["pid"], folder / "log")
        finally:
            process.communicate(timeout=STOP_LIMIT_SECONDS)  # its standard input ends


def neutral_environment() -> dict[str, str]:
    leading = re.compile(r"PAYMENT_|DATABASE_URL|REDIS_URL|PYTHON(PATH|HOME)")
    return {name: value for name, value in os.environ.items() if not leading.match(name)}


async def until(fact: Callable[[], bool]) -> None:
    """Waits for a fact; raises TimeoutError if it does not come true."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            if fact():
                return
            await asyncio.sleep(POLL_SECONDS)
