"""Reads events: a payment's in the order of its versions, a merchant's in an order that holds.

Transactions commit in another order than they begin, so "behind the last row that was seen" would
skip rows. What is below the oldest transaction that still runs, though, never changes again
(PostgreSQL: pg_snapshot_xmin), and watchers read only that.
"""

from typing import Final
from uuid import UUID

import msgspec

from payment_server.domain.events import Event, Position
from payment_server.store.database import Database
from payment_server.store.rows import event_of

_EVENT: Final = "event_id, type, occurred_at, snapshot"

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


class Horizon(msgspec.Struct, frozen=True):
    """Which database this is, the position that no future event is behind, and the number that
    the next transaction gets."""

    database: UUID
    position: Position
    next_transaction_id: int


_HORIZON: Final = """
SELECT identity, pg_snapshot_xmin(pg_current_snapshot())::text AS oldest,
  pg_snapshot_xmax(pg_current_snapshot())::text AS next
FROM schema_identity
"""


async def horizon(database: Database) -> Horizon:
    """Where a watcher begins who wants what happens from now on."""
    rows = await database.read(_HORIZON)
    row = rows[0]
    return Horizon(row["identity"], Position(int(row["oldest"])), int(row["next"]))
