"""The composition root: builds the parts, starts them, and stops them in reverse.

The only place that knows everybody; it decides nothing about payments.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import msgspec

from payment_server import workers
from payment_server.api.gate import Gate
from payment_server.api.leaving import CLOSE_GRACE_SECONDS, leave
from payment_server.api.listening import CannotListen, listening_socket, port_of
from payment_server.api.rpc import Service
from payment_server.api.rpc_server import RpcServer
from payment_server.api.transport import QUIET_TURNS, Transport, TransportMissing, chosen
from payment_server.cache import PROBE_PAUSE_SECONDS, Cache
from payment_server.domain.rate import Rate
from payment_server.hints import RESUME_PAUSE_SECONDS, Hints
from payment_server.limits import Limits
from payment_server.payments import Payments
from payment_server.processors import Processor
from payment_server.processors.sandbox import Sandbox
from payment_server.reading import Reader
from payment_server.settings import Settings
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres
from payment_server.watching import HINTS_PAUSE_SECONDS, Watching

if TYPE_CHECKING:
    from payment_server.api.http_server import HttpServer

log = logging.getLogger(__name__)

HEALTH_LIMIT_SECONDS: Final = 1.0  # a database that needs longer to say 1 is as good as away

COLLECT_AFTER: Final = (50_000, 20, 5)
"""After so many objects that were made and not freed (some MiB) the collector looks at them, and at
older ones after so many looks. As it comes, it takes a tenth of the calls' time, and at times stops
all of them for 20 ms."""


class CannotStart(Exception):
    """The service will not run like this; the message says what to do."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to run: `embedded` brings its own PostgreSQL, `ephemeral` one without a tomorrow.

    `grace_seconds` is how long calls under way may take when the service stops. `on_ready` is told
    when all ports answer. Where it is not `stays_on_hangup`, SIGHUP, as of a terminal that is
    closed, ends it and all its workers.

    A worker, one of several processes on the same ports, has the listener of HTTP from its
    supervisor, by its descriptor, and sees to the room of the PostgreSQL in `embedded_data_dir`,
    which is its supervisor's.
    """

    settings: Settings
    embedded: bool
    ephemeral: bool = False
    migrate: bool
    grace_seconds: float
    stays_on_hangup: bool = True
    on_ready: "Callable[[Address], None] | None" = None
    http_listener: int | None = None
    embedded_data_dir: Path | None = None

    @property
    def is_worker(self) -> bool:
        """Whether others serve the same ports."""
        return self.http_listener is not None


class Address(msgspec.Struct, frozen=True):
    """The ports that the service listens on."""

    grpc_port: int
    http_port: int


Serve: TypeAlias = Callable[[asyncio.Event, asyncio.Event], Coroutine[Any, Any, None]]


async def run(plan: Plan) -> None:
    """Serves until a signal ends it; see `until_signalled`.

    SIGHUP ends it as well, since whoever is alone has nobody to make way for. A worker lets the
    others have its callers then. Raises CannotStart and what the parts raise at start.
    """
    makes_way = asyncio.Event()

    async def serve(is_up: asyncio.Event, asked_to_stop: asyncio.Event) -> None:
        def make_way() -> None:
            makes_way.set()
            asked_to_stop.set()

        on_hangup(make_way)
        await _serve(plan, is_up, asked_to_stop, makes_way)

    await until_signalled(serve)


def on_hangup(do: Callable[[], None]) -> None:
    """Does it on SIGHUP, unless we were started by nohup, which has it ignored."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, do)


