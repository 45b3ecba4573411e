"""Runs the service as several processes on the same ports, and sees to it that they go on.

It holds the ports and the embedded PostgreSQL, and serves nobody itself. Whoever dies is followed
by another one; on SIGHUP all are, one after the other. No worker outlives it.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias

from payment_server.api.listening import held_port, listening_socket, port_of
from payment_server.app import (
    Address,
    CannotStart,
    Databases,
    Plan,
    databases_of,
    on_hangup,
    told_by_setting,
    transport_of,
    until_signalled,
    until_stopped,
)
from payment_server.store.database import Database
from payment_server.store.offered import connections_offered
from payment_server.supervised import Brief, written

log = logging.getLogger(__name__)

EMBEDDED_CONNECTIONS: Final = 97  # what PostgreSQL has by default, without three of its owner's
READY_LIMIT_SECONDS: Final = 60.0  # a start takes one; a loaded machine has taken twenty
FIRST_PAUSE_SECONDS: Final = 0.1  # a single crash should be over before callers' retries are
LONGEST_PAUSE_SECONDS: Final = 10.0  # a trouble that passes is noticed to have passed within this
STEADY_SECONDS: Final = 60.0  # whoever ran for so long did not die of its start
STOP_MARGIN_SECONDS: Final = 18.0
"""What the end of a worker takes at most beside two graces, one for those inside and one for what
they have begun: some 5 s for servers, 2 for loops, and 10 for the statements of both its pools."""

Launch: TypeAlias = Callable[[int], Coroutine[Any, Any, asyncio.subprocess.Process]]


class WorkerFailed(Exception):
    """A worker did not come to serve; the message says how it ended, its own log why."""


async def supervise(plan: Plan, workers: int) -> None:
    """Serves by so many processes until SIGINT or SIGTERM; on SIGHUP all are replaced in turn.

    Raises CannotStart and what a database raises at start.
    """
    await until_signalled(partial(_supervise, plan, workers))


async def _supervise(
    plan: Plan, workers: int, is_up: asyncio.Event, asked_to_stop: asyncio.Event
) -> None:
    asked_to_replace = asyncio.Event()
    on_hangup((asked_to_replace if plan.stays_on_hangup else asked_to_stop).set)
    _refuse_too_many(plan, workers)
    transport = transport_of(plan)
    with ExitStack() as held:
        ports = [held.enter_context(each) for each in _ports(plan)]
        address = Address(*map(port_of, ports))
        async with databases_of(plan) as databases:
            if not plan.embedded:
                await _warn_of_too_many(plan, databases, workers)
            brief = _brief(plan, databases, address, ports[1])
            async with _working(brief, workers, asked_to_replace) as tending:
                log.info(
                    "serving gRPC on port %d (%s) and HTTP on %d by %d workers",
                    *(address.grpc_port, transport, address.http_port, workers),
                )
                if plan.on_ready is not None:
                    plan.on_ready(address)
                is_up.set()
                await until_stopped(asked_to_stop, databases, *tending)
                log.info("stopping")
    log.info("stopped")


def _refuse_too_many(plan: Plan, workers: int) -> None:
    if sys.platform != "linux":
        raise CannotStart("several workers need Linux, which spreads connections over them")
    connections = plan.settings.database_connections + 1
    if plan.embedded and (workers + 1) * connections > EMBEDDED_CONNECTIONS:  # one may make way
        raise CannotStart(
            f"{workers} workers need more connections than the embedded PostgreSQL has;"
            " set PAYMENT_DATABASE_CONNECTIONS to a smaller number"
        )


async def _warn_of_too_many(plan: Plan, databases: Databases, workers: int) -> None:
    """Says so where the workers may ask for more connections than the server has for them."""
    each = plan.settings.database_connections + 1
    wanted = (workers + 1) * each  # one may make way
    database = Database(databases.url, connections=1)
    try:
        offered = await connections_offered(database)
    finally:
        await database.close()
    if wanted > offered:
        log.warning(
            "%d workers, and one more while they are replaced, open up to %d connections (%d each),"
            " and PostgreSQL has %d for everybody: set --workers or PAYMENT_DATABASE_CONNECTIONS"
            " to a smaller number, or PostgreSQL's max_connections to a larger one",
            *(workers, wanted, each, offered),
        )


def _ports(plan: Plan) -> tuple[socket.socket, socket.socket]:
    """gRPC's, which takes no listener of ours; and HTTP's, whose listener the workers share."""
    settings = plan.settings
    with told_by_setting("GRPC"):
        rpc = held_port(settings.host, settings.grpc_port)
    with told_by_setting("HTTP"):
        return rpc, listening_socket(settings.host, settings.http_port)


def _brief(plan: Plan, databases: Databases, address: Address, http: socket.socket) -> Brief:
    embedded = databases.embedded
    return Brief(
        number=0,
        processor=plan.settings.processor,
        host=plan.settings.host,
        grpc_port=address.grpc_port,
        http_port=address.http_port,
        http_listener=http.fileno(),
        grace_seconds=plan.grace_seconds,
        database_url=None if embedded is None else databases.url,
        embedded_data_dir=None if embedded is None else str(embedded.data_dir),
    )


@asynccontextmanager
async def _working(
    brief: Brief, workers: int, asked_to_replace: asyncio.Event
) -> AsyncIterator[Sequence[asyncio.Task[NoReturn]]]:
    """All workers at work, and those who have died or were asked to go replaced meanwhile, by tasks
    that end only by a fault of ours."""
    crew = Crew(brief)
    seats = [Seat(number, crew.launch, crew.end) for number in range(1, workers + 1)]
    tasks: list[asyncio.Task[NoReturn]] = []
    try:
        await _fill(seats)
        tasks = [asyncio.create_task(seat.keep()) for seat in seats]
        tasks.append(asyncio.create_task(_replace(seats, asked_to_replace)))
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await crew.stop()


async def _fill(seats: "list[Seat]") -> None:
    """The first one alone: what keeps it from starting would keep them all, and is told once."""
    try:
        await seats[0].fill()
        await asyncio.gather(*(seat.fill() for seat in seats[1:]))
    except WorkerFailed as error:
        raise CannotStart(str(error)) from error


async def _replace(seats: "list[Seat]", asked: asyncio.Event) -> NoReturn:
    while True:
        await asked.wait()
        asked.clear()
        log.info("replacing %d workers", len(seats))
        try:
            for seat in seats:
                await seat.replace()
        except WorkerFailed as error:
            log.error("%s; whoever still works goes on", error)
        else:
            log.info("replaced %d workers", len(seats))


class Crew:
    """Every worker process that is alive: those at work, on their way in and on their way out."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._alive: set[asyncio.subprocess.Process] = set()

    async def launch(self, number: int) -> asyncio.subprocess.Process:
        """A worker that serves. Raises WorkerFailed."""
        self._alive = {each for each in self._alive if each.returncode is None}
        try:
            process = await asyncio.create_subprocess_exec(
                # -P: nothing is imported from the folder that we were started in
                *(sys.executable, "-P", "-m", "payment_server.cli", "worker"),
                stdin=asyncio.subprocess.PIPE,  # whose end tells the worker that we are gone
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(self._brief.http_listener,),
                start_new_session=True,  # the terminal's Ctrl-C reaches us alone
            )
        except OSError as error:  # no process, descriptor or memory to be had
            raise WorkerFailed(f"worker {number} cannot be started: {error}") from error
        self._alive.add(process)
        try:
            async with asyncio.timeout(READY_LIMIT_SECONDS):
                if await _is_ready(process, written(self._brief, number)):
                    return process
            ended = ended_words(await process.wait())
        except TimeoutError:
            _send(process, signal.SIGKILL)
            ended = f"was not ready after {READY_LIMIT_SECONDS:.0f} s"
        self._alive.discard(process)
        raise WorkerFailed(f"worker {number} {ended} before it served")

    async def end(self, process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        """Sends the signal, and SIGKILL to whoever has not ended in its time."""
        _send(process, number)
        try:
            async with asyncio.timeout(2 * self._brief.grace_seconds + STOP_MARGIN_SECONDS):
                await process.wait()
        except TimeoutError:
            log.error("process %d outlived its time and is killed", process.pid)
            _send(process, signal.SIGKILL)
            await process.wait()
        self._alive.discard(process)

    async def stop(self) -> None:
        """Ends them all at once."""
        await asyncio.gather(*(self.end(each, signal.SIGTERM) for each in set(self._alive)))


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signals the process, unless it has ended."""
    with suppress(ProcessLookupError):
        process.send_signal(number)


async def _is_ready(process: asyncio.subprocess.Process, brief: bytes) -> bool:
    """Whether it says a line, as it does when it serves, before it ends."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a worker without pipes")
    process.stdin.write(brief)
    return bool(await process.stdout.readline())


