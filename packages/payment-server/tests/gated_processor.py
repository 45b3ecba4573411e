"""A processor that a test can stop before or after an effect."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from payment_server.domain.errors import ProcessorUnreachable
from payment_server.domain.operation import APPROVED, Operation, Verdict
from payment_server.domain.payment import Payment

QUICK = {"PAYMENT_PROCESSOR_TIMEOUT_MS": "300"}
"""A processor's limit, and a lease of twice that, which a test can wait for."""


class Gated:
    """The same operation has one effect, which the journal keeps."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.journal: dict[str, Verdict] = {}
        self.before: Callable[[], Awaitable[object]] | None = None
        self.after: Callable[[], Awaitable[object]] | None = None
        self.is_away = False
        self.verdict = APPROVED
        self.looked_up: Counter[str] = Counter()

    def tokenize(self, payment_method: str) -> str:
        return payment_method

    def read_result(self, result: str) -> str:
        return result

    async def _effect(self, payment: Payment, operation: Operation) -> Verdict:
        if self.is_away:
            raise ProcessorUnreachable("the processor is away")
        self.asked[operation.operation_id] += 1
        if self.before is not None:
            await self.before()
        self.journal.setdefault(operation.operation_id, self.verdict)
        if self.after is not None:
            await self.after()
        return self.journal[operation.operation_id]

    authorize = complete = capture = cancel = refund = _effect

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        if self.is_away:
            raise ProcessorUnreachable("the processor is away")
        self.looked_up[operation.operation_id] += 1
        return self.journal.get(operation.operation_id)


async def never() -> None:
    await asyncio.Event().wait()
