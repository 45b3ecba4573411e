"""The payment service away, and back again."""

import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx

RECOVERY_LIMIT_SECONDS = 15
"""Several times the longest pause between two attempts to connect."""
POLL_SECONDS = 0.05
BODY = {"amount": "10.00", "customer_id": "cust123"}

Start = Callable[..., Any]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_rest_tells_that_the_service_is_away(lonely_mock: Any) -> None:
    answer = httpx.post(f"{lonely_mock.url}/api/payments", json=BODY)
    told = answer.json()
    assert (answer.status_code, told["status"], told["success"]) == (503, 503, False)
    assert (told["code"], told["errors"]) == ("UNAVAILABLE", [])


def test_graphql_tells_that_the_service_is_away(lonely_mock: Any) -> None:
    document = '{ payment(paymentId: "1") { amount } }'
    told = httpx.post(f"{lonely_mock.url}/graphql", json={"query": document}).json()
    assert told["data"] == {"payment": None}
    assert told["errors"][0]["extensions"]["http_status"] == 503


def test_no_answer_tells_where_the_service_was_looked_for(lonely_mock: Any) -> None:
    assert "127.0.0.1" not in httpx.get(f"{lonely_mock.url}/api/payments").text


def test_the_health_is_bounded_when_the_service_hangs(unanswered_mock: Any) -> None:
    began = time.monotonic()
    answer = httpx.get(f"{unanswered_mock.url}/health", timeout=10)
    assert time.monotonic() - began < 3
    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "payment_service": "unreachable"}


def test_the_mock_recovers_by_itself(start_mock: Start, start_payment_server: Start) -> None:
    port = free_port()
    mock = start_mock(f"127.0.0.1:{port}")
    assert httpx.get(f"{mock.url}/health").status_code == 503
    server = start_payment_server(port)
    wait_healthy(mock.url)
    created = httpx.post(f"{mock.url}/api/payments", json=BODY).json()["data"]
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    assert httpx.get(f"{mock.url}/api/payments").status_code == 503
    start_payment_server(port)
    wait_healthy(mock.url)
    read = httpx.get(f"{mock.url}/api/payments/{created['payment_id']}")
    assert read.json()["data"] == created


def wait_healthy(url: str) -> None:
    give_up = time.monotonic() + RECOVERY_LIMIT_SECONDS
    while httpx.get(f"{url}/health").status_code != 200:
        assert time.monotonic() < give_up, "it did not recover"
        time.sleep(POLL_SECONDS)
