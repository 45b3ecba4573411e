"""The statements that record payments and move them on, each one round trip.

A change names the version that it was decided on; where the row has another one by then, nothing
is written and the caller decides again. A key is a plain INSERT beside the change, so a refused
change leaves no key and two twins cannot both change anything.
"""

from typing import Final

import msgspec

from payment_server.domain.commands import ListPayments
from payment_server.domain.idempotency import (
    Answer,
    encode_answer,
)
from payment_server.domain.operation import Operation, Step
from payment_server.domain.payment import Payment
from payment_server.store.database import Database, UniqueViolation
from payment_server.store.rows import (
    CHANGING,
    KEY,
    OPERATION,
    PAYMENT,
    BoundKey,
    Key,
    as_json,
    bound_key_of,
    changing_row,
    key_row,
    operation_of,
    operation_row,
    payment_of,
    payment_row,
    prefixed,
    slots,
)


class Found(msgspec.Struct, frozen=True):
    """What one snapshot of the database says about a wish."""

    payment: Payment | None
    key: BoundKey | None
    operation: Operation | None


_CREATE: Final = f"""
INSERT INTO payments ({PAYMENT}) VALUES ({slots(1, PAYMENT)})
ON CONFLICT (merchant_id, payment_id) DO NOTHING
"""

# A conflict of payment_id is an earlier run of this very statement: ids are drawn for one request.
# The key's DO UPDATE changes nothing; it makes the statement return the row that is stored, even
# one that another statement has committed meanwhile. First is who finds its own payment_id.
_CREATE_ONCE: Final = f"""
WITH key AS (
  INSERT INTO idempotency ({KEY}) VALUES ({slots(24, KEY)})
  ON CONFLICT (merchant_id, idempotency_key)
    DO UPDATE SET idempotency_key = excluded.idempotency_key
  RETURNING fingerprint, payment_id, operation_id, answer
), payment AS (
  INSERT INTO payments ({PAYMENT}) SELECT {slots(1, PAYMENT)} FROM key WHERE key.payment_id = $2
  ON CONFLICT (merchant_id, payment_id) DO NOTHING
)
SELECT fingerprint, payment_id, operation_id, answer FROM key
"""


async def create(database: Database, payment: Payment, key: Key | None) -> BoundKey | None:
    """Records a payment. With a key: returns what the key is bound to, now or from before."""
    row = payment_row(payment)
    if key is None:
        await database.write(_CREATE, *row, repeatable=False)
        return None
    bound = key_row(payment.merchant_id, key, Answer(payment), payment.payment_id, None)
    rows = await database.write(_CREATE_ONCE, *row, *bound, repeatable=True)
    return bound_key_of(rows[0])


_GET: Final = f"SELECT {PAYMENT} FROM payments WHERE merchant_id = $1 AND payment_id = $2"


async def get(database: Database, merchant_id: str, payment_id: str) -> Payment | None:
    """One payment as it is now."""
    rows = await database.read(_GET, merchant_id, payment_id)
    return payment_of(rows[0]) if rows else None


_LIST: Final = f"""
SELECT {PAYMENT} FROM payments
WHERE merchant_id = $1
  AND payment_id < $2 AND payment_id >= $3
  AND ($4::text IS NULL OR status = $4)
  AND ($5::jsonb IS NULL OR metadata @> $5)
  %s
ORDER BY payment_id DESC LIMIT $6
"""
_LIST_ALL: Final = _LIST % ""
_LIST_OF_CUSTOMER: Final = _LIST % "AND customer_id = $7"


async def list_page(
    database: Database, merchant_id: str, wish: ListPayments, *, below: str, from_: str
) -> list[Payment]:
    """Newest first, ids in [from_, below); one payment more than the page shows where more is."""
    arguments: list[object] = [
        merchant_id,
        below,
        from_,
        wish.status,
        as_json(wish.metadata) if wish.metadata else None,
        wish.page_size + 1,
    ]
    if wish.customer_id:
        rows = await database.read(_LIST_OF_CUSTOMER, *arguments, wish.customer_id)
    else:
        rows = await database.read(_LIST_ALL, *arguments)
    return [payment_of(row) for row in rows]


