"""kill -9 of server and processor at any time, under callers that insist: each is told of effects
that the processor's journal has, and the journal has no others."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import grpc
import killed_calls
import pytest
from auditing import differences_in
from killed_calls import (
    LIMIT_SECONDS,
    PENDING,
    Killable,
    amounts_of,
    check_events,
    check_verdict,
    kill,
    killable_server,
    recovered,
)
from processor_outside import OutsideProcess, ReplyLost, outside_process
from service_under_test import SCALE, Servers, Start, until

from payment.v1 import payment_pb2 as pb
from payment_server.domain.errors import ProcessorUnreachable
from payment_server.store.database import Database

CALLERS = 6
KILLS = 3 * SCALE
STEPS_LIMIT = 5
RETRY_PAUSE_SECONDS = 0.05
TOKENS = (
    *("card", "card", "card", "decline:insufficient_funds"),
    *("card_3ds", "card_capture_fails", "card_refund_pending"),
)
METHODS = (pb.CAPTURE_METHOD_MANUAL, pb.CAPTURE_METHOD_AUTOMATIC)
FAULTS = ("before", "during", "after", "silence")
FAULTY_SHARE = 0.3
CRASHING_SHARE = 0.3
ALIVE_SECONDS = (0.1, 1.0)  # so a server dies with anything from a few calls to hundreds behind it


class Away(Exception):
    """No answer yet: there is no server, it died, or it does not know the outcome."""


class World:
    """A server and a processor that die now and then, and what callers were told."""

    def __init__(self, outside: OutsideProcess) -> None:
        self.outside = outside
        self.server: Killable | None = None
        self.neighbours: Servers | None = None
        self.told: dict[str, list[pb.Operation]] = {}
        """By payment, those that the processor was asked for."""
        self._at_risk = 0  # calls at the server

    async def insist(self, ask: Callable[[Servers], Awaitable[Any]]) -> Any:
        """The answer, sooner or later, to one question put to whatever server there is."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                with suppress(Away):
                    return await self._answer(ask)
                await asyncio.sleep(RETRY_PAUSE_SECONDS)

    async def _answer(self, ask: Callable[[Servers], Awaitable[Any]]) -> Any:
        killable = None if self.server is None else self.server.servers
        there = [each for each in (killable, self.neighbours) if each is not None]
        if not there:
            raise Away
        servers = random.choice(there)
        self._at_risk += servers is killable
        try:
            return await ask(servers)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Away from None
            raise
        finally:
            self._at_risk -= servers is killable

    async def lose_server(self) -> None:
        """Kills it, and returns when everybody has noticed."""
        assert self.server is not None
        process, self.server = self.server.process, None
        await kill(process)

        async def all_have_noticed() -> bool:
            return not self._at_risk

        await until(all_have_noticed)

    async def keep_processor(self) -> None:
        """Brings the processor back whenever it has died."""
        while True:
            await self.outside.ended()
            await self.outside.start()


