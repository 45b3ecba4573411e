"""The statements that record payments and read them, each one round trip."""

import asyncio
from collections.abc import Sequence
from typing import Final, TypeAlias

import asyncpg
import msgspec
from msgspec.structs import replace

from payment_server.domain.commands import ListPayments
from payment_server.domain.events import decode_snapshot, encode_snapshot
from payment_server.domain.idempotency import FINGERPRINT_VERSION, Answer
from payment_server.domain.ids import new_id
from payment_server.domain.operation import Operation, Refund
from payment_server.domain.payment import Payment
from payment_server.store.database import Database
from payment_server.store.rows import (
    CREATED,
    KEY,
    OPERATION,
    PAYMENT,
    REFUND,
    BoundKey,
    Key,
    as_json,
    bound_key_of,
    brought,
    columns_of,
    created_row,
    operation_of,
    payment_of,
    prefixed,
    refund_of_row,
    typed,
)
from payment_server.store.statement import Statement, Wish

Draft: TypeAlias = tuple[Payment, Key | None]
"""A new payment, and the key of who asks for it."""


class Found(msgspec.Struct, frozen=True):
    """What one snapshot of the database says about a wish."""

    payment: Payment | None
    key: BoundKey | None
    operation: Operation | None
    is_over: bool
    """Whether the payment's time is up, by the database's clock."""


# The key's DO UPDATE changes nothing; it makes the statement return the row that is stored, even
# one that another statement has committed meanwhile. First is who finds its own payment_id. A
# conflict of payment_id is an earlier run of this very statement: ids are drawn for one request.
# Where an IN is more than a plain condition, it is looked up by hash; else each row with each.
_CREATE: Final = Statement(
    (
        *typed("new", CREATED),
        *typed("event", "event_id, snapshot"),
        *typed("key", "idempotency_key, fingerprint"),
    ),
    f""", key AS (
  INSERT INTO idempotency
    (merchant_id, idempotency_key, fingerprint, fingerprint_version, payment_id, created_at)
  SELECT new_merchant_id, key_idempotency_key, key_fingerprint, {FINGERPRINT_VERSION},
    new_payment_id, new_created_at
  FROM wish WHERE key_idempotency_key IS NOT NULL
  ON CONFLICT (merchant_id, idempotency_key)
    DO UPDATE SET idempotency_key = excluded.idempotency_key
  RETURNING merchant_id, idempotency_key, fingerprint, payment_id, operation_id, answer
), payment AS (
  INSERT INTO payments ({CREATED}, status, updated_at, lapses_at)
  SELECT {brought("new", CREATED)}, 'created', new_created_at, new_expires_at FROM wish
  WHERE key_idempotency_key IS NULL OR new_payment_id IN (SELECT payment_id FROM key)
  ON CONFLICT (merchant_id, payment_id) DO NOTHING
  RETURNING payment_id
), event AS (
  INSERT INTO events (merchant_id, payment_id, version, status, customer_id, occurred_at,
    event_id, type, snapshot)
  SELECT new_merchant_id, new_payment_id, 1, 'created', new_customer_id, new_created_at,
    event_event_id, 'payment.created', event_snapshot
  FROM wish WHERE (new_payment_id IN (SELECT payment_id FROM payment)) IS TRUE
), earlier AS (
  SELECT * FROM key WHERE payment_id NOT IN (SELECT new_payment_id FROM wish)
)
SELECT nr, fingerprint, payment_id, operation_id, answer FROM wish
JOIN earlier ON merchant_id = new_merchant_id AND idempotency_key = key_idempotency_key
""",
    writes=True,
)

_FIRST_VERSION: Final = Statement(
    typed("asked", "merchant_id, payment_id"),
    """
SELECT nr, snapshot FROM wish, LATERAL (
  SELECT snapshot FROM events
  WHERE merchant_id = asked_merchant_id AND payment_id = asked_payment_id AND version = 1
  LIMIT 1) AS first
""",
)