async def until_signalled(serve: Serve) -> None:
    """Runs until SIGINT or SIGTERM, which are heeded while it starts as well.

    What runs sets the first event when it has started, and ends when the second one is set.
    """
    asked_to_stop, is_up = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    service = asyncio.create_task(serve(is_up, asked_to_stop))
    stopping = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({service, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not is_up.is_set():
        service.cancel()  # in the middle of its start, which unwinds what it has built
    with suppress(asyncio.CancelledError):
        await service


async def _serve(
    plan: Plan, is_up: asyncio.Event, asked_to_stop: asyncio.Event, makes_way: asyncio.Event
) -> None:
    transport = transport_of(plan)  # a wrong one is told before a database is started
    async with (
        databases_of(plan) as databases,
        serving(plan, databases, sandbox_of(plan.settings), makes_way) as address,
    ):
        log.info(
            "serving gRPC on port %d (%s) and HTTP on %d",
            address.grpc_port,
            transport,
            address.http_port,
        )
        _collect_seldom()
        if plan.on_ready is not None:
            plan.on_ready(address)
        is_up.set()
        await until_stopped(asked_to_stop, databases)
        log.info("stopping")
    log.info("stopped")


def _collect_seldom() -> None:
    """What has been imported stays, and calls leave no cycles behind but those of failures."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def until_stopped(
    asked_to_stop: asyncio.Event, databases: "Databases", *tending: asyncio.Task[NoReturn]
) -> None:
    """Raises CannotStart where the database is gone before anybody asked, and what ends one of the
    tasks that should never end."""
    stopping = asyncio.create_task(asked_to_stop.wait())
    ends = {stopping, databases.failed, *tending}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in tending:
        if task.done():
            task.result()
    if databases.failed.done():
        raise CannotStart(f"the database is gone: {databases.failed.result()}")


def sandbox_of(settings: Settings) -> Sandbox:
    """The sandbox as the settings want it."""
    return Sandbox(
        latency_seconds=settings.sandbox_latency_ms / 1000,
        settle_seconds=settings.sandbox_settle_ms / 1000,
        hold_seconds=settings.sandbox_hold_seconds,
        challenge_seconds=settings.sandbox_challenge_seconds,
    )


class Databases(msgspec.Struct, frozen=True):
    """The database by its two roles. `failed` is done when it is gone for good.

    `embedded` is the PostgreSQL of our own, or of our supervisor's, whose room is watched.
    """

    url: str
    owner_url: str
    failed: asyncio.Future[Any]
    embedded: EmbeddedPostgres | None = None


@asynccontextmanager
async def databases_of(plan: Plan) -> AsyncIterator[Databases]:
    """A database with this program's schema."""
    settings = plan.settings
    if not plan.embedded:
        if settings.database_url is None or settings.owner_database_url is None:
            raise CannotStart("DATABASE_URL is not set")
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        folder = plan.embedded_data_dir
        neighbour = None if folder is None else EmbeddedPostgres(folder)
        found = Databases(settings.database_url, settings.owner_database_url, never, neighbour)
        await _fit_schema(plan, found)
        yield found
        return
    binaries = settings.postgres_binaries
    if plan.ephemeral:
        postgres = EmbeddedPostgres.ephemeral(binaries=binaries)
    else:
        postgres = EmbeddedPostgres(settings.data_dir, binaries=binaries)
    await postgres.start()
    try:
        service, owner = postgres.url(SERVICE_ROLE), postgres.url(OWNER_ROLE)
        found = Databases(service, owner, postgres.failed, postgres)
        await _fit_schema(plan, found)
        yield found
    finally:
        await postgres.stop()


async def _fit_schema(plan: Plan, databases: Databases) -> None:
    if plan.migrate:
        for each in await schema.migrate(databases.owner_url):
            log.info("applied migration %04d (%s)", each.number, each.name)
    elif await schema.pending(databases.url):
        raise CannotStart("the database lacks migrations: run `payment-server migrate` first")


@asynccontextmanager
async def serving(
    plan: Plan,
    databases: Databases,
    processor: Processor,
    makes_way: asyncio.Event | None = None,
) -> AsyncIterator[Address]:
    """The service on its ports. gRPC is open before the HTTP side is even imported.

    At the end nobody may enter any more, whoever is inside has the grace to finish, and then the
    servers close together: HTTP, gRPC, and after them what they stood on. A worker that makes way
    refuses nobody: first its servers send the callers to the others.
    """
    settings = plan.settings
    transport = transport_of(plan)
    turns, connections = QUIET_TURNS[transport], settings.database_connections
    database = Database(databases.url, connections=connections, quiet_turns=turns)
    probe = Database(databases.url, connections=1)  # so that busy connections are not bad health
    cache = Cache(settings.redis_url)
    is_up = partial(_is_up, probe)
    gate = Gate(_limits(settings, cache))

    async with AsyncExitStack() as stack:
        for part in (cache, probe, database):
            stack.push_async_callback(part.close)
        await database.refuse_unsafe_settings()
        limit_seconds = settings.processor_timeout_ms / 1000
        reader, watching = Reader(database), Watching(database)
        hints = Hints(cache, watching)
        payments = Payments(
            database, processor, processor_limit_seconds=limit_seconds, on_change=hints.changed
        )
        stack.push_async_callback(payments.close)
        service = Service(payments, reader, is_up)
        rpc = RpcServer(service, watching, gate, transport, shares_port=plan.is_worker)
        stack.push_async_callback(rpc.stop, CLOSE_GRACE_SECONDS)
        with told_by_setting("GRPC"):
            grpc_port = await rpc.start(settings.host, settings.grpc_port)

        from payment_server.api.http import build_http_app
        from payment_server.api.http_server import HttpServer

        http = HttpServer(
            build_http_app(payments, reader, watching, gate, is_up=is_up, redis_state=cache.state)
        )
        stack.push_async_callback(http.stop, CLOSE_GRACE_SECONDS)
        http_port = await _listening(http, plan)

        async def watch_health() -> None:
            await rpc.set_serving(await is_up() and not gate.is_closed)

        candidate = workers.Candidate(database)
        stand = partial(workers.attempt, "election", candidate.stand)  # which is a write
        for begin in (watch_health, stand, cache.probe):  # before the first call
            await begin()
        try:
            async with workers.beside(
                ("health", watch_health, workers.HEALTH_PAUSE_SECONDS),
                ("room", partial(_watch_room, database, databases), workers.ROOM_PAUSE_SECONDS),
                ("watch", watching.look, HINTS_PAUSE_SECONDS),
                *_done_once(candidate, database, payments),
                *(_beside_redis(cache, gate.limits, hints) if settings.redis_url else ()),
            ):
                yield Address(grpc_port, http_port)
        finally:
            watching.close()
            to_others = plan.is_worker and makes_way is not None and makes_way.is_set()
            left_seconds = await leave(http, rpc, gate, plan.grace_seconds, to_others=to_others)
            await candidate.resign()
            await gate.emptied(left_seconds)
            await payments.drain(plan.grace_seconds)


def _done_once(
    candidate: workers.Candidate, database: Database, payments: Payments
) -> Iterator[workers.Loop]:
    """What one of the processes on a database does for all of them."""
    look_up = partial(workers.look_up_due, database, payments)
    lapse = partial(workers.lapse_due, database, payments)
    prune = partial(workers.prune_answers, database)
    yield "election", candidate.stand, workers.ELECTION_PAUSE_SECONDS
    yield "look-up", candidate.when_elected(look_up), workers.LOOK_UP_PAUSE_SECONDS
    yield "lapse", candidate.when_elected(lapse), workers.LAPSE_PAUSE_SECONDS
    yield "prune", candidate.when_elected(prune), workers.PRUNE_PAUSE_SECONDS


def _limits(settings: Settings, cache: Cache) -> Limits | None:
    if not settings.rate_limit_per_second:
        return None
    burst = settings.rate_limit_burst
    return Limits(Rate.of(per_second=settings.rate_limit_per_second, burst=burst), cache)


def _beside_redis(cache: Cache, limits: Limits | None, hints: Hints) -> Iterator[workers.Loop]:
    """What there is to do where there is a Redis."""
    yield "redis", cache.probe, PROBE_PAUSE_SECONDS
    yield "hints", hints.publish, 0.0
    yield "listen", hints.listen, RESUME_PAUSE_SECONDS
    if limits is not None:
        yield "limits", limits.share, 0.0


async def _watch_room(database: Database, databases: Databases) -> None:
    if databases.embedded is not None:
        database.writable = databases.embedded.has_room()


def transport_of(plan: Plan) -> Transport:
    """The gRPC server that the settings name. Raises CannotStart where it is not installed."""
    try:
        return chosen(plan.settings.grpc_transport)
    except TransportMissing as error:
        raise CannotStart(str(error)) from error


async def _is_up(probe: Database) -> bool:
    try:
        # Not asyncio.wait_for: before Python 3.12 it can swallow the loop's cancellation.
        async with asyncio.timeout(HEALTH_LIMIT_SECONDS):
            return await probe.is_up()
    except TimeoutError:
        return False


async def _listening(http: "HttpServer", plan: Plan) -> int:
    """Lets HTTP answer on its own listener, or on the one of all workers; returns the port."""
    if plan.http_listener is not None:
        listener = socket.socket(fileno=plan.http_listener)
    else:
        with told_by_setting("HTTP"):
            listener = listening_socket(plan.settings.host, plan.settings.http_port)
    await http.start(listener)
    return port_of(listener)


@contextmanager
def told_by_setting(side: str) -> Iterator[None]:
    """Names the setting of a port, GRPC or HTTP, that cannot be had. Raises CannotStart."""
    try:
        yield
    except CannotListen as error:
        setting = f"PAYMENT_{side}_PORT" if error.is_taken else "PAYMENT_HOST"
        raise CannotStart(f"{error}; set {setting} to another one") from error


def write_ready(path: Path, address: Address) -> None:
    """Appears whole or not at all, for whoever waits for it."""
    content = {
        "grpc_port": address.grpc_port,
        "http_port": address.http_port,
        "pid": os.getpid(),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)
