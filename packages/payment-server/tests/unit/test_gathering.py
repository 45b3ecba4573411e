"""How calls are gathered: who goes with whom, in which order, and what becomes of a failure."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from service_under_test import until

from payment_server.domain.errors import DatabaseUnavailable, Overloaded
from payment_server.store import gathering
from payment_server.store.gathering import Gathered, Row

POISON = "poison"


class Poisoned(Exception):
    """What a statement raises for a row that it cannot take."""


class Statements:
    """What was sent, statement by statement; each goes on when it is let."""

    def __init__(self) -> None:
        self.sent: list[list[object]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.connection = asyncio.Event()
        self.connection.set()
        self.failure: Exception | None = None

    async def run(self, take: Callable[[], Sequence[Row]]) -> list[str]:
        await self.connection.wait()
        values = [row[0] for row in take()]
        if not values:
            return []
        self.sent.append(values)
        await self.goes_on.wait()
        if POISON in values:
            raise Poisoned
        if self.failure is not None:
            raise self.failure
        return [f"answer to {each}" for each in values]


@pytest.fixture
async def statements() -> Statements:
    return Statements()


@pytest.fixture
async def gathered(statements: Statements, monkeypatch: pytest.MonkeyPatch) -> Gathered[str]:
    for limit in ("GATHERING_SECONDS", "SLOW_SECONDS"):  # or a busy machine decides what happens
        monkeypatch.setattr(gathering, limit, 60.0)
    return Gathered(statements.run, asyncio.create_task, faults_of_rows=(Poisoned,))


async def turns(count: int = gathering.QUIET_TURNS + 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def ask(
    gathered: Gathered[str], *values: object, subject: str | None = None
) -> "list[asyncio.Task[str]]":
    return [asyncio.create_task(gathered.reply((each,), subject=subject)) for each in values]


async def held(gathered: Gathered[str], statements: Statements) -> "list[asyncio.Task[str]]":
    """As many batches as may be are under way, and stay so."""
    statements.goes_on.clear()
    tasks = []
    for number in range(gathering.BATCHES_LIMIT):
        tasks += ask(gathered, f"held {number}")
        await turns()
    assert len(statements.sent) == gathering.BATCHES_LIMIT
    statements.sent.clear()
    return tasks


async def test_a_lone_call_goes_at_once(gathered: Gathered[str], statements: Statements) -> None:
    statements.goes_on.clear()
    [call] = ask(gathered, "a")
    await turns(gathering.QUIET_TURNS + 3)
    assert statements.sent == [["a"]]
    statements.goes_on.set()
    assert await call == "answer to a"


async def test_calls_of_one_turn_go_together(
    gathered: Gathered[str], statements: Statements
) -> None:
    answers = await asyncio.gather(*ask(gathered, "a", "b", "c"))
    assert statements.sent == [["a", "b", "c"]]
    assert answers == ["answer to a", "answer to b", "answer to c"]


async def test_calls_that_come_turn_by_turn_go_together(
    gathered: Gathered[str], statements: Statements
) -> None:
    calls = []
    for value in "abc":
        calls += ask(gathered, value)
        await turns(2)
    await asyncio.gather(*calls)
    assert statements.sent == [["a", "b", "c"]]


async def test_nobody_waits_for_others_for_long(
    gathered: Gathered[str], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "GATHERING_SECONDS", 0.0)
    calls = []
    for value in "abc":
        calls += ask(gathered, value)
        await turns(3)
    assert statements.sent[0] == ["a"]
    await asyncio.gather(*calls)


async def test_who_comes_while_batches_are_under_way_goes_with_the_next(
    gathered: Gathered[str], statements: Statements
) -> None:
    before = await held(gathered, statements)
    later = []
    for value in "abc":
        later += ask(gathered, value)
        await turns()
    assert statements.sent == []
    statements.goes_on.set()
    await asyncio.gather(*before, *later)
    assert statements.sent == [["a", "b", "c"]]


async def test_a_statement_has_a_bounded_number_of_rows(
    gathered: Gathered[str], statements: Statements
) -> None:
    await asyncio.gather(*ask(gathered, *range(3 * gathering.ROWS_LIMIT + 1)))
    assert max(map(len, statements.sent)) == gathering.ROWS_LIMIT
    assert sum(map(len, statements.sent)) == 3 * gathering.ROWS_LIMIT + 1


async def test_a_statement_has_a_bounded_number_of_bytes(
    gathered: Gathered[str], statements: Statements
) -> None:
    size_bytes = gathering.BYTES_LIMIT // 2
    answers = (gathered.reply((each,), size_bytes=size_bytes) for each in range(5))
    await asyncio.gather(*answers)
    assert statements.sent == [[0, 1], [2, 3], [4]]


async def test_a_row_of_any_size_goes(gathered: Gathered[str], statements: Statements) -> None:
    too_many = 2 * gathering.BYTES_LIMIT
    await asyncio.gather(*(gathered.reply((each,), size_bytes=too_many) for each in "ab"))
    assert statements.sent == [["a"], ["b"]]


async def test_calls_about_one_subject_go_one_after_the_other(
    gathered: Gathered[str], statements: Statements
) -> None:
    calls = ask(gathered, 1, 2, 3, subject="s") + ask(gathered, "other")
    await asyncio.gather(*calls)
    assert statements.sent == [["other", 1], [2], [3]]


async def test_calls_about_one_subject_are_never_in_two_statements_at_once(
    gathered: Gathered[str], statements: Statements
) -> None:
    statements.goes_on.clear()
    first = ask(gathered, 1, subject="s")
    await turns()
    second = ask(gathered, 2, subject="s")
    await turns()
    assert statements.sent == [[1]]
    statements.goes_on.set()
    await asyncio.gather(*first, *second)
    assert statements.sent == [[1], [2]]


async def test_rows_go_in_the_order_of_their_subjects(
    gathered: Gathered[str], statements: Statements
) -> None:
    await asyncio.gather(*(gathered.reply((each,), subject=each) for each in "cab"))
    assert statements.sent == [["a", "b", "c"]]


async def test_a_row_that_fails_fails_alone(
    gathered: Gathered[str], statements: Statements
) -> None:
    values: list[object] = [*range(gathering.ROWS_LIMIT)]
    values[77] = POISON
    answers = await asyncio.gather(*ask(gathered, *values), return_exceptions=True)
    assert isinstance(answers.pop(77), Poisoned)
    assert answers == [f"answer to {each}" for each in values if each != POISON]
    halvings = gathering.ROWS_LIMIT.bit_length() - 1
    assert len(statements.sent) == 1 + 2 * halvings


async def test_a_failure_that_is_no_rows_fault_is_everybodys_and_not_tried_again(
    gathered: Gathered[str], statements: Statements
) -> None:
    statements.failure = DatabaseUnavailable("away")
    answers = await asyncio.gather(*ask(gathered, "a", "b"), return_exceptions=True)
    assert answers == [statements.failure, statements.failure]
    assert statements.sent == [["a", "b"]]


async def test_after_a_failure_the_next_ones_go_on(
    gathered: Gathered[str], statements: Statements
) -> None:
    statements.failure = DatabaseUnavailable("away")
    await asyncio.gather(*ask(gathered, "a"), return_exceptions=True)
    statements.failure = None
    assert await ask(gathered, "b")[0] == "answer to b"


async def test_a_caller_that_leaves_before_its_row_was_sent_sends_nothing(
    gathered: Gathered[str], statements: Statements
) -> None:
    before = await held(gathered, statements)
    leaving, staying = ask(gathered, "leaving", "staying", subject="s")
    await turns()
    leaving.cancel()
    await turns()
    statements.goes_on.set()
    assert await staying == "answer to staying"
    assert statements.sent == [["staying"]]
    await asyncio.gather(*before)


async def test_a_caller_that_leaves_later_changes_nothing_for_the_others(
    gathered: Gathered[str], statements: Statements
) -> None:
    statements.goes_on.clear()
    leaving, staying = ask(gathered, "leaving", "staying")
    await turns()
    leaving.cancel()
    await turns()
    statements.goes_on.set()
    assert await staying == "answer to staying"
    assert statements.sent == [["leaving", "staying"]]


async def test_batches_that_are_held_up_keep_nobody_waiting(
    gathered: Gathered[str], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SLOW_SECONDS", 0.01)
    before = await held(gathered, statements)
    later = ask(gathered, "later")

    async def are_sent() -> bool:
        return bool(statements.sent)

    await until(are_sent)
    assert statements.sent == [["later"]]
    statements.goes_on.set()
    await asyncio.gather(*before, *later)


async def test_a_batch_is_formed_when_it_can_be_sent(
    gathered: Gathered[str], statements: Statements
) -> None:
    statements.connection.clear()
    early = ask(gathered, "early", "leaving")
    await turns()
    late = ask(gathered, "late")
    early.pop().cancel()
    await turns()
    statements.connection.set()
    await asyncio.gather(*early, *late)
    assert statements.sent == [["early", "late"]]


async def test_what_is_no_rows_fault_ends_the_search_for_one(
    gathered: Gathered[str], statements: Statements
) -> None:
    calls = ask(gathered, "a", "b", POISON, "d")
    statements.goes_on.clear()
    await turns()
    statements.failure = DatabaseUnavailable("away")
    statements.goes_on.set()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert told == [statements.failure] * 4
    assert statements.sent == [["a", "b", POISON, "d"], ["a", "b"]]


async def test_who_waited_for_too_long_is_not_sent_any_more(
    gathered: Gathered[str], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await held(gathered, statements)
    monkeypatch.setattr(gathering, "WAIT_LIMIT_SECONDS", 0.0)
    [late] = ask(gathered, "late")
    await asyncio.sleep(0.01)
    statements.goes_on.set()
    with pytest.raises(Overloaded):
        await late
    assert statements.sent == []
    await asyncio.gather(*before)


async def test_no_more_may_wait_than_the_limit(
    gathered: Gathered[str], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await held(gathered, statements)
    monkeypatch.setattr(gathering, "CALLERS_LIMIT", len(before) + 2)
    waiting = ask(gathered, "a", "b")
    await turns()
    with pytest.raises(Overloaded):
        await gathered.reply(("c",))
    statements.goes_on.set()
    await asyncio.gather(*before, *waiting)
    assert await gathered.reply(("d",)) == "answer to d"


async def test_nothing_is_kept_of_what_is_over(gathered: Gathered[str]) -> None:
    await asyncio.gather(*ask(gathered, 1, 2, POISON, subject="s"), return_exceptions=True)
    await turns()
    assert (gathered._lines, gathered._callers, gathered._began) == ({}, 0, {})


# Many rows of one caller.


def rows(*values: object) -> list[tuple[Row, str | None, int]]:
    return [((each,), None, 0) for each in values]


async def test_many_rows_of_one_caller_go_together_and_each_has_its_reply_or_fault(
    gathered: Gathered[str], statements: Statements
) -> None:
    first, failed, last = await gathered.replies(rows("a", POISON, "b"))
    assert (first, type(failed), last) == ("answer to a", Poisoned, "answer to b")
    assert statements.sent[0] == ["a", POISON, "b"]
    assert await gathered.replies([]) == []


async def test_a_caller_that_leaves_takes_all_its_rows_along(
    gathered: Gathered[str], statements: Statements
) -> None:
    tasks = await held(gathered, statements)
    many = asyncio.create_task(gathered.replies(rows("a", "b")))
    [other] = ask(gathered, "c")
    await turns()
    many.cancel()
    statements.goes_on.set()
    await asyncio.gather(*tasks)
    assert await other == "answer to c"
    assert statements.sent == [["c"]]
    assert many.cancelled()


async def test_all_rows_of_a_caller_may_wait_or_none(
    gathered: Gathered[str], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "CALLERS_LIMIT", 3)
    statements.goes_on.clear()
    waiting = asyncio.create_task(gathered.replies(rows("a", "b")))
    await turns()
    with pytest.raises(Overloaded):
        await gathered.replies(rows("c", "d"))
    statements.goes_on.set()
    await waiting
    assert len(await gathered.replies(rows("e", "f", "g"))) == 3
    assert statements.sent == [["a", "b"], ["e", "f", "g"]]
