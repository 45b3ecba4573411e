"""The real payment service for the tests, a server of foreign make, and the two clients as one."""

import asyncio
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Semaphore
from typing import Any, TypeAlias, TypeVar

import grpc
import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    AsyncPaymentClient,
    AsyncPaymentWatcher,
    CreatedPayments,
    Health,
    NewPayment,
    Page,
    Payment,
    PaymentClient,
    PaymentWatcher,
    ProcessedPayment,
    Refund,
    RefundedPayment,
)
from payment_client import Event as PaymentEvent

REPOSITORY = Path(__file__).resolve().parents[3]
START_LIMIT_SECONDS = 60
"""A cold PostgreSQL on a busy machine of two cores takes a tenth of it."""
STOP_LIMIT_SECONDS = 15
POLL_SECONDS = 0.05

# PR_SET_PDEATHSIG (1) with SIGTERM (15): the server stops even when the test run is killed. It
# outlives exec, and needs no code between fork and exec, where gRPC's threads make any unsafe.
DIE_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test run is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""

ValueT = TypeVar("ValueT")


QUICK = {
    "PAYMENT_SANDBOX_SETTLE_MS": "200",
    # Above what a busy machine needs for an answer that costs nothing; below anybody's patience.
    "PAYMENT_PROCESSOR_TIMEOUT_MS": "1500",
}
"""Settings of the service with which nothing takes long."""


class ServiceProcess:
    """A payment-server that runs the sandbox; it may be ended and started on the same data."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ready, self._log = folder / "ready.json", folder / "log"
        self._arguments = ["dev", "--http-port=0", f"--ready-file={self._ready}", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.target = ""

    def start(self) -> None:
        command = os.environ.get(
            "PAYMENT_SERVER_COMMAND", str(REPOSITORY / ".envs/payment-server/bin/payment-server")
        )
        prefix = (sys.executable, "-c", DIE_WITH_PARENT, str(os.getpid()))
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, command, *self._arguments],
                env=_neutral_environment() | QUICK,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.target = f"127.0.0.1:{self._port_when_ready(self._process)}"

    def end(self, number: int = signal.SIGTERM) -> None:
        """Sends it the signal, and returns when it is gone. May be repeated."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _port_when_ready(self, process: subprocess.Popen[bytes]) -> int:
        give_up = time.monotonic() + START_LIMIT_SECONDS
        while not self._ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(
                    f"payment-server did not start:\n{self._log.read_text(errors='replace')}"
                )
            time.sleep(POLL_SECONDS)
        return int(json.loads(self._ready.read_text())["grpc_port"])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The target of a payment-server that runs the sandbox; one per worker, data by merchant."""
    process = ServiceProcess(
        tmp_path_factory.mktemp("payment-server"), "--ephemeral", "--grpc-port=0"
    )
    try:
        process.start()
        yield process.target
    finally:
        process.end()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A running payment-server of the test's own, which it may end and start again.

    Its port stays the same: it is none of those that the system gives to whoever asks for any.
    """
    port = next(port for port in range(20_000 + os.getpid() % 10_000, 32_000) if _is_free(port))
    process = ServiceProcess(tmp_path, f"--data-dir={tmp_path / 'data'}", f"--grpc-port={port}")
    try:
        process.start()
        yield process
    finally:
        process.end()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _neutral_environment() -> dict[str, str]:
    leading = re.compile(r"PAYMENT_|DATABASE_URL|REDIS_URL|PYTHON(PATH|HOME)")
    return {name: value for name, value in os.environ.items() if not leading.match(name)}