async def create(database: Database, payment: Payment, key: Key | None) -> BoundKey | None:
    """Records a new payment. Where the key is bound to another one nothing is written, and it
    returns what it is bound to.

    The answer to a creation is the payment's first version, so its key keeps none.
    """
    wish = _wish_of(payment, key)
    stored = await database.gather(
        _CREATE, *wish.row, subject=wish.subject, repeatable=wish.repeatable
    )
    return None if stored is None else await _bound(database, payment, key, stored)


async def create_each(
    database: Database, drafts: Sequence[Draft]
) -> list[BoundKey | Exception | None]:
    """As `create`, for many at once, in their order; what it would have raised for one is in its
    place."""
    found = await database.gather_each(_CREATE, [_wish_of(*each) for each in drafts])

    async def bound(draft: Draft, stored: asyncpg.Record) -> BoundKey | Exception:
        try:
            return await _bound(database, *draft, stored)
        except Exception as error:
            return error

    earlier = iter(
        await asyncio.gather(
            *(
                bound(draft, each)
                for draft, each in zip(drafts, found, strict=True)
                if isinstance(each, asyncpg.Record)
            )
        )
    )
    return [next(earlier) if isinstance(each, asyncpg.Record) else each for each in found]


def _wish_of(payment: Payment, key: Key | None) -> Wish:
    row = (*created_row(payment), new_id(), encode_snapshot(payment))
    if key is None:
        return Wish((*row, None, None), None, repeatable=False)
    subject = f"{payment.merchant_id} {key.text}"
    return Wish((*row, key.text, key.fingerprint), subject, repeatable=True)


async def _bound(
    database: Database, payment: Payment, key: Key | None, stored: asyncpg.Record
) -> BoundKey:
    bound = bound_key_of(stored)
    if bound.answer or key is None or bound.fingerprint != key.fingerprint:
        return bound
    first = await database.gather(_FIRST_VERSION, payment.merchant_id, bound.payment_id)
    return replace(bound, answer=Answer(decode_snapshot(first["snapshot"]))) if first else bound


_GET: Final = Statement(
    typed("asked", "merchant_id, payment_id"),
    f"""
SELECT {PAYMENT}, nr FROM wish
JOIN payments ON merchant_id = asked_merchant_id AND payment_id = asked_payment_id
""",
)


async def get(database: Database, merchant_id: str, payment_id: str) -> Payment | None:
    """One payment as it is now."""
    row = await database.gather(_GET, merchant_id, payment_id)
    return payment_of(row) if row else None


SCAN_ROWS: Final = 5_000
"""What one statement of a list looks at, whether or not it fits the filters: on a cold disk that
takes a second, a quarter of the statement's limit."""


class Scanned(msgspec.Struct, frozen=True):
    """A part of a list, and the id behind which it goes on; None where it is at its end."""

    payments: list[Payment]
    end: str | None


# The filters stand outside of the scan, so that the work of one statement is bounded even where
# nothing matches; its last row is always told, as the scan ends there.
def _list(of: str) -> str:
    return f"""
SELECT * FROM (
  SELECT {PAYMENT}, row_number() OVER (ORDER BY payment_id DESC) = $7 AS is_last,
    ($4::text IS NULL OR status = $4) AND ($5::jsonb IS NULL OR metadata @> $5) AS matches
  FROM payments
  WHERE {of} AND payment_id < $2 AND payment_id >= $3
  ORDER BY payment_id DESC LIMIT $7
) AS scanned
WHERE matches OR is_last
ORDER BY payment_id DESC LIMIT $6
"""


_LIST_ALL: Final = _list("merchant_id = $1")
_LIST_OF_CUSTOMER: Final = _list('merchant_id COLLATE "C" = $1 AND customer_id = $8')


