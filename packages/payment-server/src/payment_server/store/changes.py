"""The statements that move payments on: the next version, its event and its transfers at once.

A change names the version that it was decided on; where the row has another one by then, nothing
is written and the caller decides again. A key is a plain INSERT beside the change, so a refused
change leaves no key and two twins cannot both change anything.
"""

from collections.abc import Sequence
from typing import Final

from payment_server.domain.idempotency import FINGERPRINT_VERSION, Answer, encode_answer
from payment_server.domain.ledger import transfers_between
from payment_server.domain.operation import Operation, OperationKind, Refund, Verdict
from payment_server.domain.payment import Payment
from payment_server.domain.step import Change, Step
from payment_server.store.database import Database, UniqueViolation
from payment_server.store.rows import (
    BEGUN,
    CHANGING,
    EVENT,
    OF_CHANGE,
    OPERATION,
    PAYMENT,
    REFUND,
    Key,
    as_json,
    begun_row,
    brought,
    changing_row,
    columns_of,
    event_row,
    operation_of,
    payment_of,
    typed,
)
from payment_server.store.statement import Statement

_CHANGE_ROW: Final = (
    *typed("was", "merchant_id, payment_id, version"),
    *typed("new", CHANGING),
    *typed("event", EVENT),
    *(("debits", "text"), ("credits", "text"), ("amounts", "text")),
)
"""What every change brings. Transfers are as many as they are: their parts are parted by spaces."""


def _change(*columns: tuple[str, str], beside: str = "", finishes: bool = False) -> Statement:
    """The statement of a change; `beside` are further parts that hang on it."""
    return Statement(
        (*_CHANGE_ROW, *columns),
        f""", changed AS (
  UPDATE payments SET ({CHANGING}, version) = ROW({brought("new", CHANGING)}, was_version + 1)
  FROM wish
  WHERE payments.merchant_id = was_merchant_id AND payments.payment_id = was_payment_id
    AND payments.version = was_version
  RETURNING payments.merchant_id, payments.payment_id, payments.version, payments.status,
    payments.customer_id, payments.currency, payments.exponent, payments.updated_at, wish.*
), event AS (
  INSERT INTO events ({OF_CHANGE}, {EVENT})
  SELECT merchant_id, payment_id, version, status, customer_id, updated_at,
    {brought("event", EVENT)} FROM changed
), transfer AS (
  INSERT INTO transfers
    (merchant_id, payment_id, version, leg, debit_account, credit_account, amount_minor, currency)
  SELECT merchant_id, payment_id, version, leg, debit, credit, amount::bigint, currency
  FROM changed, unnest(
    string_to_array(debits, ' '), string_to_array(credits, ' '), string_to_array(amounts, ' '))
    WITH ORDINALITY AS moved (debit, credit, amount, leg)
){beside}
SELECT nr FROM changed
""",
        writes=True,
        finishes=finishes,
    )


def _change_row(was: Payment, change: Change) -> Sequence[object]:
    moved = transfers_between(was, change.payment)
    return (
        *(was.merchant_id, was.payment_id, was.version),
        *changing_row(change.payment),
        *event_row(was, change.payment, change.event),
        " ".join(each.debit for each in moved),
        " ".join(each.credit for each in moved),
        " ".join(str(each.amount_minor) for each in moved),
    )


def _subject(was: Payment) -> str:
    """Changes of one payment go one after the other."""
    return f"{was.merchant_id} {was.payment_id}"


_BEGIN: Final = _change(
    *typed("new_operation", BEGUN),
    ("lease_seconds", "float8"),
    *typed("key", "fingerprint, answer"),
    beside=f""", operation AS (
  INSERT INTO operations (merchant_id, payment_id, created_at, {BEGUN}, lease_until)
  SELECT merchant_id, payment_id, updated_at, {brought("new_operation", BEGUN)},
    now() + make_interval(secs => lease_seconds)
  FROM changed
), refund AS (
  INSERT INTO refunds ({REFUND})
  SELECT merchant_id, new_operation_operation_id, payment_id, new_operation_amount_minor, currency,
    exponent, new_operation_status, new_operation_words, new_operation_decline, updated_at,
    updated_at
  FROM changed WHERE new_operation_kind = '{OperationKind.REFUND}'
), key AS (
  INSERT INTO idempotency
    (merchant_id, idempotency_key, fingerprint, fingerprint_version, payment_id, operation_id,
      answer, created_at)
  SELECT merchant_id, new_operation_idempotency_key, key_fingerprint, {FINGERPRINT_VERSION},
    payment_id, new_operation_operation_id, key_answer, updated_at
  FROM changed WHERE new_operation_idempotency_key IS NOT NULL
  ORDER BY merchant_id COLLATE "C", new_operation_idempotency_key COLLATE "C"
)""",
)