@dataclass
class TwinWatcher:
    """Either watcher, driven in one way; the blocking one in a thread, as it may wait for long."""

    watcher: PaymentWatcher | AsyncPaymentWatcher

    @property
    def cursor(self) -> str:
        return self.watcher.cursor

    async def begin(self) -> "TwinWatcher":
        """Enters it as a context manager would."""
        if isinstance(self.watcher, PaymentWatcher):
            await asyncio.to_thread(self.watcher.__enter__)
        else:
            await self.watcher.__aenter__()
        return self

    async def next(self) -> PaymentEvent | None:
        """The next event; None at the end."""
        if isinstance(self.watcher, PaymentWatcher):
            return await asyncio.to_thread(next, self.watcher, None)
        return await anext(self.watcher, None)

    async def take(self, count: int) -> list[PaymentEvent]:
        """So many events, or fewer at the end."""
        events = [await self.next() for _ in range(count)]
        return [event for event in events if event is not None]

    async def close(self) -> None:
        await _outcome(self.watcher.close())


@dataclass
class Twin:
    """Either client, driven in one way, so that one suite holds for both."""

    client: PaymentClient | AsyncPaymentClient

    async def create(self, **arguments: Any) -> Payment:
        filled = {"amount": "10.00", "customer_id": "cust123"} | arguments
        return await _outcome(self.client.payments.create(**filled))

    async def create_many(
        self, payments: Iterable[NewPayment], **arguments: Any
    ) -> CreatedPayments:
        return await _outcome(self.client.payments.create_many(payments, **arguments))

    async def get(self, payment_id: str, **arguments: Any) -> Payment:
        return await _outcome(self.client.payments.get(payment_id, **arguments))

    async def process(self, payment_id: str, *action: str, **arguments: Any) -> ProcessedPayment:
        return await _outcome(self.client.payments.process(payment_id, *action, **arguments))

    async def capture(self, payment_id: str, **arguments: Any) -> ProcessedPayment:
        return await _outcome(self.client.payments.capture(payment_id, **arguments))

    async def cancel(self, payment_id: str, **arguments: Any) -> ProcessedPayment:
        return await _outcome(self.client.payments.cancel(payment_id, **arguments))

    async def complete(self, payment_id: str, **arguments: Any) -> ProcessedPayment:
        return await _outcome(self.client.payments.complete(payment_id, **arguments))

    async def refund(self, payment_id: str, **arguments: Any) -> RefundedPayment:
        return await _outcome(self.client.payments.refund(payment_id, **arguments))

    async def get_refund(self, refund_id: str, **arguments: Any) -> Refund:
        return await _outcome(self.client.payments.get_refund(refund_id, **arguments))

    async def refunds(self, payment_id: str, **arguments: Any) -> list[Refund]:
        if isinstance(self.client, PaymentClient):
            return list(self.client.payments.refunds(payment_id, **arguments))
        return [each async for each in self.client.payments.refunds(payment_id, **arguments)]

    async def events(self, payment_id: str, **arguments: Any) -> list[PaymentEvent]:
        if isinstance(self.client, PaymentClient):
            return list(self.client.payments.events(payment_id, **arguments))
        return [each async for each in self.client.payments.events(payment_id, **arguments)]

    def watch(self, **arguments: Any) -> TwinWatcher:
        return TwinWatcher(self.client.payments.watch(**arguments))

    async def health(self, **arguments: Any) -> Health:
        return await _outcome(self.client.health(**arguments))

    async def list_all(self, **filters: Any) -> list[Payment]:
        if isinstance(self.client, PaymentClient):
            return list(self.client.payments.list(**filters))
        return [payment async for payment in self.client.payments.list(**filters)]

    async def pages(self, **filters: Any) -> list[Page]:
        if isinstance(self.client, PaymentClient):
            return list(self.client.payments.list(**filters).pages())
        return [page async for page in self.client.payments.list(**filters).pages()]

    async def close(self) -> None:
        await _outcome(self.client.close())


async def _outcome(value: Awaitable[ValueT] | ValueT) -> ValueT:
    return await value if inspect.isawaitable(value) else value


@pytest.fixture(params=[PaymentClient, AsyncPaymentClient])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Twin]]:
    """Makes clients of one of the two kinds, and closes them."""
    twins: list[Twin] = []

    def make(target: str, **settings: Any) -> Twin:
        twins.append(Twin(request.param(target, **settings)))
        return twins[-1]

    yield make
    for twin in twins:
        await twin.close()


