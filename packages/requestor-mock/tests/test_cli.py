"""The program as a user and a container see it."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

Start = Callable[..., Any]
NOWHERE = "127.0.0.1:1"
LIMIT_SECONDS = 30
STOP_LIMIT_SECONDS = 2
"""It takes 0.3 seconds; a machine that runs all tests at once may need a while for that."""


def run(command: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("REQUESTOR_", "PAYMENT_"))
    }
    return subprocess.run(
        [command, *arguments],
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


def test_the_version_is_the_packages(mock_command: Path) -> None:
    assert run(mock_command, "version").stdout == f"{version('requestor-mock')}\n"


def test_the_ready_file_tells_port_and_process(lonely_mock: Any) -> None:
    port = lonely_mock.ready["http_port"]
    assert lonely_mock.ready == {"http_port": port, "pid": lonely_mock.process.pid}
    assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 503


def test_a_taken_port_is_named_with_its_setting(mock_command: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        ended = run(mock_command, "serve", REQUESTOR_HTTP_PORT=port)
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert "REQUESTOR_HTTP_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("text", ["http", "65536", "-1", "8001.0"])
def test_a_port_that_is_none_is_named(mock_command: Path, text: str) -> None:
    ended = run(mock_command, "serve", REQUESTOR_HTTP_PORT=text)
    assert ended.returncode == 1
    assert "REQUESTOR_HTTP_PORT" in ended.stderr


def test_a_target_that_is_none_is_named(mock_command: Path) -> None:
    ended = run(mock_command, "serve", "--port=0", PAYMENT_TARGET="http://payment-service")
    assert ended.returncode == 1
    assert "PAYMENT_TARGET" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_it_stops_at_once_and_without_an_error(start_mock: Start, signal_name: str) -> None:
    mock = start_mock(NOWHERE)
    with httpx.Client(base_url=mock.url) as idle:
        idle.get("/health")
        began = time.monotonic()
        mock.process.send_signal(getattr(signal, signal_name))
        assert mock.process.wait(LIMIT_SECONDS) == 0
        assert time.monotonic() - began < STOP_LIMIT_SECONDS


def test_nothing_that_callers_send_is_logged(lonely_mock: Any) -> None:
    body = {"amount": "10.00", "customer_id": "cust-secret", "idempotency_key": "key-secret"}
    document = 'mutation { createPayment(payload: {amount: "x-secret"}) { amount nothing } }'
    with httpx.Client(base_url=lonely_mock.url, timeout=LIMIT_SECONDS) as client:
        client.post("/api/payments", json=body)
        client.get("/api/payments", params={"customer_id": "cust-secret"})
        client.post("/graphql", json={"query": document})
    assert "secret" not in lonely_mock.log.read_text()


def test_the_healthcheck_fails_while_the_payment_service_is_away(
    lonely_mock: Any, mock_command: Path
) -> None:
    port = str(lonely_mock.ready["http_port"])
    ended = run(mock_command, "healthcheck", REQUESTOR_HTTP_PORT=port)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["payment_service"] == "unreachable"


def test_the_healthcheck_passes_when_both_are_well(mock: Any, mock_command: Path) -> None:
    port = str(mock.ready["http_port"])
    assert run(mock_command, "healthcheck", REQUESTOR_HTTP_PORT=port).returncode == 0


def test_the_healthcheck_fails_where_nothing_serves(mock_command: Path) -> None:
    ended = run(mock_command, "healthcheck", REQUESTOR_HTTP_PORT="1")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