_FIND: Final = f"""
SELECT {prefixed("p", PAYMENT)}, {prefixed("k", KEY)}, {prefixed("o", OPERATION)}
FROM (SELECT 1) AS always
LEFT JOIN payments AS p ON p.merchant_id = $1 AND p.payment_id = $2
LEFT JOIN idempotency AS k ON k.merchant_id = $1 AND k.idempotency_key = $3
LEFT JOIN operations AS o
  ON o.merchant_id = $1 AND o.operation_id = coalesce(k.operation_id, $4)
"""


async def find(
    database: Database,
    merchant_id: str,
    payment_id: str,
    *,
    key: str | None = None,
    operation_id: str | None = None,
) -> Found:
    """A payment, the key, and the operation: the key's own, or else the one of that id."""
    rows = await database.read(_FIND, merchant_id, payment_id, key, operation_id)
    row = rows[0]
    return Found(
        payment=payment_of(row, "p_") if row["p_payment_id"] else None,
        key=bound_key_of(row, "k_") if row["k_payment_id"] else None,
        operation=operation_of(row, "o_") if row["o_operation_id"] else None,
    )


_BEGIN: Final = f"""
WITH changed AS (
  UPDATE payments SET ({CHANGING}) = ROW({slots(4, CHANGING)})
  WHERE merchant_id = $1 AND payment_id = $2 AND version = $3
  RETURNING true
), operation AS (
  INSERT INTO operations ({OPERATION}, lease_until)
  SELECT {slots(17, OPERATION)}, now() + make_interval(secs => $29) FROM changed
), key AS (
  INSERT INTO idempotency ({KEY})
  SELECT {slots(30, KEY)} FROM changed WHERE $31::text IS NOT NULL
)
SELECT true FROM changed
"""


async def begin(
    database: Database, was: Payment, step: Step, key: Key | None, *, lease_seconds: float
) -> bool:
    """Stores the intent: the reservation, the operation and the key; False where others came first.

    False is also what a second run of a statement that had committed says: who asked looks for
    its own operation.
    """
    operation = step.operation
    answer = None if operation.settled_at is None else Answer(step.payment, operation)
    bound = key_row(was.merchant_id, key, answer, was.payment_id, operation)
    try:
        rows = await database.write(
            _BEGIN,
            *(was.merchant_id, was.payment_id, was.version),
            *changing_row(step.payment),
            *operation_row(operation),
            lease_seconds,
            *bound,
            repeatable=key is not None,
        )
    except UniqueViolation:
        return False
    return bool(rows)


_SETTLE: Final = f"""
WITH changed AS (
  UPDATE payments SET ({CHANGING}) = ROW({slots(4, CHANGING)})
  WHERE merchant_id = $1 AND payment_id = $2 AND version = $3
  RETURNING true
), operation AS (
  UPDATE operations SET status = $18, decline = $19, settled_at = $20 FROM changed
  WHERE merchant_id = $1 AND operation_id = $17
), key AS (
  UPDATE idempotency SET answer = $22 FROM changed
  WHERE merchant_id = $1 AND idempotency_key = $21
)
SELECT true FROM changed
"""


async def settle(database: Database, was: Payment, step: Step) -> bool:
    """Books the outcome with the answer; False where the payment has another version by now.

    Every settlement moves the version on, so an operation that was pending at the version that
    `was` has is pending still when this one is accepted.
    """
    operation = step.operation
    rows = await database.write(
        _SETTLE,
        *(was.merchant_id, was.payment_id, was.version),
        *changing_row(step.payment),
        operation.operation_id,
        operation.status,
        as_json(operation.decline),
        operation.settled_at,
        operation.idempotency_key,
        encode_answer(Answer(step.payment, operation)),
        repeatable=True,
    )
    return bool(rows)


_CLAIM: Final = f"""
UPDATE operations SET lease_until = now() + make_interval(secs => $1)
WHERE (merchant_id, operation_id) IN (
  SELECT merchant_id, operation_id FROM operations
  WHERE status = 'pending' AND lease_until < now()
  ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING {OPERATION}
"""


async def claim_unfinished(
    database: Database, *, lease_seconds: float, limit: int
) -> list[Operation]:
    """Takes pending operations that nobody is at work on, by the database's clock."""
    rows = await database.write(_CLAIM, lease_seconds, limit, repeatable=True)
    return [operation_of(row) for row in rows]