@pytest.fixture
def quiet_port() -> Iterator[int]:
    """A port where nobody listens; it is held, and a server that shares it may come up there."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def merchant_id() -> str:
    """A merchant that nobody else has: its data is this test's alone."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def twin(connect: Callable[..., Twin], service: str, merchant_id: str) -> Twin:
    """One of the two clients at the real service."""
    return connect(service, merchant_id=merchant_id, timeout_seconds=20)


ZEROS = {
    field.name: "0.00" for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
}
Answer = Callable[[bytes, grpc.ServicerContext], bytes]
Stream = Callable[
    [pb.WatchPaymentsRequest, grpc.ServicerContext], Iterable[pb.WatchPaymentsResponse]
]


@dataclass
class ForeignServer:
    """A gRPC server of another make: answers every method as a test says."""

    answer: Answer = lambda _request, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "")
    stream: Stream = lambda _request, _context: ()
    """What WatchPayments answers."""
    target: str = ""
    methods: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    metadata: list[Mapping[str, str | bytes]] = field(default_factory=list)
    arrivals: Semaphore = field(default_factory=lambda: Semaphore(0))
    stopping: Event = field(default_factory=Event)
    running: list[grpc.Server] = field(default_factory=list)

    def fail(
        self, code: grpc.StatusCode, message: str = "", *trailing: tuple[str, str | bytes]
    ) -> None:
        """Answers with this status from now on."""

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.set_trailing_metadata(trailing)
            context.abort(code, message)

        self.answer = answer

    @staticmethod
    def step(number: int) -> pb.WatchPaymentsResponse:
        """An event whose cursor is its version."""
        event = pb.Event(version=number, payment=pb.Payment(**ZEROS))  # type: ignore[arg-type]
        return pb.WatchPaymentsResponse(event=event, cursor=str(number))

    @staticmethod
    def greeting(request: pb.WatchPaymentsRequest) -> pb.WatchPaymentsResponse:
        return pb.WatchPaymentsResponse(cursor=request.cursor or "0")

    def never_answer(self) -> None:
        """Keeps every call waiting until the test is over."""

        def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            self.stopping.wait(STOP_LIMIT_SECONDS)
            return b""

        self.answer = answer

    async def was_asked(self, *, times: int) -> None:
        """Returns when so many more calls have arrived."""
        for _ in range(times):
            assert await asyncio.to_thread(self.arrivals.acquire, timeout=STOP_LIMIT_SECONDS)

    def start(
        self, port: int = 0, *, credentials: grpc.ServerCredentials | None = None
    ) -> grpc.Server:
        server = grpc.server(ThreadPoolExecutor(16), handlers=[_EveryMethod(self)])
        address = f"127.0.0.1:{port}"
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
        self.target = f"127.0.0.1:{bound}"
        server.start()
        self.running.append(server)
        return server


_Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


class _EveryMethod(grpc.GenericRpcHandler):
    def __init__(self, server: ForeignServer) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> "_Handler | None":
        if details.method.startswith("/grpc.health.v1."):
            return None  # as a server without it
        method = details.method.rpartition("/")[2]

        def arrived(request: bytes, context: grpc.ServicerContext) -> None:
            self._server.methods.append(method)
            self._server.requests.append(request)
            self._server.metadata.append(dict(context.invocation_metadata()))
            self._server.arrivals.release()

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            arrived(request, context)
            return self._server.answer(request, context)

        def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            arrived(request, context)
            for message in self._server.stream(
                pb.WatchPaymentsRequest.FromString(request), context
            ):
                yield message.SerializeToString()

        if method == "WatchPayments":
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def foreign() -> Iterator[ForeignServer]:
    """A running server of foreign make."""
    server = ForeignServer()
    server.start()
    yield server
    server.stopping.set()
    for each in server.running:
        each.stop(0).wait()
