"""The use cases, each told from top to bottom as its atomic phases.

A change that needs the processor has three steps: the intent is stored (phase 1), the processor
is asked, the outcome is booked (phase 2). Nothing is ever asked inside a transaction, and what a
crash or a lost reply leaves between the phases, `recovery` finishes.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from payment_server.domain import ids, step
from payment_server.domain.card_data import refuse_card_data
from payment_server.domain.commands import ChangePayment, CreatePayment
from payment_server.domain.errors import (
    IdempotencyKeyReused,
    OutcomeUnknown,
    Overloaded,
    PaymentNotFound,
    PaymentServiceError,
    ProcessorUnreachable,
    TransactionAborted,
    Unavailable,
)
from payment_server.domain.idempotency import Replay, fingerprint
from payment_server.domain.operation import (
    UNKNOWN,
    Operation,
    OperationKind,
    OperationStatus,
    RefundStatus,
    Verdict,
)
from payment_server.domain.payment import Action, Payment
from payment_server.processors import Processor
from payment_server.store import changes
from payment_server.store import payments as store
from payment_server.store.database import Database
from payment_server.store.rows import BoundKey, Key
from payment_server.tasks import Tasks
from payment_server.turns import Turns, pause_after

log = logging.getLogger(__name__)

ROUNDS_LIMIT: Final = 10
"""How often a change is decided anew when others come first. Each round somebody wins, and a
payment rarely has that many callers at once."""

BOOKING_ROUNDS_LIMIT: Final = 40
"""More than that for a verdict: its intent is stored, so it has to be booked in the end."""

PROCESSOR_LIMIT_SECONDS: Final = 5.0
"""Longer than processors take; whoever waits at a till has given up by then."""

LOOK_UP_PAUSE_SECONDS: Final = 0.5
LOOK_UP_PAUSE_LIMIT_SECONDS: Final = 3600.0
"""A processor that has not decided is asked again after a pause as long as it has had so far:
soon where it is quick, and each hour where it takes days."""

CHANGES_LIMIT: Final = 8_192
"""Changes under way at once, those included whose callers have left: as many as calls may be."""

TWIN_WAIT_SECONDS: Final = 5.0
"""How long a repeated request waits for the first one's outcome, as long as that one may take."""

TWIN_POLL_SECONDS: Final = 0.05
TWIN_MARGIN_SECONDS: Final = 0.2  # of the caller's deadline, to bring the answer home

Command = TypeVar("Command", CreatePayment, ChangePayment)
Item = TypeVar("Item")


class Caller(msgspec.Struct, frozen=True):
    """Who asks, under which key, and for how many seconds they will wait (None: no deadline)."""

    merchant_id: str
    idempotency_key: str | None = None
    patience_seconds: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """A payment after what was done, and what was done."""

    payment: Payment
    operation: Operation | None = None
    replay: Replay = Replay.NO


