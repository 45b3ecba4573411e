"""Looks at the surroundings before they hurt: settings, libraries, database, Redis. Changes
nothing."""

import msgspec

from payment_server.api import transport
from payment_server.cache import Cache, CacheState
from payment_server.domain.errors import PaymentServiceError
from payment_server.settings import Settings
from payment_server.store import schema
from payment_server.store.database import Database, UnsafeDatabase


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    fine: bool
    what: str


async def examine(settings: Settings) -> list[Finding]:
    """Everything that could be looked at, in the order in which it is needed."""
    return [
        _processor(settings),
        _transport(settings),
        *await _database(settings),
        await _redis(settings),
    ]


def _processor(settings: Settings) -> Finding:
    if settings.processor is None:
        return Finding(False, "PAYMENT_PROCESSOR is not set, so `serve` will not start")
    return Finding(True, f"the processor is {settings.processor}")


def _transport(settings: Settings) -> Finding:
    try:
        return Finding(True, f"gRPC is served by {transport.chosen(settings.grpc_transport)}")
    except transport.TransportMissing as error:
        return Finding(False, str(error))


async def _database(settings: Settings) -> list[Finding]:
    if settings.database_url is None:
        return [Finding(True, f"`dev` runs an embedded PostgreSQL on {settings.data_dir}")]
    database = Database(settings.database_url, connections=1)
    try:
        await database.refuse_unsafe_settings()
        missing = await schema.pending(settings.database_url)
    except (PaymentServiceError, UnsafeDatabase, schema.SchemaError) as error:
        return [Finding(False, str(error))]
    finally:
        await database.close()
    found = [Finding(True, "the database answers, and loses nothing in a crash")]
    if missing:
        found.append(Finding(False, f"{len(missing)} migrations are missing: run `migrate`"))
    else:
        found.append(Finding(True, "the schema is up to date"))
    return found


async def _redis(settings: Settings) -> Finding:
    cache = Cache(settings.redis_url)
    try:
        state = await cache.state()
    finally:
        await cache.close()
    if state is CacheState.DOWN:
        return Finding(False, "Redis does not answer; the service works without it")
    return Finding(True, f"Redis is {state}")
