"""The benches on which every processor's adapter is tested: what is behind it, and how it can fail.

A new adapter gets a bench in BENCHES, and in IMPOSSIBLE a reason for each failure it cannot have.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from processor_outside import Book, OutsideProcess, outside_process

from payment_server.domain import ids
from payment_server.domain.operation import Operation, OperationKind, Verdict
from payment_server.domain.payment import Payment
from payment_server.processors import Processor
from payment_server.processors.sandbox import Sandbox

SETTLE_SECONDS = 0.8  # long enough to be asked within, short enough to be waited for
CARD = "card"


class Failure(StrEnum):
    """Where an operation can go wrong on its way to the processor and back."""

    REFUSED = "nobody listens"
    CUT_BEFORE = "the connection is cut before the effect"
    CRASH_BEFORE = "the processor dies before the effect"
    CUT_DURING = "the connection is cut after the effect, before the reply"
    CRASH_DURING = "the processor dies after the effect, before the reply"
    CRASH_AFTER = "the processor dies after the reply"
    SILENCE = "the effect is there, and no reply comes"


HAS_NO_EFFECT = {Failure.REFUSED, Failure.CUT_BEFORE, Failure.CRASH_BEFORE}
ENDS_THE_PROCESS = {
    *(Failure.REFUSED, Failure.CRASH_BEFORE, Failure.CRASH_DURING, Failure.CRASH_AFTER),
}

WHERE = {
    Failure.CUT_BEFORE: "before",
    Failure.CRASH_BEFORE: "before",
    Failure.CUT_DURING: "during",
    Failure.CRASH_DURING: "during",
    Failure.CRASH_AFTER: "after",
    Failure.SILENCE: "silence",
}
"""The failures in the words of the processor outside."""

IN_PROCESS = "it is a function of this process: called, it returns, or the process is gone with it"
IMPOSSIBLE: dict[str, dict[Failure, str]] = {
    "sandbox": {
        Failure.REFUSED: IN_PROCESS,
        Failure.CUT_BEFORE: IN_PROCESS,
        Failure.CRASH_BEFORE: IN_PROCESS,
        Failure.CUT_DURING: IN_PROCESS,
        Failure.CRASH_DURING: IN_PROCESS,
        Failure.CRASH_AFTER: IN_PROCESS,
        Failure.SILENCE: "it is silent at card_timeout alone, which has its own test",
    },
    "outside": {},
}
"""Why an adapter cannot fail in this way."""


@dataclass(frozen=True)
class Bench:
    """An adapter, and what can be seen and done behind it.

    `outside`: the process behind it; None for the sandbox, which moves no money and remembers
    nothing: its effect is what it says, so there is nothing else to count or to add up.
    """

    processor: Processor
    outside: OutsideProcess | None = None

    async def ask(self, payment: Payment, operation: Operation) -> Verdict:
        verdict: Verdict = await getattr(self.processor, operation.kind)(payment, operation)
        return verdict

    async def found(self, payment: Payment, operation: Operation) -> Verdict:
        """What the service learns that comes back to an operation: by a look-up, or else by asking
        again."""
        verdict = await self.processor.look_up(payment, operation)
        return await self.ask(payment, operation) if verdict is None else verdict

    async def fail(self, payment: Payment, failure: Failure) -> None:
        """The payment's next operation fails in this way."""
        assert self.outside is not None, "IMPOSSIBLE says that it cannot"
        if failure is Failure.REFUSED:
            await self.outside.killed()
        else:
            where = WHERE[failure]
            crashes = failure in ENDS_THE_PROCESS
            await self.outside.fail(payment.payment_id, where, crashes=crashes)

    async def restarted(self) -> None:
        """The processor is killed where it still lives, and comes back; what is a function of this
        process cannot be."""
        if self.outside is not None:
            await self.outside.killed()
            await self.outside.start()

    def count_effects(self, operation: Operation, expected: int = 1) -> None:
        if self.outside is not None:
            effects = self.outside.effects(operation.payment_id)
            assert [each.operation_id for each in effects].count(operation.operation_id) == expected

    def add_up(self, payment: Payment, expected: Book) -> None:
        if self.outside is not None:
            assert self.outside.book(payment.payment_id) == expected


@asynccontextmanager
async def sandbox_bench() -> AsyncIterator[Bench]:
    yield Bench(Sandbox(settle_seconds=SETTLE_SECONDS))


@asynccontextmanager
async def outside_bench() -> AsyncIterator[Bench]:
    async with outside_process(SETTLE_SECONDS) as outside:
        yield Bench(outside.adapter, outside)


BENCHES: dict[str, Callable[[], AbstractAsyncContextManager[Bench]]] = {
    "sandbox": sandbox_bench,
    "outside": outside_bench,
}


def an_operation(
    payment: Payment, kind: OperationKind, token: str = CARD, amount_minor: int = 1000
) -> Operation:
    return Operation(
        operation_id=ids.new_id(),
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=kind,
        amount_minor=amount_minor,
        payment_method=token,
        created_at=datetime.now(UTC),
    )