class Payments:
    """The payment service, whatever wire its callers use.

    Every method raises DatabaseUnavailable and Overloaded; changes also raise StorageFull and
    OutcomeUnknown.
    """

    def __init__(
        self,
        database: Database,
        processor: Processor,
        *,
        processor_limit_seconds: float = PROCESSOR_LIMIT_SECONDS,
        on_change: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_change` hears whose payment has changed, once it is stored."""
        self._database = database
        self._processor = processor
        self._processor_limit_seconds = processor_limit_seconds
        self.lease_seconds = 2 * processor_limit_seconds
        """For how long an operation is left to who began it: the call to the processor, and as
        much again for the booking."""
        self._on_change = on_change
        self._running = Tasks()
        self._turns = Turns()

    async def create(self, caller: Caller, command: CreatePayment) -> Outcome:
        """Records a payment: one statement, which also finds the earlier one of the same key.

        Raises InvalidRequest, CardDataRejected, IdempotencyKeyReused.
        """
        payment, key = self._drafted(caller, command)
        bound = await store.create(self._database, payment, key)
        return await self._recorded(payment, key, bound)

    async def create_each(
        self, items: Sequence[Item], wish: Callable[[Item], tuple[Caller, CreatePayment]]
    ) -> list[Outcome | Exception]:
        """Records a payment for each item, all of them together, and answers in their order. `wish`
        says what an item asks for; what it raises, or `create` would, is that item's answer."""
        drafts: list[store.Draft | Exception] = []
        for item in items:
            try:
                drafts.append(self._drafted(*wish(item)))
            except PaymentServiceError as error:  # its frames would keep the whole batch alive
                drafts.append(error.with_traceback(None))
            except Exception as error:
                drafts.append(error)
        sent = [each for each in drafts if not isinstance(each, Exception)]
        found = iter(await store.create_each(self._database, sent))
        return [
            each if isinstance(each, Exception) else await self._recorded_or_not(*each, next(found))
            for each in drafts
        ]

    def _drafted(self, caller: Caller, command: CreatePayment) -> store.Draft:
        command = self._accepted(command)
        payment_id = ids.new_id()
        created_at = ids.time_of(payment_id)
        payment = Payment(
            payment_id=payment_id,
            merchant_id=caller.merchant_id,
            customer_id=command.customer_id,
            payment_method=command.payment_method,
            capture_method=command.capture_method,
            description=command.description,
            metadata=command.metadata,
            currency=command.currency.code,
            exponent=command.currency.exponent,
            amount_minor=command.amount_minor,
            created_at=created_at,
            updated_at=created_at,
            expires_at=command.expires_at,
            lapses_at=command.expires_at,
        )
        return payment, _key(caller, command)

    async def _recorded(self, payment: Payment, key: Key | None, bound: BoundKey | None) -> Outcome:
        if bound is None:
            self._on_change(payment.merchant_id)
            return Outcome(payment)
        if key is None or bound.fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        if bound.answer is not None:
            return Outcome(bound.answer.payment, replay=Replay.YES)
        earlier = await store.get(self._database, payment.merchant_id, bound.payment_id)
        if earlier is None:
            raise LookupError(f"payment {bound.payment_id} is gone")
        return Outcome(earlier, replay=Replay.RECONSTRUCTED)

    async def _recorded_or_not(
        self, payment: Payment, key: Key | None, found: BoundKey | Exception | None
    ) -> Outcome | Exception:
        if isinstance(found, Exception):
            return found
        try:
            return await self._recorded(payment, key, found)
        except Exception as error:
            return error

    async def change(self, caller: Caller, wish: ChangePayment) -> Outcome:
        """Moves a payment on: processes, authorizes, captures, cancels, refunds or completes it.

        A decline is an outcome, and so is an operation that is pending. Raises InvalidRequest,
        CardDataRejected, PaymentNotFound, IllegalStep, AmountTooLarge, IdempotencyKeyReused,
        VersionMismatch, TransactionAborted, ProcessorUnreachable.
        """
        wish = self._accepted(wish)
        if wish.action is Action.COMPLETE:
            wish = replace(wish, result=self._processor.read_result(wish.result))
        payment_id = ids.canonical(wish.payment_id)
        if payment_id is None:
            raise PaymentNotFound(wish.payment_id)
        if payment_id != wish.payment_id:
            wish = replace(wish, payment_id=payment_id)
        key = _key(caller, wish)
        if len(self._running) >= CHANGES_LIMIT:
            raise Overloaded(f"{CHANGES_LIMIT} changes are under way")
        # From here on a task of its own: a caller that goes away leaves nothing half done.
        return await self._running.result(self._change(caller, wish, key))

    async def _change(self, caller: Caller, wish: ChangePayment, key: Key | None) -> Outcome:
        """Phase 1, decided anew while others come first; then the call, and phase 2."""
        operation_id = ids.new_id()
        for round_ in range(ROUNDS_LIMIT + 1):
            try:
                begun = await self._begin(caller, wish, key, operation_id, round_)
            except TimeoutError:
                if round_:  # whose last reply may have been lost
                    raise OutcomeUnknown(repeatable=key is not None) from None
                raise Overloaded("too many changes of this payment are waiting") from None
            match begun:
                case step.Step():
                    self._on_change(caller.merchant_id)
                    return await self._carry_out(begun.payment, begun.operation)
                case store.Found(key=BoundKey() as bound) if bound.operation_id != operation_id:
                    return await self._repeat(caller, wish, begun)
                case store.Found(payment=Payment() as payment, operation=Operation() as operation):
                    # Stored by a round whose reply was lost.
                    before = _settled_before(begun)
                    return before or await self._carry_out(payment, operation)
            await pause_after(round_)
        raise TransactionAborted

    async def _begin(
        self, caller: Caller, wish: ChangePayment, key: Key | None, operation_id: str, round_: int
    ) -> step.Step | store.Found | None:
        """One round of phase 1: the step that is stored now, or what is stored already; None where
        another change came first. A round is this payment's only one in this process."""
        async with self._turns.of(caller.merchant_id, wish.payment_id):
            found = await self._find(caller, wish.payment_id, operation_id, again=round_ > 0)
            if found.key is not None or found.operation is not None:
                return found
            if found.payment is None:
                raise PaymentNotFound(wish.payment_id)
            if round_ == ROUNDS_LIMIT:
                return None
            if found.is_over:  # and the loop that ends such payments has not come by yet
                await self.lapse(found.payment)
                return None
            begun = step.begin(
                found.payment,
                wish,
                operation_id=operation_id,
                idempotency_key=caller.idempotency_key,
                now=_now_for(found.payment),
            )
            is_stored = await changes.begin(
                self._database, found.payment, begun, key, lease_seconds=self.lease_seconds
            )
            return begun if is_stored else None

    async def _carry_out(self, payment: Payment, operation: Operation) -> Outcome:
        """From the stored intent to the booked outcome.

        The intent is stored, so the operation will be finished whatever goes wrong here; until
        then it is pending, and that is what its caller is told.
        """
        if operation.status is not OperationStatus.PENDING:
            return Outcome(payment, operation)
        try:
            verdict = await self.ask(payment, operation)
            return await self.book(payment, operation, verdict)
        except ProcessorUnreachable:
            with suppress(PaymentServiceError):
                await self.look_up_later(operation)
            if operation.idempotency_key is not None:
                raise  # the same key will find the operation, and its outcome
        except PaymentServiceError as error:
            log.warning("operation %s is left pending: %s", operation.operation_id, error.reason)
        except Exception:
            log.exception("operation %s is left pending", operation.operation_id)
        return Outcome(payment, operation)

    async def ask(self, payment: Payment, operation: Operation) -> Verdict:
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

    async def book(self, payment: Payment, operation: Operation, verdict: Verdict) -> Outcome:
        """Phase 2: the outcome and the answer, on whatever version the payment has by now."""
        if verdict.status is OperationStatus.PENDING:
            await self.look_up_later(operation)
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
        settled = step.settle(payment, operation, verdict, _now_for(payment))
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
            if (outcome := _settled_before(found)) is not None:
                return outcome
            if found.payment is None or found.operation is None:
                raise LookupError(f"operation {operation.operation_id} is gone")
            return await self._settle(found.payment, operation, verdict)

    async def _repeat(self, caller: Caller, wish: ChangePayment, found: store.Found) -> Outcome:
        """The answer of an earlier request with this key, waited for while it is outstanding."""
        loop = asyncio.get_running_loop()
        patience = TWIN_WAIT_SECONDS
        if caller.patience_seconds is not None:
            patience = min(patience, caller.patience_seconds - TWIN_MARGIN_SECONDS)
        give_up_at = loop.time() + patience
        while True:
            bound = found.key
            if bound is None or bound.fingerprint != fingerprint(wish):
                raise IdempotencyKeyReused
            if bound.answer is not None:
                return Outcome(bound.answer.payment, bound.answer.operation, Replay.YES)
            if found.payment is None or found.operation is None:
                raise LookupError(f"payment {bound.payment_id} is gone")
            if found.operation.status is not OperationStatus.PENDING:
                return Outcome(found.payment, found.operation, Replay.RECONSTRUCTED)
            if loop.time() >= give_up_at:
                return Outcome(found.payment, found.operation, Replay.YES)
            await asyncio.sleep(TWIN_POLL_SECONDS)
            found = await self._find(caller, bound.payment_id, found.operation.operation_id)

    async def _find(
        self, caller: Caller, payment_id: str, operation_id: str, *, again: bool = False
    ) -> store.Found:
        """`again`: something was sent before, so nobody may be told that nothing happened."""
        try:
            return await store.find(
                self._database,
                caller.merchant_id,
                payment_id,
                key=caller.idempotency_key,
                operation_id=operation_id,
            )
        except Unavailable as error:
            if not again:
                raise
            raise OutcomeUnknown(repeatable=caller.idempotency_key is not None) from error

    def _accepted(self, command: Command) -> Command:
        """The command with a token in place of what the processor takes for one."""
        if command.payment_method:
            token = self._processor.tokenize(command.payment_method)
            if token != command.payment_method:
                command = replace(command, payment_method=token)
        refuse_card_data(command)
        return command

    async def lapse(self, payment: Payment) -> None:
        """Ends what time has ended: a deadline, a challenge or a hold. Whoever comes first wins."""
        change = step.lapse(payment, _now_for(payment))
        if await changes.lapse(self._database, payment, change):
            self._on_change(payment.merchant_id)

    async def reverse(self, operation: Operation, verdict: Verdict) -> None:
        """Takes back a refund that had succeeded and failed after all."""
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
            change = step.reverse(payment, refund, verdict, _now_for(payment))
            if await changes.reverse(self._database, payment, change, refund, verdict):
                self._on_change(payment.merchant_id)
                return
            await pause_after(round_)
        raise TransactionAborted

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        """What became of an operation at the processor; None where it never heard of it. Raises
        TimeoutError and what the processor raises."""
        async with asyncio.timeout(self._processor_limit_seconds):
            return await self._processor.look_up(payment, operation)

    async def look_up_later(self, operation: Operation, at: datetime | None = None) -> None:
        """At the time that the processor named, or after a pause that grows with the age."""
        age_seconds = -_seconds_until(operation.created_at)
        wanted = age_seconds if at is None else _seconds_until(at)
        pause = min(max(wanted, LOOK_UP_PAUSE_SECONDS), LOOK_UP_PAUSE_LIMIT_SECONDS)
        await changes.look_up_again_in(self._database, operation, pause)

    async def drain(self, limit_seconds: float) -> None:
        """Waits for the changes under way."""
        await self._running.ended(limit_seconds)

    async def close(self) -> None:
        """Stops what is still under way: it is for `resume`, in this process or the next."""
        if self._running:
            log.warning("%d changes are left as they are, to be resumed", len(self._running))
        await self._running.cancel()


_GIVEN_BACK: Final = (OperationKind.REFUND, OperationStatus.SUCCEEDED)
"""What alone may still fail after it had succeeded."""


def _settled_before(found: store.Found) -> Outcome | None:
    """What was told, or is to be told, of an operation that is settled by now."""
    if found.key is not None and found.key.answer is not None:
        return Outcome(found.key.answer.payment, found.key.answer.operation)
    if found.payment is None or found.operation is None:
        return None
    is_pending = found.operation.status is OperationStatus.PENDING
    return None if is_pending else Outcome(found.payment, found.operation)


def _now_for(payment: Payment) -> datetime:
    """The time to the millisecond, as in ids; never before the payment's last change, for the
    clocks of several servers differ."""
    now = datetime.now(UTC)
    return max(now.replace(microsecond=now.microsecond // 1000 * 1000), payment.updated_at)


def _seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


def _key(caller: Caller, command: CreatePayment | ChangePayment) -> Key | None:
    if caller.idempotency_key is None:
        return None
    return Key(caller.idempotency_key, fingerprint(command))