async def begin(
    database: Database, was: Payment, step: Step, key: Key | None, *, lease_seconds: float
) -> bool:
    """Stores the intent: the reservation, the operation and the key; False where others came first.

    False is also what a second run of a statement that had committed says: who asked looks for
    its own operation.
    """
    operation = step.operation
    is_settled = operation.settled_at is not None
    try:
        begun = await database.gather(
            _BEGIN,
            *_change_row(was, step),
            *begun_row(operation),
            None if is_settled else lease_seconds,
            key.fingerprint if key else None,
            encode_answer(Answer(step.payment, operation)) if is_settled and key else None,
            subject=_subject(was),
            repeatable=key is not None,
        )
    except UniqueViolation:
        return False
    return begun is not None


_SETTLE: Final = _change(
    *typed("outcome", "operation_id, status, decline, idempotency_key, answer"),
    ("recheck_seconds", "float8"),
    beside=""", operation AS (
  UPDATE operations SET status = outcome_status, decline = outcome_decline,
    settled_at = changed.updated_at, lease_until = now() + make_interval(secs => recheck_seconds)
  FROM changed
  WHERE operations.merchant_id = was_merchant_id AND operation_id = outcome_operation_id
), refund AS (
  UPDATE refunds SET status = outcome_status, decline = outcome_decline,
    updated_at = changed.updated_at
  FROM changed
  WHERE refunds.merchant_id = was_merchant_id AND refund_id = outcome_operation_id
), key AS (
  UPDATE idempotency SET answer = outcome_answer
  FROM (
    SELECT was_merchant_id, outcome_idempotency_key, outcome_answer FROM changed
    ORDER BY was_merchant_id COLLATE "C", outcome_idempotency_key COLLATE "C") AS told
  WHERE idempotency.merchant_id = was_merchant_id
    AND idempotency_key = outcome_idempotency_key
)""",
    finishes=True,
)


async def settle(
    database: Database, was: Payment, step: Step, *, recheck_seconds: float | None
) -> bool:
    """Books the outcome with the answer; False where the payment has another version by now.

    Every settlement moves the version on, so an operation that was pending at the version that
    `was` has is pending still when this one is accepted. `recheck_seconds`: when to look up again
    what was settled; None for never.
    """
    operation = step.operation
    settled = await database.gather(
        _SETTLE,
        *_change_row(was, step),
        operation.operation_id,
        operation.status,
        as_json(operation.decline),
        operation.idempotency_key,
        encode_answer(Answer(step.payment, operation)),
        recheck_seconds,
        subject=_subject(was),
    )
    return settled is not None


_LAPSE: Final = _change()


async def lapse(database: Database, was: Payment, change: Change) -> bool:
    """Stores what time did; False where the payment has another version by now."""
    lapsed = await database.gather(_LAPSE, *_change_row(was, change), subject=_subject(was))
    return lapsed is not None


_REVERSE: Final = _change(
    *typed("reversed", "refund_id, decline"),
    beside=""", refund AS (
  UPDATE refunds SET status = 'failed', decline = reversed_decline, updated_at = changed.updated_at
  FROM changed
  WHERE refunds.merchant_id = was_merchant_id AND refund_id = reversed_refund_id
), operation AS (
  UPDATE operations SET lease_until = NULL FROM changed
  WHERE operations.merchant_id = was_merchant_id AND operation_id = reversed_refund_id
)""",
    finishes=True,
)


async def reverse(
    database: Database, was: Payment, change: Change, refund: Refund, verdict: Verdict
) -> bool:
    """Stores that a refund failed after all; False where the payment has another version by now."""
    taken_back = await database.gather(
        _REVERSE,
        *_change_row(was, change),
        refund.refund_id,
        as_json(verdict.decline),
        subject=_subject(was),
    )
    return taken_back is not None


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
