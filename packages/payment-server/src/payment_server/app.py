"""The composition root: builds the parts, starts them, and stops them in reverse.

The only place that knows everybody; it decides nothing about payments.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from payment_server import workers
from payment_server.api.gate import Gate
from payment_server.api.listening import CannotListen
from payment_server.api.rpc import Service
from payment_server.api.rpc_server import RpcServer
from payment_server.api.transport import Transport, TransportMissing, chosen
from payment_server.cache import Cache
from payment_server.payments import Payments
from payment_server.processors import Processor
from payment_server.processors.sandbox import Sandbox
from payment_server.reading import Reader
from payment_server.settings import Settings
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres
from payment_server.watching import HINTS_PAUSE_SECONDS, Watching

log = logging.getLogger(__name__)

HEALTH_LIMIT_SECONDS: Final = 1.0  # a database that needs longer to say 1 is as good as away

CLOSE_GRACE_SECONDS: Final = 0.5
"""For answers on their way out; streams that never end, such as health watches, are cut then."""


class CannotStart(Exception):
    """The service will not run like this; the message says what to do."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How to run: `embedded` brings its own PostgreSQL, `ephemeral` one without a tomorrow.

    `grace_seconds` is how long calls under way may take when the service stops. `ready_file` is
    written when all ports answer.
    """

    settings: Settings
    embedded: bool
    ephemeral: bool = False
    migrate: bool
    grace_seconds: float
    ready_file: Path | None = None


class Address(msgspec.Struct, frozen=True):
    """The ports that the service listens on."""

    grpc_port: int
    http_port: int


async def run(plan: Plan) -> None:
    """Serves until SIGINT or SIGTERM, which are heeded while it starts as well.

    Raises CannotStart and what the parts raise at start.
    """
    asked_to_stop, is_up = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    service = asyncio.create_task(_serve(plan, is_up, asked_to_stop))
    stopping = asyncio.create_task(asked_to_stop.wait())
    await asyncio.wait({service, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not is_up.is_set():
        service.cancel()  # in the middle of its start, which unwinds what it has built
    with suppress(asyncio.CancelledError):
        await service


async def _serve(plan: Plan, is_up: asyncio.Event, asked_to_stop: asyncio.Event) -> None:
    transport = _transport(plan.settings)  # a wrong one is told before a database is started
    async with (
        _databases(plan) as databases,
        serving(plan, databases, sandbox_of(plan.settings)) as address,
    ):
        log.info(
            "serving gRPC on port %d (%s) and HTTP on %d",
            address.grpc_port,
            transport,
            address.http_port,
        )
        if plan.ready_file is not None:
            _write_ready(plan.ready_file, address)
        is_up.set()
        stopping = asyncio.create_task(asked_to_stop.wait())
        await asyncio.wait({stopping, databases.failed}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if databases.failed.done():
            raise CannotStart(f"the database is gone: {databases.failed.result()}")
        log.info("stopping")
    log.info("stopped")


def sandbox_of(settings: Settings) -> Sandbox:
    """The sandbox as the settings want it."""
    return Sandbox(
        latency_seconds=settings.sandbox_latency_ms / 1000,
        settle_seconds=settings.sandbox_settle_ms / 1000,
        hold_seconds=settings.sandbox_hold_seconds,
        challenge_seconds=settings.sandbox_challenge_seconds,
    )


class Databases(msgspec.Struct, frozen=True):
    """The database by its two roles. `failed` is done when it is gone for good."""

    url: str
    owner_url: str
    failed: asyncio.Future[Any]
    embedded: EmbeddedPostgres | None = None


@asynccontextmanager
async def _databases(plan: Plan) -> AsyncIterator[Databases]:
    """A database with this program's schema."""
    settings = plan.settings
    if not plan.embedded:
        if settings.database_url is None or settings.owner_database_url is None:
            raise CannotStart("DATABASE_URL is not set")
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        found = Databases(settings.database_url, settings.owner_database_url, never)
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
async def serving(plan: Plan, databases: Databases, processor: Processor) -> AsyncIterator[Address]:
    """The service on its ports. gRPC is open before the HTTP side is even imported.

    At the end nobody may enter any more, whoever is inside has the grace to finish, and then the
    servers close together: HTTP, gRPC, and after them what they stood on.
    """
    settings = plan.settings
    database = Database(databases.url, connections=settings.database_connections)
    probe = Database(databases.url, connections=1)  # so that busy connections are not bad health
    cache = Cache(settings.redis_url)
    is_up = partial(_is_up, probe)
    gate = Gate()

    async with AsyncExitStack() as stack:
        for part in (cache, probe, database):
            stack.push_async_callback(part.close)
        await database.refuse_unsafe_settings()
        limit_seconds = settings.processor_timeout_ms / 1000
        reader, watching = Reader(database), Watching(database)
        payments = Payments(
            database, processor, processor_limit_seconds=limit_seconds, on_change=watching.hint
        )
        stack.push_async_callback(payments.close)
        rpc = RpcServer(Service(payments, reader, is_up), watching, gate, _transport(settings))
        stack.push_async_callback(rpc.stop, CLOSE_GRACE_SECONDS)
        grpc_port = await _listening(rpc.start(settings.host, settings.grpc_port), "GRPC")

        from payment_server.api.http import build_http_app
        from payment_server.api.http_server import HttpServer

        http = HttpServer(
            build_http_app(payments, reader, watching, gate, is_up=is_up, redis_state=cache.state)
        )
        stack.push_async_callback(http.stop, CLOSE_GRACE_SECONDS)
        http_port = await _listening(http.start(settings.host, settings.http_port), "HTTP")

        async def watch_health() -> None:
            await rpc.set_serving(await is_up() and not gate.is_closed)

        async def watch_room() -> None:
            if databases.embedded is not None:
                database.writable = databases.embedded.has_room()

        look_up = partial(workers.look_up_due, database, payments)
        lapse = partial(workers.lapse_due, database, payments)
        prune = partial(workers.prune_answers, database)
        candidate = workers.Candidate(database)

        await watch_health()
        await candidate.stand()
        try:
            async with workers.beside(
                ("health", watch_health, workers.HEALTH_PAUSE_SECONDS),
                ("room", watch_room, workers.ROOM_PAUSE_SECONDS),
                ("election", candidate.stand, workers.ELECTION_PAUSE_SECONDS),
                ("look-up", candidate.when_elected(look_up), workers.LOOK_UP_PAUSE_SECONDS),
                ("lapse", candidate.when_elected(lapse), workers.LAPSE_PAUSE_SECONDS),
                ("prune", candidate.when_elected(prune), workers.PRUNE_PAUSE_SECONDS),
                ("watch", watching.look, HINTS_PAUSE_SECONDS),
            ):
                yield Address(grpc_port, http_port)
        finally:
            gate.close()
            watching.close()
            await candidate.resign()
            await rpc.set_serving(False)
            await gate.emptied(plan.grace_seconds)
            await payments.drain(plan.grace_seconds)


def _transport(settings: Settings) -> Transport:
    try:
        return chosen(settings.grpc_transport)
    except TransportMissing as error:
        raise CannotStart(str(error)) from error


async def _is_up(probe: Database) -> bool:
    try:
        # Not asyncio.wait_for: before Python 3.12 it can swallow the loop's cancellation.
        async with asyncio.timeout(HEALTH_LIMIT_SECONDS):
            return await probe.is_up()
    except TimeoutError:
        return False


async def _listening(start: Coroutine[Any, Any, int], side: str) -> int:
    try:
        return await start
    except CannotListen as error:
        setting = f"PAYMENT_{side}_PORT" if error.is_taken else "PAYMENT_HOST"
        raise CannotStart(f"{error}; set {setting} to another one") from error


def _write_ready(path: Path, address: Address) -> None:
    """Appears whole or not at all, for whoever waits for it."""
    content = {
        "grpc_port": address.grpc_port,
        "http_port": address.http_port,
        "pid": os.getpid(),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)
