"""Page tokens: where the next page begins, and which list they belong to."""

import base64
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain import commands
from payment_server.domain.commands import ListOfPayment, ListPayments
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.paging import (
    Listing,
    read_token,
    token_after,
    version_as_id,
    version_of_id,
)
from payment_server.domain.payment import Status

LAST = "019a206f-073f-73d0-bb2c-7581a22cc174"
ANOTHER = "019a206f-073f-73d0-bb2c-7581a22cc175"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
FILTERED: dict[str, Any] = {
    "customer_id": "cust123",
    "status": Status.CAPTURED,
    "created_from": NEW_YEAR,
    "created_before": NEW_YEAR + timedelta(days=365),
    "metadata": {"order": "77", "shop": "north"},
}


def a_list(**fields: Any) -> ListPayments:
    return commands.list_payments(**{"metadata": {}, **fields})


def a_list_of(
    what: Literal["refunds", "events"], payment_id: str = LAST, **fields: Any
) -> ListOfPayment:
    return commands.list_of_payment(what, payment_id=payment_id, **fields)


def refusal(wish: Listing) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_token(wish)
    assert [each.field for each in caught.value.violations] == ["page_token"]
    return caught.value.violations[0].message


def test_the_first_page_has_no_token() -> None:
    assert read_token(a_list()) is None


@given(last=st.uuids())
def test_a_token_says_where_the_last_page_ended(last: uuid.UUID) -> None:
    token = token_after(a_list(**FILTERED), str(last))
    assert read_token(a_list(**FILTERED, page_token=token)) == str(last)


def test_a_token_can_stand_in_an_address() -> None:
    token = token_after(a_list(), "ffffffff-ffff-ffff-ffff-ffffffffffff")
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_does_not_depend_on_the_one_before() -> None:
    first = token_after(a_list(**FILTERED), LAST)
    assert token_after(a_list(**FILTERED, page_token=first), LAST) == first


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_size_may_change_from_page_to_page(size: int) -> None:
    token = token_after(a_list(**FILTERED, page_size=20), LAST)
    assert read_token(a_list(**FILTERED, page_size=size, page_token=token)) == LAST


def test_the_order_of_metadata_does_not_matter() -> None:
    token = token_after(a_list(**FILTERED), LAST)
    turned = {**FILTERED, "metadata": {"shop": "north", "order": "77"}}
    assert read_token(a_list(**turned, page_token=token)) == LAST


@pytest.mark.parametrize(
    "changed",
    [
        {"customer_id": ""},
        {"customer_id": "cust124"},
        {"status": None},
        {"status": Status.REFUNDED},
        {"created_from": None},
        {"created_from": NEW_YEAR + timedelta(microseconds=1)},
        {"created_before": None},
        {"metadata": {}},
        {"metadata": {"order": "77"}},
        {"metadata": {"order": "north", "shop": "77"}},
    ],
    ids=str,
)
def test_the_filters_may_not_change_from_page_to_page(changed: dict[str, Any]) -> None:
    token = token_after(a_list(**FILTERED), LAST)
    assert refusal(a_list(**{**FILTERED, **changed}, page_token=token)) == (
        "belongs to a list with other filters"
    )


@pytest.mark.parametrize("what", ["refunds", "events"])
def test_a_list_of_a_payment_has_tokens_too(what: Literal["refunds", "events"]) -> None:
    token = token_after(a_list_of(what, page_size=1), LAST)
    assert read_token(a_list_of(what, page_size=7, page_token=token)) == LAST


LISTS: dict[str, Callable[[str], Listing]] = {
    "payments": lambda token: a_list(page_token=token),
    "refunds": lambda token: a_list_of("refunds", page_token=token),
    "events": lambda token: a_list_of("events", page_token=token),
    "refunds of another": lambda token: a_list_of("refunds", ANOTHER, page_token=token),
    "events of another": lambda token: a_list_of("events", ANOTHER, page_token=token),
}


@pytest.mark.parametrize(("one", "other"), [*permutations(LISTS, 2)])
def test_the_token_of_one_list_is_none_of_another(one: str, other: str) -> None:
    token = token_after(LISTS[one](""), LAST)
    assert refusal(LISTS[other](token)) == "belongs to a list with other filters"


@given(version=st.integers(1, 2**63 - 1))
def test_a_version_goes_into_a_token_and_comes_back(version: int) -> None:
    wish = a_list_of("events")
    token = token_after(wish, version_as_id(version))
    last = read_token(a_list_of("events", page_token=token))
    assert last is not None
    assert version_of_id(last) == version


def test_a_version_that_no_event_can_have_is_one_that_the_database_can_compare() -> None:
    assert version_of_id("ffffffff-ffff-ffff-ffff-ffffffffffff") == 2**63 - 1


FOREIGN = {
    "a word": "next",
    "an id": LAST,
    "a number": "2",
    "spaces": " " * 32,
    "too short": base64.urlsafe_b64encode(bytes(23)).decode(),
    "too long": base64.urlsafe_b64encode(bytes(25)).decode(),
    "padding alone": "====",
    "no Base64": "!" * 32,
    "beyond ASCII": "é" * 32,
    "lone surrogate": "\ud800" * 32,
    "nul": "\x00" * 32,
    "a flood": "A" * 100_000,
}


@pytest.mark.parametrize("token", FOREIGN.values(), ids=FOREIGN)
def test_a_token_of_somebody_else_is_refused(token: str) -> None:
    assert refusal(a_list(page_token=token)) == "is not a token of this service"


def test_a_token_of_the_right_length_with_other_bytes_is_refused() -> None:
    token = base64.urlsafe_b64encode(bytes(24)).decode()
    assert refusal(a_list(page_token=token)) == "belongs to a list with other filters"


@pytest.mark.parametrize("change", ["cut", "lengthened", "line feed", "last character"])
def test_a_token_that_was_tampered_with_is_refused(change: str) -> None:
    token = token_after(a_list(), LAST)
    tampered = {
        "cut": token[:-1],
        "lengthened": token + "A",
        "line feed": token + "\n",
        "last character": token[:-1] + ("A" if token[-1] != "A" else "B"),
    }[change]
    refusal(a_list(page_token=tampered))