async def list_page(
    database: Database, merchant_id: str, wish: ListPayments, *, below: str, from_: str, limit: int
) -> Scanned:
    """At most `limit` payments, newest first, ids in [from_, below)."""
    arguments: list[object] = [
        merchant_id,
        below,
        from_,
        wish.status,
        as_json(wish.metadata) if wish.metadata else None,
        limit,
        SCAN_ROWS,
    ]
    if wish.customer_id:
        rows = await database.read(_LIST_OF_CUSTOMER, *arguments, wish.customer_id)
    else:
        rows = await database.read(_LIST_ALL, *arguments)
    goes_on = bool(rows) and (len(rows) == limit or rows[-1]["is_last"])
    return Scanned(
        [payment_of(row) for row in rows if row["matches"]],
        str(rows[-1]["payment_id"]) if goes_on else None,
    )


_FIND: Final = Statement(
    typed("asked", "merchant_id, payment_id, idempotency_key, operation_id"),
    f"""
SELECT {columns_of("p", PAYMENT)}, nr, {prefixed("k", KEY)}, {prefixed("o", OPERATION)},
  coalesce(p.lapses_at <= now(), false) AS is_over
FROM wish
LEFT JOIN payments AS p
  ON p.merchant_id = asked_merchant_id AND p.payment_id = asked_payment_id
LEFT JOIN idempotency AS k
  ON k.merchant_id = asked_merchant_id AND k.idempotency_key = asked_idempotency_key
LEFT JOIN LATERAL (
  SELECT * FROM operations
  WHERE merchant_id = asked_merchant_id
    AND operation_id = coalesce(k.operation_id, asked_operation_id)
  LIMIT 1) AS o ON true
""",
)


async def find(
    database: Database,
    merchant_id: str,
    payment_id: str,
    *,
    key: str | None = None,
    operation_id: str | None = None,
) -> Found:
    """A payment, the key, and the operation: the key's own, or else the one of that id."""
    row = await database.gather(_FIND, merchant_id, payment_id, key, operation_id)
    if row is None:
        raise LookupError("every wish has a row")
    return Found(
        payment=payment_of(row) if row["version"] else None,
        key=bound_key_of(row, "k_") if row["k_payment_id"] else None,
        operation=operation_of(row, "o_") if row["o_operation_id"] else None,
        is_over=row["is_over"],
    )


_GET_REFUND: Final = Statement(
    typed("asked", "merchant_id, refund_id"),
    f"""
SELECT nr, {REFUND} FROM wish
JOIN refunds ON merchant_id = asked_merchant_id AND refund_id = asked_refund_id
""",
)


async def get_refund(database: Database, merchant_id: str, refund_id: str) -> Refund | None:
    """One refund as it is now."""
    row = await database.gather(_GET_REFUND, merchant_id, refund_id)
    return refund_of_row(row) if row else None


_LIST_REFUNDS: Final = f"""
SELECT {REFUND} FROM refunds
WHERE merchant_id COLLATE "C" = $1 AND payment_id = $2 AND refund_id < $3
ORDER BY refund_id DESC LIMIT $4
"""


async def list_refunds(
    database: Database, merchant_id: str, payment_id: str, *, below: str, limit: int
) -> list[Refund]:
    """A payment's refunds, newest first."""
    rows = await database.read(_LIST_REFUNDS, merchant_id, payment_id, below, limit)
    return [refund_of_row(row) for row in rows]


_PRUNE: Final = """
WITH old AS MATERIALIZED (
  SELECT merchant_id, idempotency_key FROM idempotency
  WHERE answer IS NOT NULL AND created_at < now() - make_interval(secs => $1)
  ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE idempotency AS key SET answer = NULL FROM old
WHERE key.merchant_id = old.merchant_id AND key.idempotency_key = old.idempotency_key
RETURNING true
"""


async def prune_answers(database: Database, *, older_than_seconds: float, limit: int) -> int:
    """Forgets answers, never keys; returns how many."""
    return len(await database.write(_PRUNE, older_than_seconds, limit, repeatable=True))
