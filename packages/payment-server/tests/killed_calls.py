"""Calls that are killed, the server that is killed with them, and what must be true of both after.

The server is killable_server.py in a process of its own; the processor is another one, whose
journal counts the effects.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from killable_server import PROCESSOR_LIMIT_MS, Place
from processor_outside import Book, Effect, OutsideProcess
from service_under_test import WORKERS, Servers, clients_of, running, until

from payment.v1 import payment_pb2 as pb
from payment_server.app import Address
from payment_server.store.database import Database

PROGRAM = Path(__file__).with_name("killable_server.py")
LIMIT_SECONDS = 30.0  # ten times what a start, or the way to all places, takes
ONE_PHASE = (Place.BEFORE_INTENT, Place.AFTER_INTENT)
PENDING = pb.OPERATION_STATUS_PENDING

Fields: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A call to be killed: its action with its fields, on a payment created with fields of its own
    that other calls have brought there."""

    name: str
    action: str
    fields: Fields = field(default_factory=dict)
    created: Fields = field(default_factory=dict)
    before: tuple[tuple[str, Fields], ...] = ()
    places: tuple[Place, ...] = tuple(Place)

    @property
    def asks_processor(self) -> bool:
        return self.places is not ONE_PHASE


MANUAL = {"capture_method": pb.CAPTURE_METHOD_MANUAL}
PROCESSED: tuple[tuple[str, Fields], ...] = (("process", {}),)

CASES = (
    Case("authorization", "process", created=MANUAL),
    Case("authorization with capture", "process"),
    Case("declined", "process", created={"payment_method": "decline:insufficient_funds"}),
    Case("challenge", "process", created={"payment_method": "card_3ds"}),
    Case("completion", "complete", created={"payment_method": "card_3ds"}, before=PROCESSED),
    Case(
        "completion of a hold",
        "complete",
        created={"payment_method": "card_3ds", **MANUAL},
        before=PROCESSED,
    ),
    Case(
        "refused completion",
        "complete",
        {"result": "refused"},
        created={"payment_method": "card_3ds"},
        before=PROCESSED,
    ),
    Case("part captured", "capture", {"amount": "4.00"}, created=MANUAL, before=PROCESSED),
    Case(
        "final capture",
        "capture",
        {"amount": "4.00", "final": True},
        created=MANUAL,
        before=PROCESSED,
    ),
    Case(
        "failed capture",
        "capture",
        created={"payment_method": "card_capture_fails", **MANUAL},
        before=PROCESSED,
    ),
    Case("canceled hold", "cancel", created=MANUAL, before=PROCESSED),
    Case(
        "canceled rest",
        "cancel",
        created=MANUAL,
        before=(*PROCESSED, ("capture", {"amount": "4.00"})),
    ),
    Case("refund", "refund", {"amount": "3.00"}, before=PROCESSED),
    Case("canceled without a hold", "cancel", places=ONE_PHASE),
    Case("creation", "create", places=ONE_PHASE),
)


@dataclass(frozen=True)
class Call:
    """A case's call, with its key; a creation has no payment yet."""

    case: Case
    key: str
    payment_id: str = ""

    async def answer(self, servers: Servers) -> Any:
        """The answer, once the outcome is known: an outstanding one is asked for again."""
        if self.case.action == "create":
            request = pb.CreatePaymentRequest(
                amount="10.00", customer_id=self.key, idempotency_key=self.key
            )
            return await servers.stub.CreatePayment(request)
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                answer = await servers.ask(
                    self.payment_id, self.case.action, idempotency_key=self.key, **self.case.fields
                )
                if answer.operation.status != PENDING:
                    return answer


async def prepared(servers: Servers, case: Case, key: str) -> Call:
    """The call, on a payment for which it is the next one."""
    if case.action == "create":
        return Call(case, key)
    payment_id = (await servers.created(**case.created)).payment_id
    for action, fields in case.before:
        await servers.ask(payment_id, action, **fields)
    return Call(case, key, payment_id)


# What is true of a call, whatever was killed.


async def state_of(database: Database, outside: OutsideProcess, call: Call) -> tuple[str, int]:
    """How far the service has come with the call, and how many effects it has had."""
    rows = await database.read(
        "SELECT o.status FROM idempotency AS k LEFT JOIN operations AS o"
        " USING (merchant_id, operation_id) WHERE k.idempotency_key = $1",
        call.key,
    )
    effects = len(outside.effects(call.payment_id)) - len(call.case.before)
    if not rows:
        return "nothing", effects
    return "pending" if rows[0][0] == "pending" else "done", effects


