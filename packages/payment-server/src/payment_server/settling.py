"""The second half of a change: from the stored intent to the booked outcome.

The processor is asked, outside of any transaction, and what it says is booked on whatever version
the payment has by then. What a crash or a lost reply leaves pending, `resume` finishes; `lapse` is
what time does.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from payment_server.domain import step
from payment_server.domain.errors import (
    PaymentServiceError,
    ProcessorUnreachable,
    TransactionAborted,
)
from payment_server.domain.idempotency import Replay
from payment_server.domain.operation import (
    GIVEN_UP,
    UNKNOWN,
    Operation,
    OperationKind,
    OperationStatus,
    RefundStatus,
    Verdict,
)
from payment_server.domain.payment import Payment
from payment_server.processors import Processor
from payment_server.store import changes
from payment_server.store import payments as store
from payment_server.store.database import Database
from payment_server.turns import Turns, pause_after

log = logging.getLogger(__name__)

BOOKING_ROUNDS_LIMIT: Final = 40
"""More than that for a verdict: its intent is stored, so it has to be booked in the end."""

PROCESSOR_LIMIT_SECONDS: Final = 5.0
"""Longer than processors take; whoever waits at a till has given up by then."""

LOOK_UP_PAUSE_SECONDS: Final = 0.5
LOOK_UP_PAUSE_LIMIT_SECONDS: Final = 3600.0
"""A processor that has not decided is asked again after a pause as long as it has had so far:
soon where it is quick, and each hour where it takes days."""

UNATTENDED_LIMIT_SECONDS: Final = 15 * 60.0
"""An authorization that never reached its processor is not begun later than this: the customer has
paid in another way, or left."""


class Outcome(msgspec.Struct, frozen=True):
    """A payment after what was done, and what was done."""

    payment: Payment
    operation: Operation | None = None
    replay: Replay = Replay.NO


class Settling:
    """What follows phase 1, and what nobody has asked for."""

    def __init__(
        self,
        database: Database,
        processor: Processor,
        turns: Turns,
        *,
        processor_limit_seconds: float,
        on_change: Callable[[str], None],
    ) -> None:
        self._database = database
        self._processor = processor
        self._turns = turns
        self._processor_limit_seconds = processor_limit_seconds
        self._on_change = on_change

    async def carry_out(self, payment: Payment, operation: Operation) -> Outcome:
        """From the stored intent to the booked outcome.

        The intent is stored, so the operation will be finished whatever goes wrong here; until
        then it is pending, and that is what its caller is told.
        """
        if operation.status is not OperationStatus.PENDING:
            return Outcome(payment, operation)
        try:
            verdict = await self._ask(payment, operation)
            return await self._book(payment, operation, verdict)
        except ProcessorUnreachable:
            with suppress(PaymentServiceError):
                await self._look_up_later(operation)
            if operation.idempotency_key is not None:
                raise  # the same key will find the operation, and its outcome
        except PaymentServiceError as error:
            log.warning("operation %s is left pending: %s", operation.operation_id, error.reason)
        except Exception:
            log.exception("operation %s is left pending", operation.operation_id)
        return Outcome(payment, operation)

    async def _ask(self, payment: Payment, operation: Operation) -> Verdict:
        """The processor's verdict; pending where it takes longer than its limit, or fails in a way
        that does not say whether it was reached."""
        ask = {
            OperationKind.AUTHORIZE: self._processor.authorize,
            OperationKind.CAPTURE: self._processor.capture,
            OperationKind.CANCEL: self._processor.cancel,
            OperationKind.REFUND: self._processor.refund,
            OperationKind.COMPLETE: self._processor.complete,
        }[operation.kind]
        try:
            async with asyncio.timeout(self._processor_limit_seconds):
                return await ask(payment, operation)
        except ProcessorUnreachable:
            raise
        except TimeoutError:
            log.info("the processor is late with operation %s", operation.operation_id)
        except Exception as error:
            # The frames and the type: the text of a foreign exception may quote what was sent.
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "the processor failed on operation %s: %s\n%s",
                operation.operation_id,
                type(error).__qualname__,
                frames,
            )
        return UNKNOWN

    async def _book(self, payment: Payment, operation: Operation, verdict: Verdict) -> Outcome:
        """Phase 2: the outcome and the answer, on whatever version the payment has by now."""
        if verdict.status is OperationStatus.PENDING:
            await self._look_up_later(operation)
            return Outcome(payment, operation)
        if (outcome := await self._settle(payment, operation, verdict)) is not None:
            return outcome
        for round_ in range(BOOKING_ROUNDS_LIMIT):
            await pause_after(round_)
            try:
                outcome = await self._settle_in_turn(operation, verdict)
            except TimeoutError:
                break
            if outcome is not None:
                return outcome
        raise TransactionAborted

    async def _settle(
        self, payment: Payment, operation: Operation, verdict: Verdict
    ) -> Outcome | None:
        """None where the payment has another version by now."""
        recheck_seconds = None
        if verdict.recheck_at and (operation.kind, verdict.status) == _GIVEN_BACK:
            recheck_seconds = _seconds_until(verdict.recheck_at)
        settled = step.settle(payment, operation, verdict, now_for(payment))
        if not await changes.settle(
            self._database, payment, settled, recheck_seconds=recheck_seconds
        ):
            return None
        self._on_change(payment.merchant_id)
        return Outcome(settled.payment, settled.operation)

    async def _settle_in_turn(self, operation: Operation, verdict: Verdict) -> Outcome | None:
        """On the version that is there now, before which no other one of this process comes."""
        async with self._turns.of(operation.merchant_id, operation.payment_id):
            found = await store.find(
                self._database,
                operation.merchant_id,
                operation.payment_id,
                key=operation.idempotency_key,
                operation_id=operation.operation_id,
            )
            if (outcome := settled_before(found)) is not None:
                return outcome
            if found.payment is None or found.operation is None:
                raise LookupError(f"operation {operation.operation_id} is gone")
            return await self._settle(found.payment, operation, verdict)

    async def resume(self, operation: Operation) -> None:
        """Finishes an operation that somebody began and did not finish, or looks again at a
        refund that may still fail.

        The processor is asked what became of it; if it never heard of it, it is asked to do it,
        under the same id. Raises what the processor and the database raise; the operation is
        looked up again after a growing pause then.
        """
        try:
            await self._resume(operation)
        except Exception:
            with suppress(PaymentServiceError):
                await self._look_up_later(operation)
            raise

    async def _resume(self, operation: Operation) -> None:
        found = await store.find(
            self._database,
            operation.merchant_id,
            operation.payment_id,
            operation_id=operation.operation_id,
        )
        if found.payment is None or found.operation != operation:
            return  # finished meanwhile
        async with asyncio.timeout(self._processor_limit_seconds):
            verdict = await self._processor.look_up(found.payment, operation)
        if operation.status is not OperationStatus.PENDING:
            await self._look_again(operation, verdict)
            return
        if verdict is None and _is_unattended(operation):
            verdict = GIVEN_UP
        if verdict is None:
            verdict = await self._ask(found.payment, operation)
        outcome = await self._book(found.payment, operation, verdict)
        log.info(
            "resumed operation %s of payment %s: %s",
            operation.operation_id,
            operation.payment_id,
            outcome.operation and outcome.operation.status,
        )

    async def _look_again(self, operation: Operation, verdict: Verdict | None) -> None:
        """A refund that had succeeded: it stands, may still fail, or has failed after all."""
        if verdict is None:
            log.error("the processor denies refund %s, which it gave", operation.operation_id)
            await self._look_up_later(operation)
        elif verdict.status is OperationStatus.FAILED:
            await self._reverse(operation, verdict)
        elif verdict.recheck_at or verdict.status is not OperationStatus.SUCCEEDED:
            await self._look_up_later(operation, at=verdict.recheck_at)
        else:
            await changes.look_up_again_in(self._database, operation, None)

    async def _reverse(self, operation: Operation, verdict: Verdict) -> None:
        for round_ in range(BOOKING_ROUNDS_LIMIT):
            payment = await store.get(self._database, operation.merchant_id, operation.payment_id)
            # Read after the payment, so that a version that still holds has seen no reversal.
            refund = await store.get_refund(
                self._database, operation.merchant_id, operation.operation_id
            )
            if payment is None or refund is None:
                raise LookupError(f"refund {operation.operation_id} is gone")
            if refund.status is not RefundStatus.SUCCEEDED:
                return
            change = step.reverse(payment, refund, verdict, now_for(payment))
            if await changes.reverse(self._database, payment, change, refund, verdict):
                self._on_change(payment.merchant_id)
                return
            await pause_after(round_)
        raise TransactionAborted

    async def _look_up_later(self, operation: Operation, at: datetime | None = None) -> None:
        """At the time that the processor named, or after a pause that grows with the age."""
        age_seconds = -_seconds_until(operation.created_at)
        wanted = age_seconds if at is None else _seconds_until(at)
        pause = min(max(wanted, LOOK_UP_PAUSE_SECONDS), LOOK_UP_PAUSE_LIMIT_SECONDS)
        await changes.look_up_again_in(self._database, operation, pause)

    async def lapse(self, payment: Payment) -> None:
        """Ends what time has ended: a deadline, a challenge or a hold. Whoever comes first wins."""
        change = step.lapse(payment, now_for(payment))
        if await changes.lapse(self._database, payment, change):
            self._on_change(payment.merchant_id)


_GIVEN_BACK: Final = (OperationKind.REFUND, OperationStatus.SUCCEEDED)
"""What alone may still fail after it had succeeded."""


def settled_before(found: store.Found) -> Outcome | None:
    """What was told, or is to be told, of an operation that is settled by now."""
    if found.key is not None and found.key.answer is not None:
        return Outcome(found.key.answer.payment, found.key.answer.operation)
    if found.payment is None or found.operation is None:
        return None
    is_pending = found.operation.status is OperationStatus.PENDING
    return None if is_pending else Outcome(found.payment, found.operation)


def now_for(payment: Payment) -> datetime:
    """The time to the millisecond, as in ids; never before the payment's last change, for the
    clocks of several servers differ."""
    now = datetime.now(UTC)
    return max(now.replace(microsecond=now.microsecond // 1000 * 1000), payment.updated_at)


def _is_unattended(operation: Operation) -> bool:
    is_charge = operation.kind in (OperationKind.AUTHORIZE, OperationKind.COMPLETE)
    return is_charge and -_seconds_until(operation.created_at) > UNATTENDED_LIMIT_SECONDS


def _seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()
