"""Events' snapshots, and the cursors that say how far a watcher has come."""

import base64
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain import commands
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.events import (
    BEGINNING,
    Position,
    cursor_of,
    decode_snapshot,
    encode_snapshot,
    read_cursor,
)
from payment_server.domain.ids import HIGHEST, LOWEST
from payment_server.domain.payment import Payment

DATABASE = uuid.UUID("8f14e45f-ceea-467f-a0e6-b5b5a2a7d1c3")
PLACE = Position(4711, "019a206f-073f-73d0-bb2c-7581a22cc174", 3)
POSITIONS = st.builds(
    Position,
    transaction_id=st.integers(0, 2**64 - 1),
    payment_id=st.uuids().map(str),
    version=st.integers(0, 2**63 - 1),
)


@given(database=st.uuids(), position=POSITIONS)
def test_a_cursor_is_read_back_as_it_was_made(database: uuid.UUID, position: Position) -> None:
    assert read_cursor(cursor_of(database, position)) == (database, position)


@given(position=POSITIONS)
def test_a_cursor_is_within_the_limit_of_a_request(position: Position) -> None:
    cursor = cursor_of(DATABASE, position)
    assert commands.watch_payments(cursor=cursor).cursor == cursor


def test_a_cursor_can_stand_in_an_address_and_in_a_header() -> None:
    cursor = cursor_of(uuid.UUID(HIGHEST), Position(2**64 - 1, HIGHEST, 2**63 - 1))
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_cursors_that_are_stored_by_watchers_do_not_change() -> None:
    assert cursor_of(DATABASE, PLACE) == (
        "1.jxTkX87qRn-g5rW1oqfRwwAAAAAAABJnAZogbwc_c9C7LHWBoizBdAAAAAAAAAAD"
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (Position(1, HIGHEST, 9), Position(2, LOWEST, 1)),
        (Position(2, LOWEST, 9), Position(2, HIGHEST, 1)),
        (Position(2, HIGHEST, 1), Position(2, HIGHEST, 2)),
        (Position(9), Position(10)),
        (BEGINNING, PLACE),
    ],
)
def test_positions_are_ordered_as_the_stream_is(earlier: Position, later: Position) -> None:
    assert earlier < later


def test_a_transaction_alone_is_the_place_before_all_its_events() -> None:
    assert Position(4711) < Position(4711, LOWEST, 1)


GOOD = cursor_of(DATABASE, PLACE)
GARBLED = {
    "a word": "now",
    "a number": "4711",
    "an id": PLACE.payment_id,
    "no format": GOOD.removeprefix("1."),
    "a format to come": f"2.{GOOD.removeprefix('1.')}",
    "a format alone": "1.",
    "cut": GOOD[:-1],
    "cut by four": GOOD[:-4],
    "lengthened": GOOD + "A",
    "lengthened by four": GOOD + "AAAA",
    "line feed": GOOD + "\n",
    "space": GOOD.replace("A", " ", 1),
    "no Base64": "1." + "!" * 64,
    "beyond ASCII": "1." + "é" * 64,
    "full-width digit": "\uff11." + GOOD.removeprefix("1."),
    "lone surrogate": "1." + "\ud800" * 64,
    "a page's token": base64.urlsafe_b64encode(bytes(24)).decode(),
}


@pytest.mark.parametrize("cursor", GARBLED.values(), ids=GARBLED)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_cursor(cursor)
    assert [each.field for each in caught.value.violations] == ["cursor"]


@given(cursor=st.text(max_size=100) | st.binary(max_size=60).map(base64.urlsafe_b64encode).map(str))
def test_any_other_text_is_refused_and_breaks_nothing(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        read_cursor(cursor)


def test_a_cursor_of_another_database_can_be_told() -> None:
    foreign = cursor_of(uuid.UUID(int=1), PLACE)
    assert read_cursor(foreign)[0] != DATABASE


@pytest.mark.parametrize("fixture", ["payment", "challenged", "authorized", "captured", "failed"])
def test_a_snapshot_is_read_back_as_it_was_taken(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    payment: Payment = request.getfixturevalue(fixture)
    assert decode_snapshot(encode_snapshot(payment)) == payment


def test_a_snapshot_says_which_format_it_has(payment: Payment) -> None:
    assert msgspec.json.decode(encode_snapshot(payment))["format_version"] == 1


def test_a_snapshot_of_a_format_to_come_is_refused(payment: Payment) -> None:
    text = encode_snapshot(payment).replace('"format_version":1', '"format_version":2')
    with pytest.raises(msgspec.ValidationError):
        decode_snapshot(text)


def test_a_snapshot_that_the_database_made_is_read(captured: Payment) -> None:
    """As the second migration writes one of what was recorded before."""
    text = """{"format_version" : 1, "payment" : {
      "payment_id" : "019a206f-073f-73d0-bb2c-7581a22cc174", "merchant_id" : "default",
      "customer_id" : "cust123", "payment_method" : "card", "capture_method" : "automatic",
      "description" : "", "metadata" : {"order": "77"}, "currency" : "USD", "exponent" : 2,
      "amount_minor" : 1000, "status" : "captured", "authorized_minor" : 1000,
      "captured_minor" : 1000, "capture_pending_minor" : 0, "voided_minor" : 0,
      "void_pending_minor" : 0, "refunded_minor" : 0, "refund_pending_minor" : 0,
      "decline" : null, "attempts" : 1, "version" : 3,
      "created_at" : "2026-11-23T09:15:00+01:00", "updated_at" : "2026-11-23T08:15:02+00:00",
      "lapses_at" : null}}"""
    assert decode_snapshot(text) == captured
    assert decode_snapshot(text).created_at == datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
