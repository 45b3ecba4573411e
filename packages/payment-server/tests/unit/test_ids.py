"""Ids: their look, their order, and the time that is in them."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain.ids import HIGHEST, LOWEST, canonical, lowest_at, new_id, time_of

AN_ID = "019a206f-073f-73d0-bb2c-7581a22cc174"
MILLISECOND = timedelta(milliseconds=1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - see timezones


def id_drawn_at(moment: datetime, rest: int) -> str:
    """An id of a millisecond, by another maker than ours."""
    milliseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MILLISECOND
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | rest))


def test_an_id_is_a_uuid_of_version_7() -> None:
    drawn = uuid.UUID(new_id())
    assert (drawn.version, drawn.variant) == (7, uuid.RFC_4122)


def test_an_id_is_canonical() -> None:
    drawn = new_id()
    assert canonical(drawn) == drawn


def test_ids_are_in_the_order_in_which_they_were_drawn() -> None:
    drawn = [new_id() for _ in range(10_000)]
    assert drawn == sorted(set(drawn))


def test_an_id_knows_when_it_was_drawn() -> None:
    before = datetime.now(UTC)
    drawn = new_id()
    assert before - MILLISECOND <= time_of(drawn) <= datetime.now(UTC) + MILLISECOND


def test_the_example_of_the_rfc_has_the_time_that_the_rfc_says() -> None:
    moment = datetime(2022, 2, 22, 14, 22, 22, tzinfo=timezone(timedelta(hours=-5)))
    assert time_of("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") == moment


@given(moment=MOMENTS, drawn_at=MOMENTS, rest=st.integers(0, 2**62 - 1))
def test_a_range_of_time_is_a_range_of_ids(moment: datetime, drawn_at: datetime, rest: int) -> None:
    drawn = id_drawn_at(drawn_at, rest)
    assert (drawn >= lowest_at(moment)) == (time_of(drawn) >= moment)


def test_the_lowest_id_of_a_part_of_a_millisecond_is_that_of_the_next_one() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert lowest_at(moment + timedelta(microseconds=1)) == lowest_at(moment + MILLISECOND)


def test_a_moment_has_one_lowest_id_in_every_time_zone() -> None:
    utc = datetime(2026, 1, 1, tzinfo=UTC)
    assert lowest_at(utc.astimezone(timezone(timedelta(hours=5, minutes=30)))) == lowest_at(utc)


def test_before_1970_every_id_is_later() -> None:
    assert lowest_at(datetime(1969, 12, 31, tzinfo=UTC)) == LOWEST


def test_no_id_is_drawn_after_the_last_year() -> None:
    assert AN_ID < lowest_at(datetime.max.replace(tzinfo=UTC)) < HIGHEST


def test_an_id_in_upper_case_is_the_same_id() -> None:
    assert canonical(AN_ID.upper()) == AN_ID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cust123",
        AN_ID.replace("-", ""),
        f"{{{AN_ID}}}",
        f"urn:uuid:{AN_ID}",
        f" {AN_ID}",
        f"{AN_ID}\n",
        AN_ID[:-1],
        f"{AN_ID}0",
        f"g{AN_ID[1:]}",
        f"\uff10{AN_ID[1:]}",
        "../../etc/passwd",
    ],
    ids=ascii,
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert canonical(text) is None
