"""The statements that move payments on: the next version, its event and its transfers at once.

A change names the version that it was decided on; where the row has another one by then, nothing
is written and the caller decides again. A key is a plain INSERT beside the change, so a refused
change leaves no key and two twins cannot both change anything.
"""

from collections.abc import Sequence
from typing import Final

from payment_server.domain.idempotency import Answer, encode_answer
from payment_server.domain.ledger import transfers_between
from payment_server.domain.operation import Operation, OperationKind, Refund, Verdict, refund_of
from payment_server.domain.payment import Payment
from payment_server.domain.step import Change, Step
from payment_server.store.database import Database, UniqueViolation
from payment_server.store.rows import (
    CHANGING,
    EVENT,
    KEY,
    OF_CHANGE,
    OPERATION,
    PAYMENT,
    REFUND,
    Key,
    as_json,
    changing_row,
    columns_of,
    event_row,
    key_row,
    operation_of,
    operation_row,
    payment_of,
    refund_row,
    slots,
)


def _changed(beside: str = "") -> str:
    """The statement of a change; `beside` are further parts that hang on it."""
    return f"""
WITH changed AS (
  UPDATE payments SET ({CHANGING}) = ROW({slots(4, CHANGING)})
  WHERE merchant_id = $1 AND payment_id = $2 AND version = $3
  RETURNING merchant_id, payment_id, version, status, customer_id, updated_at
), event AS (
  INSERT INTO events ({OF_CHANGE}, {EVENT}) SELECT changed.*, {slots(19, EVENT)} FROM changed
), transfer AS (
  INSERT INTO transfers
    (merchant_id, payment_id, version, leg, debit_account, credit_account, amount_minor, currency)
  SELECT merchant_id, payment_id, version, leg, debit, credit, amount, $26
  FROM changed, unnest($23::text[], $24::text[], $25::bigint[])
    WITH ORDINALITY AS moved (debit, credit, amount, leg)
){beside}
SELECT true FROM changed
"""


def _change_row(was: Payment, change: Change) -> Sequence[object]:
    """$1 to $26, which every change has."""
    moved = transfers_between(was, change.payment)
    return (
        *(was.merchant_id, was.payment_id, was.version),
        *changing_row(change.payment),
        *event_row(was, change.payment, change.event),
        [each.debit for each in moved],
        [each.credit for each in moved],
        [each.amount_minor for each in moved],
        was.currency,
    )


_BEGIN: Final = _changed(f""", operation AS (
  INSERT INTO operations ({OPERATION}, lease_until)
  SELECT {slots(27, OPERATION)}, now() + make_interval(secs => $42) FROM changed
), refund AS (
  INSERT INTO refunds ({REFUND}) SELECT {slots(43, REFUND)} FROM changed WHERE $44::uuid IS NOT NULL
), key AS (
  INSERT INTO idempotency ({KEY})
  SELECT {slots(54, KEY)} FROM changed WHERE $55::text IS NOT NULL
)""")

_NO_REFUND: Final = (None,) * len(REFUND.split(","))


async def begin(
    database: Database, was: Payment, step: Step, key: Key | None, *, lease_seconds: float
) -> bool:
    """Stores the intent: the reservation, the operation and the key; False where others came first.

    False is also what a second run of a statement that had committed says: who asked looks for
    its own operation.
    """
    operation = step.operation
    is_refund = operation.kind is OperationKind.REFUND
    is_settled = operation.settled_at is not None
    answer = Answer(step.payment, operation) if is_settled else None
    bound = key_row(was.merchant_id, key, answer, was.payment_id, operation)
    try:
        rows = await database.write(
            _BEGIN,
            *_change_row(was, step),
            *operation_row(operation),
            None if is_settled else lease_seconds,
            *(refund_row(refund_of(was, operation)) if is_refund else _NO_REFUND),
            *bound,
            repeatable=key is not None,
        )
    except UniqueViolation:
        return False
    return bool(rows)


