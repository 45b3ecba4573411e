"""The work that nobody calls for is done by one process of those on a database, and by another
one soon after that is gone."""

import asyncio
import time
import uuid

from service_under_test import Start, until

from payment_server.domain.operation import Operation, Verdict
from payment_server.domain.payment import Payment
from payment_server.store import election
from payment_server.store.database import Database
from payment_server.workers import ELECTION_LEASE_SECONDS, ELECTION_PAUSE_SECONDS, Candidate

TAKEN_OVER_SECONDS = ELECTION_LEASE_SECONDS + ELECTION_PAUSE_SECONDS
SLACK_SECONDS = 8.0  # of a machine that has other things to do
RESIGNED = "SELECT until = '-infinity' FROM election"
QUICK = {"PAYMENT_PROCESSOR_TIMEOUT_MS": "100"}  # what is outstanding is due twice as late


class Undecided:
    """A processor that never answers, and counts how often its outcomes are looked up."""

    def __init__(self) -> None:
        self.look_ups = 0

    def tokenize(self, payment_method: str) -> str:
        return payment_method

    def read_result(self, result: str) -> str:
        return result

    async def _silence(self, payment: Payment, operation: Operation) -> Verdict:
        await asyncio.Event().wait()
        raise AssertionError

    authorize = complete = capture = cancel = refund = _silence

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        self.look_ups += 1
        return None

    async def was_asked(self) -> bool:
        return self.look_ups > 0


async def test_of_many_who_stand_at_once_one_is_elected_and_stays_it(database: Database) -> None:
    holders = [uuid.uuid4() for _ in range(8)]

    async def stand() -> list[bool]:
        ways = (election.stand(database, each, lease_seconds=60.0) for each in holders)
        return await asyncio.gather(*ways)

    first = await stand()
    assert sum(first) == 1
    assert [await stand() for _ in range(2)] == [first, first]


async def test_whoever_stands_no_more_is_followed_when_its_lease_is_over(
    database: Database,
) -> None:
    killed, next_one = Candidate(database), Candidate(database)
    began = time.monotonic()
    await killed.stand()

    async def is_followed() -> bool:
        await next_one.stand()
        assert not (killed.is_elected and next_one.is_elected)
        return next_one.is_elected

    await until(is_followed)
    assert ELECTION_LEASE_SECONDS <= time.monotonic() - began < TAKEN_OVER_SECONDS + SLACK_SECONDS


async def test_whoever_resigns_is_followed_at_once(database: Database) -> None:
    one, other = Candidate(database), Candidate(database)
    await one.stand()
    await one.resign()
    await other.stand()
    assert (one.is_elected, other.is_elected) == (False, True)


async def test_one_who_is_not_elected_cannot_resign_for_another(database: Database) -> None:
    one, other = Candidate(database), Candidate(database)
    await one.stand()
    await other.stand()
    await other.resign()
    await other.stand()
    assert not other.is_elected


async def test_one_service_of_two_looks_up_and_another_when_that_has_stopped(
    start: Start, database: Database
) -> None:
    elected, other, later = Undecided(), Undecided(), Undecided()
    async with start(elected, **QUICK), start(other, **QUICK) as servers:
        await servers.process((await servers.created()).payment_id)
        await until(elected.was_asked)
        await servers.process((await servers.created()).payment_id)
    assert [row[0] for row in await database.read(RESIGNED)] == [True]
    async with start(later, **QUICK):
        await until(later.was_asked)
    assert other.look_ups == 0
