"""Page tokens: where the next page begins, and which list they belong to."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain import commands
from payment_server.domain.commands import ListPayments
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.paging import read_token, token_after
from payment_server.domain.payment import Status

LAST = "019a206f-073f-73d0-bb2c-7581a22cc174"
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


def refusal(wish: ListPayments) -> str:
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