_SETTLE: Final = _changed(""", operation AS (
  UPDATE operations SET status = $28, decline = $29, settled_at = $30,
    lease_until = now() + make_interval(secs => $31)
  FROM changed
  WHERE operations.merchant_id = $1 AND operation_id = $27
), refund AS (
  UPDATE refunds SET status = $28, decline = $29, updated_at = $30 FROM changed
  WHERE refunds.merchant_id = $1 AND refund_id = $27
), key AS (
  UPDATE idempotency SET answer = $33 FROM changed
  WHERE idempotency.merchant_id = $1 AND idempotency_key = $32
)""")


async def settle(
    database: Database, was: Payment, step: Step, *, recheck_seconds: float | None
) -> bool:
    """Books the outcome with the answer; False where the payment has another version by now.

    Every settlement moves the version on, so an operation that was pending at the version that
    `was` has is pending still when this one is accepted. `recheck_seconds`: when to look up again
    what was settled; None for never.
    """
    operation = step.operation
    rows = await database.write(
        _SETTLE,
        *_change_row(was, step),
        operation.operation_id,
        operation.status,
        as_json(operation.decline),
        operation.settled_at,
        recheck_seconds,
        operation.idempotency_key,
        encode_answer(Answer(step.payment, operation)),
        repeatable=True,
        finishes=True,
    )
    return bool(rows)


_LAPSE: Final = _changed()


async def lapse(database: Database, was: Payment, change: Change) -> bool:
    """Stores what time did; False where the payment has another version by now."""
    return bool(await database.write(_LAPSE, *_change_row(was, change), repeatable=True))


_REVERSE: Final = _changed(""", refund AS (
  UPDATE refunds SET status = 'failed', decline = $28, updated_at = changed.updated_at FROM changed
  WHERE refunds.merchant_id = $1 AND refund_id = $27
), operation AS (
  UPDATE operations SET lease_until = NULL FROM changed
  WHERE operations.merchant_id = $1 AND operation_id = $27
)""")


async def reverse(
    database: Database, was: Payment, change: Change, refund: Refund, verdict: Verdict
) -> bool:
    """Stores that a refund failed after all; False where the payment has another version by now."""
    rows = await database.write(
        _REVERSE,
        *_change_row(was, change),
        refund.refund_id,
        as_json(verdict.decline),
        repeatable=True,
        finishes=True,
    )
    return bool(rows)


_CLAIM: Final = f"""
WITH due AS MATERIALIZED (
  SELECT merchant_id, operation_id FROM operations
  WHERE lease_until < now()
  ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE operations AS o SET lease_until = now() + make_interval(secs => $1) FROM due
WHERE o.merchant_id = due.merchant_id AND o.operation_id = due.operation_id
RETURNING {columns_of("o", OPERATION)}
"""


async def claim_due(database: Database, *, lease_seconds: float, limit: int) -> list[Operation]:
    """Takes operations to look up that nobody is at work on, by the database's clock."""
    rows = await database.write(_CLAIM, lease_seconds, limit, repeatable=True)
    return [operation_of(row) for row in rows]


_POSTPONE: Final = """
UPDATE operations SET lease_until = now() + make_interval(secs => $4)
WHERE merchant_id = $1 AND operation_id = $2 AND status = $3 AND lease_until IS NOT NULL
RETURNING true
"""


async def look_up_again_in(database: Database, operation: Operation, seconds: float | None) -> None:
    """When the operation is looked up next, if it is still as it was; None for never."""
    await database.write(
        _POSTPONE,
        operation.merchant_id,
        operation.operation_id,
        operation.status,
        seconds,
        repeatable=True,
        finishes=True,
    )


_LAPSED: Final = f"""
SELECT {PAYMENT} FROM payments
WHERE lapses_at < now() AND capture_pending_minor = 0 AND void_pending_minor = 0
ORDER BY lapses_at LIMIT $1
"""


async def lapsed(database: Database, *, limit: int) -> list[Payment]:
    """Payments whose time is up, by the database's clock, longest first."""
    return [payment_of(row) for row in await database.read(_LAPSED, limit)]
