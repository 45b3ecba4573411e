"""Reads events: a payment's in the order of its versions, a merchant's in an order that holds.

Transactions commit in another order than they begin, so "behind the last row that was seen" would
skip rows. What is below the oldest transaction that still runs, though, never changes again
(PostgreSQL: pg_snapshot_xmin), and watchers read only that.

A position is always that of an event that was read, never the horizon itself: a PostgreSQL that
crashes may give the numbers of transactions that left nothing behind a second time, and a cursor
that was ahead of them would skip what they write.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from payment_server.domain.events import BEGINNING, Event, Position
from payment_server.store.database import Database
from payment_server.store.rows import event_of

_EVENT: Final = "event_id, type, occurred_at, snapshot"
_POSITION: Final = "transaction_id::text AS transaction_id, payment_id, version"
_SETTLED: Final = "transaction_id < pg_snapshot_xmin(pg_current_snapshot())"

_LIST: Final = f"""
SELECT {_EVENT} FROM events
WHERE merchant_id = $1 AND payment_id = $2 AND version > $3
ORDER BY version LIMIT $4
"""


async def list_page(
    database: Database, merchant_id: str, payment_id: str, *, after_version: int, limit: int
) -> list[Event]:
    """A payment's events, oldest first."""
    rows = await database.read(_LIST, merchant_id, payment_id, after_version, limit)
    return [event_of(row) for row in rows]


class Standing(msgspec.Struct, frozen=True):
    """Which database this is, how far a merchant's events go in it (BEGINNING: there are none),
    and whether it has the event of the position that was asked about."""

    database: UUID
    last: Position
    has_position: bool


_STANDING: Final = f"""
SELECT identity, last.*, EXISTS (
  SELECT FROM events
  WHERE merchant_id = $1 AND payment_id = $3 AND version = $4
    AND transaction_id = $2::text::xid8 AND {_SETTLED}) AS has_position
FROM schema_identity LEFT JOIN LATERAL (
  SELECT {_POSITION} FROM events
  WHERE merchant_id COLLATE "C" = $1 AND {_SETTLED}
  ORDER BY events.transaction_id DESC, payment_id DESC, version DESC LIMIT 1) AS last ON true
"""


async def standing(database: Database, merchant_id: str, position: Position) -> Standing:
    """Where a merchant's stream stands, and whether `position` is on it."""
    rows = await database.read(_STANDING, merchant_id, *_arguments(position))
    row = rows[0]
    last = BEGINNING if row["transaction_id"] is None else _position_of(row)
    return Standing(row["identity"], last, position == BEGINNING or row["has_position"])


_VERSION_AT: Final = """
SELECT version FROM events
WHERE merchant_id = $1 AND payment_id = $2
  AND (transaction_id, payment_id, version) <= ($3::text::xid8, $4, $5)
ORDER BY version DESC LIMIT 1
"""


async def version_at(
    database: Database, merchant_id: str, payment_id: str, position: Position
) -> int:
    """A payment's version at a position; 0 before its first event."""
    rows = await database.read(_VERSION_AT, merchant_id, payment_id, *_arguments(position))
    return rows[0]["version"] if rows else 0


class Entry(msgspec.Struct, frozen=True):
    """An event and the position behind it."""

    position: Position
    event: Event


class Stretch(msgspec.Struct, frozen=True):
    """A part of a stream: its entries, where it ends, and whether there may be more behind it."""

    entries: tuple[Entry, ...]
    end: Position
    is_full: bool


# The filter stands outside of the page, so that the work of one statement is bounded even where
# nothing matches; the last row is always told, as the stretch ends there.
_STRETCH: Final = f"""
WITH page AS MATERIALIZED (
  SELECT transaction_id, payment_id, version, customer_id, {_EVENT} FROM events
  WHERE merchant_id COLLATE "C" = $1
    AND (transaction_id, payment_id, version) > ($2::text::xid8, $3, $4)
    AND {_SETTLED}
  ORDER BY transaction_id, payment_id, version LIMIT $5
), told AS (
  SELECT page.*, row_number() OVER in_order AS place, count(*) OVER () AS size,
    $6::text IS NULL OR customer_id = $6 AS matches
  FROM page WINDOW in_order AS (ORDER BY transaction_id, payment_id, version)
)
SELECT {_POSITION}, {_EVENT}, size, matches FROM told WHERE matches OR place = size ORDER BY place
"""


async def stretch(
    database: Database, merchant_id: str, after: Position, *, customer_id: str, limit: int
) -> Stretch:
    """Up to `limit` of a merchant's events behind a position; of these the customer's, if named."""
    rows = await database.read(
        _STRETCH, merchant_id, *_arguments(after), limit, customer_id or None
    )
    entries = tuple(_entry_of(row) for row in rows if row["matches"])
    if not rows:
        return Stretch(entries, after, is_full=False)
    return Stretch(entries, _position_of(rows[-1]), is_full=rows[-1]["size"] == limit)


_STRETCH_OF_PAYMENT: Final = f"""
SELECT {_POSITION}, {_EVENT} FROM events
WHERE merchant_id = $1 AND payment_id = $2 AND version > $3 AND {_SETTLED}
ORDER BY version LIMIT $4
"""


async def stretch_of_payment(
    database: Database, merchant_id: str, payment_id: str, *, after_version: int, limit: int
) -> tuple[Entry, ...]:
    """Up to `limit` of a payment's events behind a version, along the primary key."""
    rows = await database.read(_STRETCH_OF_PAYMENT, merchant_id, payment_id, after_version, limit)
    return tuple(_entry_of(row) for row in rows)


class Arrival(msgspec.Struct, frozen=True):
    """That an event has come, and whom it may concern."""

    merchant_id: str
    customer_id: str
    position: Position


_ARRIVALS: Final = f"""
SELECT watched.merchant_id, come.* FROM
  unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[])
    AS watched (merchant_id, transaction_id, payment_id, version),
  LATERAL (
    SELECT {_POSITION}, customer_id FROM events
    WHERE merchant_id COLLATE "C" = watched.merchant_id
      AND (transaction_id, payment_id, version)
        > (watched.transaction_id::xid8, watched.payment_id, watched.version)
      AND {_SETTLED}
    ORDER BY events.transaction_id, payment_id, version LIMIT $5) AS come
"""


async def arrivals(
    database: Database, seen: Mapping[str, Position], *, limit: int
) -> list[Arrival]:
    """What has come behind the position that was seen of each merchant.

    The first `limit` of each merchant; not in the order of the stream.
    """
    positions = seen.values()
    rows = await database.read(
        _ARRIVALS,
        list(seen),
        [str(each.transaction_id) for each in positions],
        [each.payment_id for each in positions],
        [each.version for each in positions],
        limit,
    )
    return [Arrival(row["merchant_id"], row["customer_id"], _position_of(row)) for row in rows]


def _arguments(position: Position) -> tuple[str, str, int]:
    """As statements take a position: PostgreSQL's xid8 travels as text."""
    return str(position.transaction_id), position.payment_id, position.version


def _position_of(row: asyncpg.Record) -> Position:
    return Position(int(row["transaction_id"]), str(row["payment_id"]), row["version"])


def _entry_of(row: asyncpg.Record) -> Entry:
    return Entry(_position_of(row), event_of(row))
