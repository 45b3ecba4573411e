"""The loops that run beside the calls: each does one thing, forever, and survives its failures.

What needs doing once for a database is done by the one process that is elected for it.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from payment_server import recovery
from payment_server.domain.errors import PaymentServiceError
from payment_server.domain.operation import Operation
from payment_server.payments import Payments
from payment_server.store import changes, election
from payment_server.store import payments as store
from payment_server.store.database import Database

log = logging.getLogger(__name__)

LOOK_UP_PAUSE_SECONDS: Final = 0.5  # a caller that waits for a lost outcome asks about as often
LOOK_UP_BATCH: Final = 20  # so many at once cannot crowd out the calls
LAPSE_PAUSE_SECONDS: Final = 1.0  # nobody minds a second on a deadline
LAPSE_BATCH: Final = 200  # about as many as are written within the pause
PRUNE_PAUSE_SECONDS: Final = 600.0  # a week is not shorter for ten minutes
PRUNE_BATCH: Final = 1_000  # rows locked for some milliseconds
ANSWER_KEPT_SECONDS: Final = 7 * 24 * 3600.0
"""For how long a replay has the very bytes of the first answer: longer than callers retry."""
BATCHES_LIMIT: Final = 500  # in a row, before a loop pauses whatever is left
HEALTH_PAUSE_SECONDS: Final = 1.0  # load balancers look every few seconds
ROOM_PAUSE_SECONDS: Final = 1.0  # a disk fills a reserve of hundreds of MiB in no less
ELECTION_PAUSE_SECONDS: Final = 0.5
"""Each time costs the elected one a commit, and the others a look at one row."""
ELECTION_LEASE_SECONDS: Final = 2.0
"""After a kill nobody is elected for so long, and at most one pause more. A lease outlives three
renewals that came to nothing."""
RESIGN_LIMIT_SECONDS: Final = 0.5  # whoever stops has no time for a database that does not answer
STOP_LIMIT_SECONDS: Final = 1.0  # a loop ends where it awaits, and all of them do

Once = Callable[[], Awaitable[None]]
Loop = tuple[str, Once, float]
"""A function by its name, and the pause in seconds between its calls."""


@asynccontextmanager
async def beside(*loops: Loop) -> AsyncIterator[None]:
    """Runs each function again and again."""
    tasks = [asyncio.create_task(_forever(*loop)) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=STOP_LIMIT_SECONDS)


class Candidate:
    """One process among those that serve a database; `is_elected` for as long as its lease."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = uuid.uuid4()
        self._elected_until = 0.0

    @property
    def is_elected(self) -> bool:
        """By this process's own clock, from before the database was asked."""
        return asyncio.get_running_loop().time() < self._elected_until

    async def stand(self) -> None:
        """Renews the lease, or takes it where nobody has it."""
        asked_at = asyncio.get_running_loop().time()
        lease_seconds = ELECTION_LEASE_SECONDS
        if await election.stand(self._database, self._holder, lease_seconds=lease_seconds):
            self._elected_until = asked_at + lease_seconds

    async def resign(self) -> None:
        """Lets another one be elected at once; if that fails, when the lease is over."""
        if not self.is_elected:
            return
        self._elected_until = 0.0
        try:
            async with asyncio.timeout(RESIGN_LIMIT_SECONDS):
                await election.resign(self._database, self._holder)
        except (PaymentServiceError, TimeoutError):
            log.debug("the lease is left to run out")

    def when_elected(self, once: Once) -> Once:
        """The same function, which does nothing while another process is the elected one."""

        async def once_if_elected() -> None:
            if self.is_elected:
                await once()

        return once_if_elected


async def look_up_due(database: Database, payments: Payments) -> None:
    """Finishes what crashes and lost replies left between the phases, and asks again where the
    processor has not decided; a batch after the other."""
    for _ in range(BATCHES_LIMIT):
        due = await changes.claim_due(
            database, lease_seconds=payments.lease_seconds, limit=LOOK_UP_BATCH
        )
        await asyncio.gather(*(_resumed(database, payments, each) for each in due))
        if len(due) < LOOK_UP_BATCH:
            return


async def _resumed(database: Database, payments: Payments, operation: Operation) -> None:
    try:
        await recovery.resume(database, payments, operation)
    except Exception as error:
        reason = error.reason if isinstance(error, PaymentServiceError) else type(error).__name__
        log.warning("operation %s is to be looked up again: %s", operation.operation_id, reason)


async def lapse_due(database: Database, payments: Payments) -> None:
    """Ends deadlines, challenges and holds whose time is up; what is left is for the next time.

    One after the other, so that a million that end at midnight do not crowd out the calls.
    """
    for payment in await changes.lapsed(database, limit=LAPSE_BATCH):
        try:
            await payments.lapse(payment)
        except PaymentServiceError as error:
            log.warning("payment %s has not lapsed yet: %s", payment.payment_id, error.reason)
        except Exception:
            log.exception("payment %s cannot lapse", payment.payment_id)


async def prune_answers(database: Database) -> None:
    """Forgets old answers; their keys stay bound."""
    for _ in range(BATCHES_LIMIT):
        pruned = await store.prune_answers(
            database, older_than_seconds=ANSWER_KEPT_SECONDS, limit=PRUNE_BATCH
        )
        if pruned < PRUNE_BATCH:
            return


async def attempt(name: str, once: Once) -> None:
    """Does it once; a failure is logged, since there is a next time."""
    try:
        await once()
    except PaymentServiceError as error:
        log.warning("%s: %s", name, error.reason)
    except Exception:
        log.exception("%s failed", name)


async def _forever(name: str, once: Once, pause_seconds: float) -> None:
    while True:
        await attempt(name, once)
        await asyncio.sleep(pause_seconds)
