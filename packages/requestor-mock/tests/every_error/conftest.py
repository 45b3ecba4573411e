"""Where the doors lead to."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from every_error.doors import Doors, GraphqlDoor, HttpDoor, opened
from every_error.refuser import refusing

Serve = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def quiet(payment_server: Any, mock: Any) -> Iterator[Doors]:
    """Doors to a service that is well."""
    with opened(payment_server, mock, f"test-{uuid.uuid4().hex}") as doors:
        yield doors


@pytest.fixture
def patient(payment_server: Any, mock_command: Path, serve: Serve, tmp_path: Path) -> Iterator[Any]:
    """Doors to the same service, by a mock that waits for what payment-server says of a database
    that does not answer; and the service's process."""
    target = f"127.0.0.1:{payment_server.ready['grpc_port']}"
    settings = {"PAYMENT_TARGET": target, "PAYMENT_TIMEOUT_SECONDS": "20"}
    with (
        serve(tmp_path, mock_command, "serve", "--port=0", **settings) as mock,
        opened(payment_server, mock, f"test-{uuid.uuid4().hex}") as doors,
    ):
        yield doors, payment_server.process.pid


@pytest.fixture
def slow(
    serve: Serve, payment_server_command: Path, mock_command: Path, tmp_path: Path
) -> Iterator[tuple[Doors, Callable[[], None]]]:
    """Doors to a service of the test's own whose processor takes its time: long enough to be asked
    meanwhile, short enough to be waited for. And how to ask it to end."""
    start = ("dev", "--ephemeral", "--grpc-port=0", "--http-port=0")
    settings = {"PAYMENT_SANDBOX_LATENCY_MS": "1500"}
    with serve(tmp_path / "server", payment_server_command, *start, **settings) as server:
        target = f"127.0.0.1:{server.ready['grpc_port']}"
        with (
            serve(
                tmp_path / "mock", mock_command, "serve", "--port=0", PAYMENT_TARGET=target
            ) as mock,
            opened(server, mock, "default") as doors,
        ):
            yield doors, server.process.terminate


@pytest.fixture
def stand_in(
    serve: Serve, mock_command: Path, tmp_path: Path
) -> Iterator[Callable[[Mapping[str, int | None]], Callable[[str], dict[str, Any]]]]:
    """The mock's doors in front of a stand-in for payment-server that refuses every call with the
    reason that its merchant is called."""
    with ExitStack() as stack:

        def start(retry_after_ms: Mapping[str, int | None]) -> Callable[[str], dict[str, Any]]:
            target = {"PAYMENT_TARGET": stack.enter_context(refusing(retry_after_ms))}
            mock = stack.enter_context(serve(tmp_path, mock_command, "serve", "--port=0", **target))

            def doors(reason: str) -> dict[str, Any]:
                merchant = reason.lower()
                return {
                    "rest": stack.enter_context(closing(HttpDoor(mock.url, "/api", merchant))),
                    "graphql": stack.enter_context(closing(GraphqlDoor(mock.url, merchant))),
                }

            return doors

        yield start
