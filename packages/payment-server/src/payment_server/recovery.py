"""Finishes what nobody waits for: operations that a crash, a lost reply or a slow processor left
pending, and refunds that may still fail. Nothing has an effect here that the use cases do not have.
"""

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from payment_server.domain.errors import PaymentServiceError
from payment_server.domain.operation import (
    GIVEN_UP,
    Operation,
    OperationKind,
    OperationStatus,
    Verdict,
)
from payment_server.payments import Payments
from payment_server.store import changes
from payment_server.store import payments as store
from payment_server.store.database import Database

log = logging.getLogger(__name__)

UNATTENDED_LIMIT: Final = timedelta(minutes=15)
"""An authorization that never reached its processor is not begun later than this: the customer has
paid in another way, or left."""


async def resume(database: Database, payments: Payments, operation: Operation) -> None:
    """Finishes an operation, or looks again at a refund.

    The processor is asked what became of it; if it never heard of it, it is asked to do it, under
    the same id. Raises what the processor and the database raise; the operation is looked up again
    after a growing pause then.
    """
    try:
        await _resume(database, payments, operation)
    except Exception:
        with suppress(PaymentServiceError):
            await payments.look_up_later(operation)
        raise


async def _resume(database: Database, payments: Payments, operation: Operation) -> None:
    found = await store.find(
        database,
        operation.merchant_id,
        operation.payment_id,
        operation_id=operation.operation_id,
    )
    if found.payment is None or found.operation != operation:
        return  # finished meanwhile
    verdict = await payments.look_up(found.payment, operation)
    if operation.status is not OperationStatus.PENDING:
        await _look_again(database, payments, operation, verdict)
        return
    if verdict is None and _is_unattended(operation):
        verdict = GIVEN_UP
    if verdict is None:
        verdict = await payments.ask(found.payment, operation)
    outcome = await payments.book(found.payment, operation, verdict)
    log.info(
        "resumed operation %s of payment %s: %s",
        operation.operation_id,
        operation.payment_id,
        outcome.operation and outcome.operation.status,
    )


async def _look_again(
    database: Database, payments: Payments, operation: Operation, verdict: Verdict | None
) -> None:
    """A refund that had succeeded: it stands, may still fail, or has failed after all."""
    if verdict is None:
        log.error("the processor denies refund %s, which it gave", operation.operation_id)
        await payments.look_up_later(operation)
    elif verdict.status is OperationStatus.FAILED:
        await payments.reverse(operation, verdict)
    elif verdict.recheck_at or verdict.status is not OperationStatus.SUCCEEDED:
        await payments.look_up_later(operation, at=verdict.recheck_at)
    else:
        await changes.look_up_again_in(database, operation, None)


def _is_unattended(operation: Operation) -> bool:
    is_charge = operation.kind in (OperationKind.AUTHORIZE, OperationKind.COMPLETE)
    return is_charge and datetime.now(UTC) - operation.created_at > UNATTENDED_LIMIT