class Seat:
    """The place of one worker, by its number, and who is there."""

    def __init__(self, number: int, launch: Launch, end: "End") -> None:
        self._number = number
        self._launch = launch
        self._end = end
        self._process: asyncio.subprocess.Process | None = None
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    async def fill(self) -> None:
        """Lets the first one begin. Raises WorkerFailed."""
        await self._begin()

    async def replace(self) -> None:
        """Lets another one begin, and the present one end then. Raises WorkerFailed."""
        async with self._changing:
            before = self._process
            await self._begin()
        if before is not None:
            await self._end(before, signal.SIGHUP)

    async def keep(self) -> NoReturn:
        """Lets another one begin whenever the present one has died, as often as it takes."""
        pause_seconds, now = FIRST_PAUSE_SECONDS, asyncio.get_running_loop().time
        while True:
            began = now()
            dead = await self._death()
            if now() - began > STEADY_SECONDS:
                pause_seconds = FIRST_PAUSE_SECONDS
            told = f"worker {self._number} {ended_words(await dead.wait())}"
            while self._process is dead:
                log.error("%s; the next one in %.1f s", told, pause_seconds)
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                try:
                    await self._follow(dead)
                except WorkerFailed as error:
                    told = str(error)

    async def _death(self) -> asyncio.subprocess.Process:
        """Whoever is here when it ends; of one who was replaced the successor is waited for."""
        while True:
            self._changed.clear()
            process = self._process
            if process is None:
                raise RuntimeError("a seat that was never filled")
            waits = {asyncio.create_task(each) for each in (process.wait(), self._changed.wait())}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
            if process is self._process:
                return process

    async def _follow(self, dead: asyncio.subprocess.Process) -> None:
        async with self._changing:
            if self._process is dead:
                await self._begin()

    async def _begin(self) -> None:
        self._process = await self._launch(self._number)
        self._changed.set()


End: TypeAlias = Callable[[asyncio.subprocess.Process, signal.Signals], Coroutine[Any, Any, None]]


def ended_words(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