class Caller:
    """Leads payments through random lives, and repeats each call until its outcome is known."""

    def __init__(self, world: World, name: str, dice: random.Random) -> None:
        self._world = world
        self._name = name
        self._dice = dice
        self._calls = 0

    async def lead_lives(self, are_over: asyncio.Event) -> None:
        while not are_over.is_set():
            payment = await self._create()
            for _ in range(self._dice.randint(1, STEPS_LIMIT)):
                if payment.allowed_actions:
                    await self._maybe_fault(payment)
                    payment = await self._move(payment)

    async def _create(self) -> pb.Payment:
        fields = {
            "payment_method": self._dice.choice(TOKENS),
            "capture_method": self._dice.choice(METHODS),
            "idempotency_key": self._next_key(),
        }
        payment: pb.Payment = await self._world.insist(lambda servers: servers.created(**fields))
        self._world.told[payment.payment_id] = []
        return payment

    async def _move(self, payment: pb.Payment) -> pb.Payment:
        action = self._dice.choice(payment.allowed_actions)
        fields: dict[str, Any] = {"idempotency_key": self._next_key()}
        if action in ("capture", "refund"):
            left = payment.amount_capturable if action == "capture" else payment.amount_refundable
            fields["amount"] = f"{self._dice.randint(1, int(Decimal(left)))}.00"

        async def moved(servers: Servers) -> Any:
            answer = await servers.ask(payment.payment_id, action, **fields)
            if answer.operation.status == PENDING:
                raise Away
            return answer

        answer = await self._world.insist(moved)
        if Decimal(answer.operation.amount):  # a cancel without a hold is no matter of processors
            self._world.told[payment.payment_id].append(answer.operation)
        after: pb.Payment = answer.payment
        return after

    async def _maybe_fault(self, payment: pb.Payment) -> None:
        if self._dice.random() < FAULTY_SHARE:
            where, crashes = self._dice.choice(FAULTS), self._dice.random() < CRASHING_SHARE
            with suppress(ProcessorUnreachable, ReplyLost):
                await self._world.outside.fail(payment.payment_id, where, crashes=crashes)

    def _next_key(self) -> str:
        self._calls += 1
        return f"{self._name}-{self._calls}"


@pytest.fixture(autouse=True)
async def everything_adds_up(database_url: str) -> AsyncIterator[None]:
    yield
    assert await differences_in(database_url) == {}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with outside_process() as outside:
        found = World(outside)
        keeping = asyncio.create_task(found.keep_processor())
        yield found
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@pytest.fixture
async def neighbours(database_url: str, world: World) -> AsyncIterator[Servers | None]:
    async with killed_calls.neighbours(database_url, world.outside) as found:
        yield found


async def check(world: World, servers: Servers, payment_id: str) -> None:
    """The payment, its events, what was told of it and the journal agree."""
    effects = world.outside.effects(payment_id)
    told = world.told[payment_id]
    assert [each.operation_id for each in effects] == [each.operation_id for each in told]
    for operation in told:
        check_verdict(operation, effects)
    request = pb.GetPaymentRequest(payment_id=payment_id)
    payment = (await servers.stub.GetPayment(request)).payment
    assert amounts_of(payment) == world.outside.book(payment_id)
    await check_events(servers, payment)


@pytest.mark.scaled
async def test_whoever_insists_is_told_of_effects_that_are_there_once(
    database_url: str, database: Database, world: World, neighbours: Servers | None
) -> None:
    dice = random.Random(random.getrandbits(64))
    are_over = asyncio.Event()
    world.neighbours = neighbours
    callers = [Caller(world, f"caller-{n}", random.Random(dice.random())) for n in range(CALLERS)]
    lives = [asyncio.create_task(each.lead_lives(are_over)) for each in callers]
    for _ in range(KILLS):
        async with killable_server(database_url, world.outside) as world.server:
            await asyncio.sleep(dice.uniform(*ALIVE_SECONDS))
            if dice.random() < CRASHING_SHARE:
                await world.outside.killed()
            await world.lose_server()
    are_over.set()
    async with killable_server(database_url, world.outside) as world.server:
        await asyncio.gather(*lives)
        await recovered(database)
        assert len(world.told) > CALLERS
        for payment_id in world.told:
            await check(world, world.server.servers, payment_id)


async def test_a_processor_that_dies_under_many_calls_has_done_each_once(
    start: Start, database: Database, world: World
) -> None:
    async with start(world.outside.adapter, PAYMENT_PROCESSOR_TIMEOUT_MS="300") as servers:
        ids = [(await servers.created()).payment_id for _ in range(20)]
        await world.outside.fail(ids[7], "during", crashes=True)
        calls = [servers.process(each, idempotency_key=each) for each in ids]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, grpc.aio.AioRpcError):
                assert answer.code() is grpc.StatusCode.UNAVAILABLE
        await recovered(database)
        for payment_id in ids:
            answer = await servers.process(payment_id, idempotency_key=payment_id)
            assert answer.status == "captured"
            [effect] = world.outside.effects(payment_id)
            assert answer.operation.operation_id == effect.operation_id