def state_at(place: Place, case: Case) -> tuple[str, int]:
    """What `state_of` must be for a call that was killed there."""
    match place:
        case Place.BEFORE_INTENT:
            return "nothing", 0
        case Place.AFTER_INTENT if not case.asks_processor:
            return "done", 0
        case Place.AFTER_INTENT | Place.BEFORE_PROCESSOR:
            return "pending", 0
        case Place.AFTER_EFFECT | Place.BEFORE_BOOKING:
            return "pending", 1
        case Place.AFTER_BOOKING:
            return "done", 1


async def recovered(database: Database) -> None:
    """Waits until no operation is pending any more."""

    async def nothing_is_pending() -> bool:
        rows = await database.read("SELECT 1 FROM operations WHERE status = 'pending' LIMIT 1")
        return not rows

    await until(nothing_is_pending)


async def check_answer(servers: Servers, outside: OutsideProcess, call: Call) -> None:
    """The same key is told of the one effect that there is; the journal, the payment's amounts and
    its events agree with it."""
    answer = await call.answer(servers)
    payment = answer.payment
    effects = outside.effects(payment.payment_id)
    assert len(effects) == len(call.case.before) + call.case.asks_processor, call.key
    if call.case.asks_processor:
        check_verdict(answer.operation, effects)
    assert amounts_of(payment) == outside.book(payment.payment_id), call.key
    assert await call.answer(servers) == answer
    await check_events(servers, payment)


def check_verdict(operation: pb.Operation, effects: Sequence[Effect]) -> None:
    """The operation has one effect, and its outcome is the one that was told."""
    [effect] = [each for each in effects if each.operation_id == operation.operation_id]
    if effect.is_declined:
        assert operation.status == pb.OPERATION_STATUS_FAILED
        assert operation.decline.code == effect.outcome
    elif effect.outcome == "challenged":
        assert operation.status == pb.OPERATION_STATUS_REQUIRES_ACTION
    else:
        assert operation.status == pb.OPERATION_STATUS_SUCCEEDED


async def check_events(servers: Servers, payment: pb.Payment) -> None:
    """The payment is as it was told, and its events are without a gap up to that."""
    payment_id = payment.payment_id
    now = await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))
    assert now.payment == payment
    request = pb.ListPaymentEventsRequest(payment_id=payment_id, page_size=1000)
    events = (await servers.stub.ListPaymentEvents(request)).events
    assert [each.version for each in events] == list(range(1, payment.version + 1))
    assert events[-1].payment == payment


def amounts_of(payment: pb.Payment) -> Book:
    """In minor units of a currency with two decimals."""
    texts = (
        *(payment.amount_authorized, payment.amount_captured),
        *(payment.amount_voided, payment.amount_refunded),
    )
    return Book(*(int(Decimal(text) * 100) for text in texts))


@asynccontextmanager
async def neighbours(database_url: str, outside: OutsideProcess) -> AsyncIterator[Servers | None]:
    """Further servers on the database, whom nobody kills; none where one is to be alone."""
    if WORKERS == 1:
        yield None
        return
    quick = {"PAYMENT_PROCESSOR_TIMEOUT_MS": str(PROCESSOR_LIMIT_MS)}
    async with running(database_url, quick, outside.adapter) as servers:
        yield servers


@dataclass(frozen=True)
class Killable:
    """A server in a process of its own, and clients of it."""

    process: asyncio.subprocess.Process
    servers: Servers

    async def died(self) -> None:
        """Returns when it has killed itself."""
        async with asyncio.timeout(LIMIT_SECONDS):
            assert await self.process.wait() == -signal.SIGKILL


async def kill(process: asyncio.subprocess.Process) -> None:
    """Returns when it is dead, if it was not before."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await process.wait()


@asynccontextmanager
async def killable_server(
    database_url: str, outside: OutsideProcess, *, generation: int = 0, arrivals: int = 0
) -> AsyncIterator[Killable]:
    """A server that dies when `arrivals` calls are at their places, or at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, PROGRAM, database_url, outside.socket),
        *(str(generation), str(arrivals)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            ports = json.loads(await process.stdout.readline())
        async with clients_of(Address(**ports)) as servers:
            yield Killable(process, servers)
    finally:
        await kill(process)
