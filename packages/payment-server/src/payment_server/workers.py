"""The loops that run beside the calls: each does one thing, forever, and survives its failures."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from payment_server.domain.errors import PaymentServiceError
from payment_server.payments import LEASE_SECONDS, Payments
from payment_server.store import payments as store
from payment_server.store.database import Database

log = logging.getLogger(__name__)

RESUME_PAUSE_SECONDS: Final = 1.0  # a caller that waits for a lost outcome asks about as often
RESUME_BATCH: Final = 20  # so many at once cannot crowd out the calls
HEALTH_PAUSE_SECONDS: Final = 1.0  # load balancers look every few seconds
ROOM_PAUSE_SECONDS: Final = 1.0  # a disk fills a reserve of hundreds of MiB in no less
STOP_LIMIT_SECONDS: Final = 1.0  # a loop ends where it awaits, and all of them do

Once = Callable[[], Awaitable[None]]


@asynccontextmanager
async def beside(*loops: tuple[str, Once, float]) -> AsyncIterator[None]:
    """Runs each function, by its name, again and again with its pause in seconds between."""
    tasks = [asyncio.create_task(_forever(*loop)) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_LIMIT_SECONDS)


async def resume_unfinished(database: Database, payments: Payments) -> None:
    """Finishes what crashes and lost replies left between the phases, a batch after the other."""
    is_full = True
    while is_full:
        unfinished = await store.claim_unfinished(
            database, lease_seconds=LEASE_SECONDS, limit=RESUME_BATCH
        )
        is_full = len(unfinished) == RESUME_BATCH
        results = await asyncio.gather(
            *(payments.resume(each) for each in unfinished), return_exceptions=True
        )
        for operation, result in zip(unfinished, results, strict=True):
            if isinstance(result, BaseException):
                log.warning(
                    "operation %s stays pending: %s",
                    operation.operation_id,
                    type(result).__name__,
                )


async def _forever(name: str, once: Once, pause_seconds: float) -> None:
    while True:
        try:
            await once()
        except PaymentServiceError as error:
            log.warning("%s: %s", name, error.reason)
        except Exception:
            log.exception("%s failed", name)
        await asyncio.sleep(pause_seconds)
