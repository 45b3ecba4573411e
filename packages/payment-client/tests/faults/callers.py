"""Callers with either client, who lead one payment after the other through its life."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random, getrandbits
from typing import Any, Final

from faults.lives import (
    AMOUNT,
    LIVES,
    Change,
    Client,
    Life,
    Outcome,
    Step,
    ValueT,
    either,
    events_of,
)

from payment_client import (
    AsyncPaymentClient,
    NewPayment,
    OutcomeUnknown,
    Payment,
    PaymentClient,
    PaymentError,
)

BATCH: Final = 3
BATCH_SHARE: Final = 0.1
READS_SHARE: Final = 0.25
WITHOUT_END: Final = 10**9
"""Calls: until it is told to stop."""


class Caller:
    """Makes calls, in as many lives as that takes."""

    def __init__(
        self, client: Client, name: str, dice: Random, calls: int, pace_seconds: float = 0.0
    ) -> None:
        self._client = client
        self._name = name
        self._dice = dice
        self._calls_left = calls
        self._pace_seconds = pace_seconds
        self._keys = 0
        self.calls = 0
        self.lives: list[Life] = []
        self.failures: list[PaymentError] = []
        """Of all calls, in whatever way they failed, but for those that were to be refused; where
        an attempt was lost, they end in doubt."""

    async def run(self) -> None:
        """Also in a thread of its own, with a loop of its own, where the client is blocking."""
        while self._calls_left > 0:
            created, steps = self._dice.choice(LIVES)
            count = BATCH if self._dice.random() < BATCH_SHARE else 1
            for life in await self._create(count, created):
                self.lives.append(life)
                await self._lead(life, steps)

    @property
    def is_blocking(self) -> bool:
        return isinstance(self._client, PaymentClient)

    def stop(self) -> None:
        """Lets it end after the call that it makes."""
        self._calls_left = 0

    async def _create(self, count: int, arguments: Mapping[str, Any]) -> list[Life]:
        changes = [self._creation(arguments) for _ in range(count)]
        created = self._created_at_once(changes) if count > 1 else self._created(changes[0])
        lives = [Life() for _ in changes]
        outcomes = await self._outcome(created)
        if isinstance(outcomes, PaymentError):
            outcomes = [outcomes] * count
        for life, change, outcome in zip(lives, changes, outcomes, strict=True):
            life.tell(change, outcome)
        return lives

    async def _created(self, change: Change) -> list[Outcome]:
        return [await change.ask(self._client)]

    async def _created_at_once(self, changes: list[Change]) -> list[Outcome]:
        payments = [NewPayment(**each.arguments, idempotency_key=each.key) for each in changes]
        created = await either(self._client.payments.create_many(payments))
        return list(created.results)

    def _creation(self, arguments: Mapping[str, Any]) -> Change:
        key = self._next_key()
        every = {"amount": AMOUNT, "customer_id": "cust123", "metadata": {"key": key}}
        return Change(key, Step("create", events=1), every | dict(arguments))

    async def _lead(self, life: Life, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if life.payment is None or not life.goes_on or self._calls_left <= 0:
                return
            if self._dice.random() < READS_SHARE:
                await self._outcome(self._read(life.payment))
            arguments = {"payment_id": life.payment.payment_id, **step.arguments}
            change = Change(self._next_key(), step, arguments)
            life.tell(change, await self._outcome(change.ask(self._client), step))

    async def _read(self, payment: Payment) -> None:
        """Whoever was told of a change sees it."""
        if self._dice.random() < 0.5:
            assert await either(self._client.payments.get(payment.payment_id)) == payment
        else:
            events = await events_of(self._client, payment.payment_id)
            assert [each.version for each in events] == list(range(1, payment.version + 1))

    async def _outcome(
        self, call: Coroutine[Any, Any, ValueT], step: Step | None = None
    ) -> ValueT | PaymentError:
        await asyncio.sleep(self._pace_seconds)
        self.calls += 1
        self._calls_left -= 1
        try:
            return await call
        except PaymentError as error:
            refusal = None if step is None else step.refusal
            if refusal is None or not isinstance(error, (refusal, OutcomeUnknown)):
                self.failures.append(error)
            return error

    def _next_key(self) -> str:
        self._keys += 1
        return f"{self._name}-{self._keys}"


@asynccontextmanager
async def clients(targets: Iterable[str], **settings: Any) -> AsyncIterator[list[Client]]:
    """A client of each target, of either kind in turn."""
    made: list[Client] = []
    async with AsyncExitStack() as stack:
        for number, target in enumerate(targets):
            if number % 2:
                made.append(await stack.enter_async_context(AsyncPaymentClient(target, **settings)))
            else:
                made.append(stack.enter_context(PaymentClient(target, **settings)))
        yield made


def callers_of(
    clients: Sequence[Client], *, each: int, calls: int = WITHOUT_END, pace_seconds: float = 0.0
) -> list[Caller]:
    """So many for each client, whose connection they share; `calls` is what all make together."""
    calls_of_one = -(-calls // (each * len(clients)))
    return [
        Caller(client, f"{number}-{index}", Random(getrandbits(64)), calls_of_one, pace_seconds)
        for number, client in enumerate(clients)
        for index in range(each)
    ]


async def run(callers: Sequence[Caller]) -> None:
    """All at once, to their end."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(callers)) as threads:
        running = [
            loop.run_in_executor(threads, asyncio.run, each.run())
            if each.is_blocking
            else asyncio.ensure_future(each.run())
            for each in callers
        ]
        await asyncio.gather(*running)
