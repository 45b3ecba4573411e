"""An adapter for the processor in a process of its own, and the handle that tests have on it."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from payment_server.domain.errors import InvalidRequest, ProcessorUnreachable, Violation
from payment_server.domain.operation import UNKNOWN, Operation, Verdict
from payment_server.domain.payment import Payment

START_LIMIT_SECONDS = 20.0  # a bare interpreter starts within 0.1 s; a busy machine takes its time
PROGRAM = Path(__file__).with_name("processor_process.py")


class ReplyLost(Exception):
    """The question was sent, so it may have been carried out; nobody said so."""


class ProcessorOutside:
    """A Processor behind a socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tokenize(self, payment_method: str) -> str:
        return payment_method

    def read_result(self, result: str) -> str:
        if result not in ("", "approved", "refused"):
            raise InvalidRequest([Violation("result", "must be approved, refused or empty")])
        return result or "approved"

    async def _carry_out(self, payment: Payment, operation: Operation) -> Verdict:
        try:
            verdict = await self.told("carry_out", operation)
        except ReplyLost:
            return UNKNOWN  # for a look-up to find out
        if verdict is None:
            raise ValueError("an operation that was carried out has a verdict")
        return verdict

    authorize = complete = capture = cancel = refund = _carry_out

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        try:
            return await self.told("look_up", operation)
        except ReplyLost:  # a look-up has no effect, so it is as if nobody had been asked
            raise ProcessorUnreachable("the processor went away while it was asked") from None

    async def told(self, ask: str, operation: Operation) -> Verdict | None:
        """What the processor says. Raises ProcessorUnreachable and ReplyLost."""
        line = msgspec.json.encode({"ask": ask, "operation": operation}) + b"\n"
        return msgspec.json.decode(await self.exchange(line), type=Verdict | None)

    async def exchange(self, line: bytes) -> bytes:
        """One question, and the line that answers it.

        Raises ProcessorUnreachable where nothing was sent, and ReplyLost.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError as error:
            raise ProcessorUnreachable("nobody listens") from error
        try:
            writer.write(line)
            await writer.drain()
            reply = await reader.readline()
        except OSError as error:
            raise ReplyLost from error
        finally:
            writer.transport.abort()
        if not reply.endswith(b"\n"):
            raise ReplyLost
        return reply


class Effect(msgspec.Struct, frozen=True):
    """A line of the journal: what the processor has done."""

    operation_id: str
    payment_id: str
    kind: str
    amount_minor: int
    released_minor: int
    captures: bool
    outcome: str

    @property
    def is_declined(self) -> bool:
        return self.outcome not in ("approved", "challenged", "slow", "fails later")


class Book(msgspec.Struct):
    """A payment's money as the processor has moved it, in minor units; a refund that fails later is
    in it until then and after."""

    authorized: int = 0
    captured: int = 0
    voided: int = 0
    refunded: int = 0


class OutsideProcess:
    """The process: started and killed at will, on the same journal and the same socket."""

    def __init__(self, folder: Path, settle_seconds: float) -> None:
        self._journal = folder / "journal"
        self._socket = folder / "socket"
        self._settle_seconds = settle_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self.adapter = ProcessorOutside(self._socket)

    @property
    def socket(self) -> Path:
        return self._socket

    async def start(self) -> None:
        """Returns when it answers."""
        arguments = (self._journal, self._socket, str(self._settle_seconds))
        async with self._starting, asyncio.timeout(START_LIMIT_SECONDS):
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", PROGRAM, *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert self._process.stdout is not None
            line = await self._process.stdout.readline()
        assert line == b"ready\n", "the processor's process did not start"

    async def killed(self) -> None:
        """Returns when it is dead, by a SIGKILL of ours or of its own."""
        async with self._starting:
            process = self._process
        assert process is not None
        if process.returncode is None:
            # Not the handle's own kill(), which may collect the exit code before asyncio does.
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL

    async def ended(self) -> None:
        """Waits for its death, whoever is to blame."""
        assert self._process is not None
        await self._process.wait()

    async def fail(self, payment_id: str, where: str, *, crashes: bool = False) -> None:
        """The payment's next operation fails there, once."""
        fault = {"ask": "fail", "payment_id": payment_id, "where": where, "crashes": crashes}
        await self.adapter.exchange(json.dumps(fault).encode() + b"\n")

    def effects(self, payment_id: str | None = None) -> list[Effect]:
        """What is on disk, of one payment or all, whether or not the process lives."""
        lines = self._journal.read_bytes().splitlines()
        effects = [msgspec.json.decode(line, type=Effect) for line in lines]
        return [each for each in effects if payment_id in (None, each.payment_id)]

    def book(self, payment_id: str) -> Book:
        """What these effects sum up to."""
        book = Book()
        for effect in self.effects(payment_id):
            if not effect.is_declined and effect.outcome != "challenged":
                _enter(book, effect)
        return book


def _enter(book: Book, effect: Effect) -> None:
    match effect.kind:
        case "authorize" | "complete":
            book.authorized += effect.amount_minor
            book.captured += effect.amount_minor if effect.captures else 0
        case "capture":
            book.captured += effect.amount_minor
            book.voided += effect.released_minor
        case "cancel":
            book.voided += effect.amount_minor
        case "refund":
            book.refunded += effect.amount_minor


@asynccontextmanager
async def outside_process(settle_seconds: float = 0.5) -> AsyncIterator[OutsideProcess]:
    """A process with an empty journal, which ends with the test."""
    # Not pytest's own folder: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="processor-") as folder:
        process = OutsideProcess(Path(folder), settle_seconds)
        await process.start()
        try:
            yield process
        finally:
            await process.killed()
