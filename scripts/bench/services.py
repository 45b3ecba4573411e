"""The servers that compete: started side by side, and frozen while they are not on.

Frozen (SIGSTOP) and not stopped, so that all run warm and none takes processor time from another.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE
from payment_server.store.embedded.child_process import ChildProcess
from scripts.bench.meter import resident_mib, tree
from scripts.bench.postgres import FOLDER, USUAL, Postgres

READY_LIMIT_SECONDS: Final = 60.0  # a second as a rule
READY_POLL_SECONDS: Final = 0.002  # what a start-up time is off by
STOP_STEPS: Final = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


TRANSPORTS: Final = ("native", "grpcio")
SEVERAL: Final = "2 workers"  # on the first of the transports; all else of ours has one


def transports() -> tuple[str, ...]:
    """Those that can serve here, the faster one first."""
    has_native = importlib.util.find_spec("pygrpc_native") is not None
    return TRANSPORTS if has_native else TRANSPORTS[1:]


class Running:
    """One server: where it listens, and how long it took to get there."""

    def __init__(self, process: ChildProcess, ports: dict[str, int], seconds: float) -> None:
        self._process = process
        self.ports = ports
        self.start_seconds = seconds

    @property
    def pid(self) -> int:
        """Root of its processes."""
        return self._process.pid

    @property
    def resident_mib(self) -> float:
        """What it has in memory."""
        return resident_mib(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """To it and its children."""
        for each in tree(self.pid):
            each.send_signal(number)

    async def stop(self) -> None:
        """Also if it is frozen."""
        self.signal(signal.SIGCONT)
        await self._process.stop(*STOP_STEPS)


class Services:
    """The servers by their names. All but those that are on are frozen."""

    def __init__(self, running: dict[str, Running]) -> None:
        self._running = running
        for each in running.values():
            each.signal(signal.SIGSTOP)

    def __getitem__(self, name: str) -> Running:
        return self._running[name]

    @contextmanager
    def on(self, *names: str) -> Iterator[None]:
        """Lets these run."""
        for name in names:
            self._running[name].signal(signal.SIGCONT)
        try:
            yield
        finally:
            for name in names:
                self._running[name].signal(signal.SIGSTOP)


@asynccontextmanager
async def serving(postgres: Postgres, transports: tuple[str, ...]) -> AsyncIterator[Services]:
    """All servers, one started after the other, so that each has its start-up time to itself."""
    bin_folder = Path(sys.executable).parent
    module = (sys.executable, "-m")
    payment_server = (str(bin_folder / "payment-server"), "serve")
    running: dict[str, Running] = {}
    ours = [(name, name, 1) for name in transports] + [(SEVERAL, transports[0], 2)]
    try:
        for name, transport, workers in ours:
            settings = {
                "DATABASE_URL": postgres.url(SERVICE_ROLE),
                "PAYMENT_PROCESSOR": "sandbox",
                "PAYMENT_GRPC_TRANSPORT": transport,
                "PAYMENT_GRPC_PORT": "0",
                "PAYMENT_HTTP_PORT": "0",
                "PAYMENT_LOG_LEVEL": "warning",
            }
            command = (*payment_server, f"--workers={workers}", "--ready-file")
            running[name] = await _start(name, command, settings)
        target = {"PAYMENT_TARGET": f"127.0.0.1:{running[transports[0]].ports['grpc_port']}"}
        mock = (str(bin_folder / "requestor-mock"), "serve", "--port=0", "--ready-file")
        usual = (*module, "scripts.bench.usual_design", postgres.url(OWNER_ROLE, USUAL))
        running["mock"] = await _start("mock", mock, target)
        running["usual"] = await _start("usual", usual, {})
        running["echo"] = await _start("echo", (*module, "scripts.bench.echo"), {})
        litestar = (*module, "scripts.bench.litestar_echo")
        running["litestar"] = await _start("litestar", litestar, {})
        yield Services(running)
    finally:
        await asyncio.gather(*(each.stop() for each in running.values()))


async def _start(name: str, command: tuple[str, ...], settings: dict[str, str]) -> Running:
    """Runs a command, to which the path of its ready file is added, with these settings only."""
    ready_file = FOLDER / f"{name}.ready"
    ready_file.unlink(missing_ok=True)
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(FOLDER), **settings}
    began = time.perf_counter()
    with (FOLDER / f"{name}.log").open("ab") as log:
        process = ChildProcess.launch(
            [
                shutil.which("env") or "/usr/bin/env",
                "-i",
                *(f"{variable}={value}" for variable, value in environment.items()),
                *command,
                ready_file,
            ],
            output=log.fileno(),
        )
    while not ready_file.exists():
        if not process.is_running or time.perf_counter() - began > READY_LIMIT_SECONDS:
            await process.stop(*STOP_STEPS)
            raise RuntimeError(f"{name} does not start: {(FOLDER / f'{name}.log').read_text()}")
        await asyncio.sleep(READY_POLL_SECONDS)
    seconds = time.perf_counter() - began
    return Running(process, json.loads(ready_file.read_text()), seconds)
