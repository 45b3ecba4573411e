"""The composition root: builds the parts, starts them, and stops them in reverse.

The only place that knows everybody; it decides nothing about payments.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from payment_server import workers
from payment_server.api.gate import Gate
from payment_server.api.rpc import Service
from payment_server.api.rpc_server import PortTaken, RpcServer
from payment_server.cache import Cache
from payment_server.payments import Payments
from payment_server.processors import Processor
from payment_server.processors.sandbox import Sandbox
from payment_server.settings import Settings
from payment_server.store import schema
from payment_server.store.database import Database
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres

log = logging.getLogger(__name__)

HEALTH_LIMIT_SECONDS: Final = 1.0  # a database that needs longer to say 1 is as good as away


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
    """Serves until SIGINT or SIGTERM. Raises CannotStart and what the parts raise at start."""
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask_to_stop() -> None:
        if not stop.done():
            stop.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ask_to_stop)
    processor = Sandbox(latency_seconds=plan.settings.sandbox_latency_ms / 1000)
    async with AsyncExitStack() as stack:
        databases = await stack.enter_async_context(_databases(plan))
        address = await stack.enter_async_context(serving(plan, databases, processor))
        log.info("serving gRPC on port %d and HTTP on %d", address.grpc_port, address.http_port)
        if plan.ready_file is not None:
            _write_ready(plan.ready_file, address)
        await asyncio.wait({stop, databases.failed}, return_when=asyncio.FIRST_COMPLETED)
        if databases.failed.done():
            raise CannotStart(f"the database is gone: {databases.failed.result()}")
        log.info("stopping")
    log.info("stopped")


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
    """The service on its ports. gRPC is open before the HTTP side is even imported."""
    settings = plan.settings
    database = Database(databases.url, connections=settings.database_connections)
    cache = Cache(settings.redis_url)
    gate = Gate()

    async def is_up() -> bool:
        try:
            # Not asyncio.wait_for: before Python 3.12 it can swallow the loop's cancellation.
            async with asyncio.timeout(HEALTH_LIMIT_SECONDS):
                return await database.is_up()
        except TimeoutError:
            return False

    async with AsyncExitStack() as stack:
        stack.push_async_callback(cache.close)
        stack.push_async_callback(database.close)
        await database.refuse_unsafe_settings()
        payments = Payments(database, processor)
        stack.push_async_callback(payments.drain, plan.grace_seconds)

        rpc = RpcServer(Service(payments, is_up), gate)
        stack.push_async_callback(rpc.stop, plan.grace_seconds)
        grpc_port = await _listening(rpc.start(settings.host, settings.grpc_port), "GRPC")

        from payment_server.api.http import build_http_app
        from payment_server.api.http_server import HttpServer

        http = HttpServer(build_http_app(payments, gate, is_up=is_up, redis_state=cache.state))
        stack.push_async_callback(http.stop, plan.grace_seconds)
        http_port = await _listening(http.start(settings.host, settings.http_port), "HTTP")

        async def watch_health() -> None:
            await rpc.set_serving(await is_up())

        async def watch_room() -> None:
            if databases.embedded is not None:
                database.writable = databases.embedded.has_room()

        async def resume() -> None:
            await workers.resume_unfinished(database, payments)

        await watch_health()
        async with workers.beside(
            (watch_health, workers.HEALTH_PAUSE_SECONDS),
            (watch_room, workers.ROOM_PAUSE_SECONDS),
            (resume, workers.RESUME_PAUSE_SECONDS),
        ):
            yield Address(grpc_port, http_port)
            gate.close()
            await rpc.set_serving(False)


async def _listening(start: Coroutine[Any, Any, int], side: str) -> int:
    try:
        return await start
    except PortTaken as error:
        raise CannotStart(
            f"{error} is taken by another program; set PAYMENT_{side}_PORT to a free port"
        ) from error


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
