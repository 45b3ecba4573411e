"""What these tests share: starting a PostgreSQL, killing its parent, looking for traces."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from payment_server.store.embedded import EmbeddedPostgres

_PARENT = Path(__file__).with_name("parent_to_be_killed.py")
_WAIT_LIMIT_SECONDS = 30.0  # a loaded machine; every wait here ends in far below a second


@pytest.fixture(autouse=True)
def nothing_is_kept(tmp_path: Path) -> Iterator[None]:
    """A cluster is 46 MB; pytest would keep all of them for three sessions."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
async def prepared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A data directory with a cluster; to be copied, which is faster than making one."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    postgres = EmbeddedPostgres(folder)
    await postgres.start()
    await postgres.stop()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(prepared: Path, tmp_path: Path) -> Path:
    """A data directory with a cluster, not running; this test's own."""
    return shutil.copytree(prepared, tmp_path / "data")


@dataclass
class Parent:
    """A process that runs an embedded PostgreSQL and will be killed."""

    popen: "subprocess.Popen[str]"

    @property
    def pid(self) -> int:
        return self.popen.pid

    def said(self) -> str:
        """The next line that it prints."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def kill(self) -> list[psutil.Process]:
        """SIGKILL; returns what descended from it."""
        descendants: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()
        return descendants


@pytest.fixture
def parent_of_postgres() -> Iterator[Callable[..., Parent]]:
    """Starts a parent with the given arguments; all are dead at the end of the test."""
    parents: list[Parent] = []

    def start(*arguments: str | Path) -> Parent:
        command = [sys.executable, str(_PARENT), *map(str, arguments)]
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        parents.append(Parent(popen))
        return parents[-1]

    yield start
    for parent in parents:
        if parent.popen.poll() is None:
            parent.kill()
        assert parent.popen.stdout is not None
        parent.popen.stdout.close()


@pytest.fixture
async def stopped_at_end() -> AsyncIterator[Callable[[EmbeddedPostgres], EmbeddedPostgres]]:
    """Has the given server stopped at the end of the test, however it ends."""
    servers: list[EmbeddedPostgres] = []

    def add(server: EmbeddedPostgres) -> EmbeddedPostgres:
        servers.append(server)
        return server

    yield add
    for server in servers:
        await server.stop()


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Awaits a condition, asked again and again within a bound."""

    async def wait(
        condition: Callable[[], bool], limit_seconds: float = _WAIT_LIMIT_SECONDS
    ) -> None:
        async with asyncio.timeout(limit_seconds):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def is_gone() -> Callable[[psutil.Process], bool]:
    """Whether a process has ended; a zombie has, whoever is slow to collect it."""

    def look(process: psutil.Process) -> bool:
        try:
            return bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    return look
