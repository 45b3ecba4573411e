"""The program under test as people start it: real processes, with nothing of ours in their way."""

import json
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from service_under_test import TRANSPORT

COMMAND = shutil.which("payment-server", path=sysconfig.get_path("scripts")) or ""
START_LIMIT_SECONDS = 60
STOP_LIMIT_SECONDS = 30
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("PAYMENT_") and name not in ("DATABASE_URL", "REDIS_URL")
} | {"PAYMENT_GRPC_TRANSPORT": TRANSPORT}
ANY_PORTS = {"PAYMENT_GRPC_PORT": "0", "PAYMENT_HTTP_PORT": "0"}
SERVE = {"PAYMENT_PROCESSOR": "sandbox", **ANY_PORTS}


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running_program(folder: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """A command that serves, from when it is ready on; its log and its ready file in the folder."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    options = ["--grpc-port=0", "--http-port=0", f"--ready-file={ready}"]
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments, *options],
            env={**CLEAN, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        ports = json.loads(ready.read_text())
        yield Running(process, ports["grpc_port"], ports["http_port"])
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_SECONDS)


def dev(folder: Path, **environment: str) -> AbstractContextManager[Running]:
    """`payment-server dev` on a data directory in the folder."""
    return running_program(folder, "dev", f"--data-dir={folder / 'data'}", **environment)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env={**CLEAN, **environment},
        capture_output=True,
        text=True,
        timeout=START_LIMIT_SECONDS,
    )


def all_gone(processes: list[psutil.Process], limit_seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=limit_seconds)
    return not alive
