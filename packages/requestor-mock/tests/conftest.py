"""Real parts for the tests: a payment-server with its own database, and the mock in front of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from every_error.doors import CALL_LIMIT_SECONDS, plain_client
from every_error.postgres import CONNECTIONS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

REPOSITORY = Path(__file__).resolve().parents[3]
START_LIMIT_SECONDS = 60
"""A cold PostgreSQL on a busy machine of two cores takes a tenth of it."""
STOP_LIMIT_SECONDS = 15
POLL_SECONDS = 0.02
SANDBOX = {
    # Refunds that take their time take no more than a test can wait for.
    "PAYMENT_SANDBOX_SETTLE_MS": "300",
    "PAYMENT_DATABASE_CONNECTIONS": str(CONNECTIONS),
}
NOWHERE = "127.0.0.1:1"
"""A target at which nothing ever listens."""

# A test run that is killed leaves nothing behind: the kernel sends SIGTERM (15) to the service when
# its parent is gone (PR_SET_PDEATHSIG is 1). This outlives exec and runs no code after a fork.
TETHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test run is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class Running:
    """A service that runs; `ready` is what it wrote when it served."""

    process: subprocess.Popen[bytes]
    ready: dict[str, int]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ready['http_port']}"

    def stop(self) -> int:
        """Asks it to stop; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT_SECONDS)


Start = Callable[..., Running]


@contextmanager
def running(folder: Path, command: Path, *arguments: str, **settings: str) -> Iterator[Running]:
    """Starts a service, waits until it serves, and ends it whatever happened."""
    folder.mkdir(parents=True, exist_ok=True)
    ready, log = folder / "ready.json", folder / "log"
    flag = f"--ready-file={ready}"
    ready.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", TETHER, str(os.getpid()), command, *arguments, flag],
            env={**_neutral_environment(), **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_ready(process, ready, log)
        yield Running(process, json.loads(ready.read_text()), log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _neutral_environment() -> dict[str, str]:
    foreign = ("PAYMENT_", "REQUESTOR_", "DATABASE_URL", "REDIS_URL", "PYTHONPATH", "PYTHONHOME")
    return {name: text for name, text in os.environ.items() if not name.startswith(foreign)}


def _wait_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    give_up = time.monotonic() + START_LIMIT_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"{process.args!r} did not start:\n{log.read_text(errors='replace')}")
        time.sleep(POLL_SECONDS)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Running]]:
    """`running`, for tests that need services of their own."""
    return running


@pytest.fixture(scope="session")
def payment_server_command() -> Path:
    """The payment service's program, in an environment of its own."""
    default = REPOSITORY / ".envs/payment-server/bin/payment-server"
    return Path(os.environ.get("PAYMENT_SERVER_COMMAND", default))


@pytest.fixture(scope="session")
def mock_command() -> Path:
    """The mock's program, of the environment that runs the tests."""
    return Path(sys.executable).parent / "requestor-mock"


