"""The service as a program that kills itself at a chosen place between its phases.

    python killable_server.py DATABASE_URL SOCKET GENERATION ARRIVALS

The processor is the one outside, at SOCKET. Who places the kill is the caller, by its idempotency
key (see `key_of`): a call that comes to its place stays there, deaf to time-outs and cancellations,
and with the last of ARRIVALS calls the process gets SIGKILL. So one process dies at many places at
once, and each call is exactly where it wanted to be. Calls with other keys go through, and a
server of a later GENERATION heeds the next place of the same keys. Prints its ports as JSON.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeGuard
from unittest.mock import patch

import asyncpg
import uvloop
from processor_outside import ProcessorOutside

from payment_server import app
from payment_server.domain.operation import Operation, Verdict
from payment_server.settings import read_settings
from payment_server.store.database import Database
from payment_server.store.statement import Statement, Wish

PROCESSOR_LIMIT_MS = 1_000
"""A lease is twice as long. Short, since tests wait for leases to end; long enough for all calls
to come to their places before anybody takes their operations over."""

_PREFIX = "kill at "


class Place(StrEnum):
    """Where a call is when the process dies."""

    BEFORE_INTENT = "intent-not-sent"
    AFTER_INTENT = "intent-stored"
    BEFORE_PROCESSOR = "processor-not-called"
    AFTER_EFFECT = "reply-not-read"
    BEFORE_BOOKING = "outcome-not-sent"
    AFTER_BOOKING = "outcome-stored"


def key_of(name: str, *places: Place) -> str:
    """A key whose call is stopped at the first place by a server of the first generation, at the
    second one by the next, and so on."""
    return f"{_PREFIX}{','.join(places)}:{name}"


class Switch:
    """Stops calls at their places, and the process when enough have come."""

    def __init__(self, generation: int, arrivals: int) -> None:
        self._generation = generation
        self._missing = arrivals
        self.is_up = asyncio.Event()

    async def reached(self, place: Place, key: str | None) -> None:
        if key is None or not key.startswith(_PREFIX):
            return
        places = key.removeprefix(_PREFIX).partition(":")[0].split(",")
        if places[self._generation : self._generation + 1] != [place]:
            return
        self._missing -= 1
        if self._missing == 0:
            await self.is_up.wait()  # a recovery may come here before anybody knows the ports
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


class KillableProcessor(ProcessorOutside):
    """Stops before an operation is sent, and when the reply has come; a look-up goes through."""

    def __init__(self, socket: Path, switch: Switch) -> None:
        super().__init__(socket)
        self._switch = switch

    async def told(self, ask: str, operation: Operation) -> Verdict | None:
        key = operation.idempotency_key if ask == "carry_out" else None
        await self._switch.reached(Place.BEFORE_PROCESSOR, key)
        verdict = await super().told(ask, operation)
        await self._switch.reached(Place.AFTER_EFFECT, key)
        return verdict


def killable(switch: Switch) -> type[Database]:
    """A Database that stops before a phase's statement is sent, and once it has been committed."""

    class KillableDatabase(Database):
        async def gather(
            self,
            statement: Statement,
            *row: object,
            subject: str | None = None,
            repeatable: bool = True,
        ) -> asyncpg.Record | None:
            if not statement.writes:
                return await super().gather(statement, *row, subject=subject)
            key = next((each for each in row if is_key(each)), None)
            before, after = places_of(statement.sql)
            await switch.reached(before, key)
            answer = await super().gather(statement, *row, subject=subject, repeatable=repeatable)
            await switch.reached(after, key)
            return answer

        async def gather_each(
            self, statement: Statement, wishes: Sequence[Wish]
        ) -> list[asyncpg.Record | Exception | None]:
            """Each goes alone, so that it may be stopped alone."""
            return await asyncio.gather(
                *(
                    self.gather(
                        statement, *each.row, subject=each.subject, repeatable=each.repeatable
                    )
                    for each in wishes
                )
            )

    return KillableDatabase


def is_key(argument: object) -> TypeGuard[str]:
    return isinstance(argument, str) and argument.startswith(_PREFIX)


def places_of(sql: str) -> tuple[Place, Place]:
    """Before and after a statement with a key: it stores an intent, or books an outcome."""
    if "INSERT INTO idempotency" in sql:
        return Place.BEFORE_INTENT, Place.AFTER_INTENT
    return Place.BEFORE_BOOKING, Place.AFTER_BOOKING


def end_with_parent() -> None:
    """Ends the process when whoever started it is gone, and its end of our stdin with it."""
    sys.stdin.buffer.read()
    os._exit(0)


async def main(database_url: str, socket: str, generation: str, arrivals: str) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    switch = Switch(int(generation), int(arrivals))
    settings = read_settings(
        {
            "DATABASE_URL": database_url,
            "PAYMENT_PROCESSOR_TIMEOUT_MS": str(PROCESSOR_LIMIT_MS),
            "PAYMENT_GRPC_PORT": "0",
            "PAYMENT_GRPC_TRANSPORT": os.environ.get("TEST_GRPC_TRANSPORT", "auto"),
            "PAYMENT_HTTP_PORT": "0",
        }
    )
    plan = app.Plan(settings=settings, embedded=False, migrate=False, grace_seconds=0)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = app.Databases(database_url, database_url, never)
    processor = KillableProcessor(Path(socket), switch)
    with patch.object(app, "Database", killable(switch)):
        async with app.serving(plan, databases, processor) as address:
            ports = {"grpc_port": address.grpc_port, "http_port": address.http_port}
            sys.stdout.write(json.dumps(ports) + "\n")
            sys.stdout.flush()
            switch.is_up.set()
            await never


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