@pytest.fixture(scope="session")
def payment_server(
    payment_server_command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A payment service with the sandbox; one per worker, its data apart by merchant."""
    folder = tmp_path_factory.mktemp("payment-server")
    ports = ("--grpc-port=0", "--http-port=0")
    server = running(folder, payment_server_command, "dev", "--ephemeral", *ports, **SANDBOX)
    with server as started:
        yield started


@pytest.fixture(scope="session")
def mock(
    payment_server: Running, mock_command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The mock in front of the payment service."""
    folder = tmp_path_factory.mktemp("requestor-mock")
    target = f"127.0.0.1:{payment_server.ready['grpc_port']}"
    with running(folder, mock_command, "serve", "--port=0", PAYMENT_TARGET=target) as service:
        yield service


@pytest.fixture(scope="session")
def lonely_mock(mock_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A mock whose payment service is away."""
    folder = tmp_path_factory.mktemp("lonely-mock")
    with running(folder, mock_command, "serve", "--port=0", PAYMENT_TARGET=NOWHERE) as service:
        yield service


@pytest.fixture(scope="session")
def unanswered_mock(
    mock_command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A mock whose payment service takes connections and says nothing."""
    folder = tmp_path_factory.mktemp("unanswered-mock")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with running(folder, mock_command, "serve", "--port=0", PAYMENT_TARGET=target) as service:
            yield service


@pytest.fixture
def start_mock(mock_command: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a mock of the test's own: `start_mock(target)`."""
    with ExitStack() as stack:

        def start(target: str) -> Running:
            folder = tmp_path / f"mock-{uuid.uuid4().hex}"
            service = running(folder, mock_command, "serve", "--port=0", PAYMENT_TARGET=target)
            return stack.enter_context(service)

        yield start


@pytest.fixture
def start_payment_server(payment_server_command: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a payment service of the test's own on a gRPC port; its data stays between starts."""
    with ExitStack() as stack:

        def start(grpc_port: int) -> Running:
            ports = (f"--grpc-port={grpc_port}", "--http-port=0", f"--data-dir={tmp_path / 'data'}")
            folder = tmp_path / "payment-server"
            return stack.enter_context(running(folder, payment_server_command, "dev", *ports))

        yield start


@pytest.fixture
def merchant() -> dict[str, str]:
    """The header of a merchant that nobody else has: its data is this test's alone."""
    return {"X-Merchant-Id": f"test-{uuid.uuid4().hex}"}


@pytest.fixture
def rest(mock: Running, merchant: dict[str, str]) -> Iterator[httpx.Client]:
    """HTTP at the mock, on behalf of the test's merchant."""
    with plain_client(mock.url, merchant) as client:
        yield client


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(rest: httpx.Client) -> Ask:
    """GraphQL at the mock: `ask(document, variables, **headers)`."""

    def post(
        document: str, variables: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        body = {"query": document, "variables": variables}
        return rest.post("/graphql", json=body, headers=headers)

    return post


@pytest.fixture
def create(rest: httpx.Client) -> Callable[..., dict[str, Any]]:
    """Creates a payment of 10.00 USD, unless told otherwise; returns its data."""

    def post(**fields: Any) -> dict[str, Any]:
        body = {"amount": "10.00", "customer_id": "cust123"} | fields
        answer = rest.post("/api/payments", json=body)
        assert answer.status_code == 201, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    return post


class Told(NamedTuple):
    """What a door tells of a failure."""

    reason: str
    code: str
    http_status: int
    fields: list[str]
    metadata: dict[str, str]


@pytest.fixture
def told() -> Callable[[httpx.Response], Told]:
    """Reads the facts of a refusal through whichever door it came."""

    def read(answer: httpx.Response) -> Told:
        body = answer.json()
        if answer.headers["content-type"] == "application/problem+json":
            assert (body["success"], body["status"]) == (False, answer.status_code)
            kind = body["reason"].lower().replace("_", "-")
            assert body["type"] == f"urn:payment:v1:error:{kind}"
            facts, http_status = body, body["status"]
        else:
            assert len(body["errors"]) == 1, body
            facts = body["errors"][0]["extensions"]
            http_status = facts["http_status"]
        assert facts["request_id"] == answer.headers["x-request-id"]
        fields = sorted(each["field"] for each in facts["errors"])
        return Told(facts["reason"], facts["code"], http_status, fields, facts["metadata"])

    return read


@pytest.fixture
def post(rest: httpx.Client) -> Callable[[str, object], httpx.Response]:
    """Sends JSON in ASCII, as only an escape can spell a lone surrogate."""

    def send(path: str, body: object) -> httpx.Response:
        text = json.dumps(body).encode()
        return rest.post(path, content=text, headers={"Content-Type": "application/json"})

    return send


class Talk:
    """A foreign client of graphql-transport-ws, which says and hears what it is told to."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **message: Any) -> None:
        """Sends one message."""
        self.connection.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        """The next message."""
        heard: dict[str, Any] = json.loads(self.connection.recv(timeout=CALL_LIMIT_SECONDS))
        return heard

    def begin(self, **payload: Any) -> None:
        """Says connection_init and waits for the answer."""
        self.say(type="connection_init", payload=payload)
        assert self.hear() == {"type": "connection_ack"}

    def subscribe(self, document: str, name: str = "1", **variables: Any) -> None:
        """Starts an operation."""
        payload = {"query": document, "variables": variables}
        self.say(type="subscribe", id=name, payload=payload)

    def hear_data(self) -> dict[str, Any]:
        """What the next message tells of the watch."""
        message = self.hear()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        told: dict[str, Any] = message["payload"]["data"]["paymentEvents"]
        return told

    def hear_error(self) -> dict[str, Any]:
        """The extensions of the error that the next message tells."""
        message = self.hear()
        assert message["type"] == "error", message
        (error,) = message["payload"]
        facts: dict[str, Any] = error["extensions"]
        return facts

    def hear_close(self) -> int:
        """The code with which the mock closes the socket."""
        with suppress(ConnectionClosed):
            while True:
                self.hear()
        close = self.connection.protocol.close_rcvd
        assert close is not None, "it was cut off"
        return close.code


Speak = Callable[..., Talk]


@pytest.fixture
def speak(mock: Running, merchant: dict[str, str]) -> Iterator[Speak]:
    """Opens a WebSocket at a mock, on behalf of the test's merchant."""
    with ExitStack() as stack:

        def open_socket(service: Running = mock, **given: Any) -> Talk:
            options: dict[str, Any] = {
                "subprotocols": ["graphql-transport-ws"],
                "additional_headers": merchant,
                "close_timeout": CALL_LIMIT_SECONDS,
            } | given
            address = service.url.replace("http", "ws", 1) + "/graphql"
            return Talk(stack.enter_context(connect(address, **options)))

        yield open_socket
