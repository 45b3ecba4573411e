"""What a subscription tells of payments, as they change."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from payment.v1.payment_pb2 import Event, Payment, WatchPaymentsResponse

WATCH = """
subscription($payment: String, $customer: String, $cursor: String, $all: Boolean! = false) {
  paymentEvents(paymentId: $payment, customerId: $customer, cursor: $cursor, fromBeginning: $all) {
    cursor
    event { type version paymentId payment { status } }
  }
}
"""
LIMIT_SECONDS = 30

Speak = Callable[..., Any]
Start = Callable[..., Any]
Create = Callable[..., dict[str, Any]]


@pytest.fixture
def talk(speak: Speak) -> Any:
    """A talk that has begun."""
    opened = speak()
    opened.begin()
    return opened


def watch(talk: Any, **variables: Any) -> str:
    """Subscribes, and waits until the watch has begun; returns where."""
    talk.subscribe(WATCH, **variables)
    first = talk.hear_data()
    assert first["event"] is None
    return str(first["cursor"])


def types(talk: Any, count: int) -> list[str]:
    """The next so many events' types."""
    return [talk.hear_data()["event"]["type"] for _ in range(count)]


def test_events_are_told_as_they_happen(talk: Any, rest: httpx.Client, create: Create) -> None:
    watch(talk)
    payment_id = create()["payment_id"]
    created = talk.hear_data()["event"]
    assert created == {
        "type": "payment.created",
        "version": 1,
        "paymentId": payment_id,
        "payment": {"status": "created"},
    }
    rest.post(f"/api/payments/{payment_id}/process")
    assert types(talk, 2) == ["payment.authorization_started", "payment.captured"]


def test_one_payment_can_be_watched(talk: Any, rest: httpx.Client, create: Create) -> None:
    other, watched = create()["payment_id"], create()["payment_id"]
    watch(talk, payment=watched)
    for payment_id in (other, watched):
        rest.post(f"/api/payments/{payment_id}/cancel")
    event = talk.hear_data()["event"]
    assert (event["paymentId"], event["type"]) == (watched, "payment.canceled")


def test_one_customer_can_be_watched(talk: Any, create: Create) -> None:
    watch(talk, customer="ann")
    create(customer_id="bob")
    wanted = create(customer_id="ann")
    assert talk.hear_data()["event"]["paymentId"] == wanted["payment_id"]


def test_what_happened_before_can_be_told(talk: Any, rest: httpx.Client, create: Create) -> None:
    payment_id = create()["payment_id"]
    rest.post(f"/api/payments/{payment_id}/cancel")
    watch(talk, payment=payment_id, all=True)
    assert types(talk, 2) == ["payment.created", "payment.canceled"]


def test_a_watch_goes_on_behind_its_cursor(
    speak: Speak, talk: Any, rest: httpx.Client, create: Create
) -> None:
    payment_id = create()["payment_id"]
    watch(talk, payment=payment_id, all=True)
    cursor = talk.hear_data()["cursor"]
    talk.connection.close()
    rest.post(f"/api/payments/{payment_id}/cancel")
    second = speak()
    second.begin()
    watch(second, payment=payment_id, cursor=cursor)
    assert types(second, 1) == ["payment.canceled"]


def test_a_watch_goes_on_behind_where_it_began(speak: Speak, talk: Any, create: Create) -> None:
    cursor = watch(talk)
    talk.connection.close()
    create()
    second = speak()
    second.begin()
    watch(second, cursor=cursor)
    assert types(second, 1) == ["payment.created"]


def test_two_subscriptions_of_a_talk_are_kept_apart(talk: Any, create: Create) -> None:
    payments = {name: create()["payment_id"] for name in ("a", "b")}
    for name, payment_id in payments.items():
        talk.subscribe(WATCH, name, payment=payment_id, all=True)
    heard: dict[str, list[Any]] = {name: [] for name in payments}
    for _ in range(4):
        message = talk.hear()
        heard[message["id"]].append(message["payload"]["data"]["paymentEvents"]["event"])
    assert {name: last["paymentId"] for name, (_, last) in heard.items()} == payments


def test_an_events_payment_has_its_refunds(talk: Any, rest: httpx.Client, create: Create) -> None:
    payment_id = create()["payment_id"]
    for step in ("process", "refund"):
        rest.post(f"/api/payments/{payment_id}/{step}")
    talk.subscribe(
        """subscription($id: String) { paymentEvents(paymentId: $id, fromBeginning: true) {
          event { payment { refunds(first: 1) { edges { node { status } } } } } } }""",
        id=payment_id,
    )
    assert talk.hear_data()["event"] is None
    (edge,) = talk.hear_data()["event"]["payment"]["refunds"]["edges"]
    assert edge == {"node": {"status": "succeeded"}}


def test_what_fails_within_an_event_is_told_beside_it(talk: Any, create: Create) -> None:
    document = """subscription { paymentEvents { event { type payment {
      refunds(first: -1) { edges { cursor } } } } } }"""
    talk.subscribe(document)
    assert talk.hear_data()["event"] is None
    create()
    payload = talk.hear()["payload"]
    event = {"type": "payment.created", "payment": {"refunds": None}}
    assert payload["data"] == {"paymentEvents": {"event": event}}
    (error,) = payload["errors"]
    assert error["path"] == ["paymentEvents", "event", "payment", "refunds"]
    assert error["extensions"]["reason"] == "FIELD_INVALID"


class WatchedService(grpc.GenericRpcHandler):
    """A payment service that says where a watch begins, and after that one thing for ever or
    nothing; it knows when a watch ends."""

    def __init__(self, after: WatchPaymentsResponse | None = None) -> None:
        self._after = after
        self.endings = threading.Semaphore(0)
        """One for each watch that has ended."""

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if not details.method.endswith("/WatchPayments"):
            return None
        return grpc.unary_stream_rpc_method_handler(self._watch)

    def _watch(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        over = threading.Event()
        context.add_callback(over.set)
        context.add_callback(self.endings.release)
        yield WatchPaymentsResponse(cursor="here").SerializeToString()
        if self._after is not None:
            yield from repeat(self._after.SerializeToString())
        over.wait(LIMIT_SECONDS)


@contextmanager
def served(service: WatchedService) -> Iterator[str]:
    """Serves it; gives its address."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait(LIMIT_SECONDS)


ENDINGS: dict[str, Callable[[Any], None]] = {
    "completes it": lambda talk: talk.say(type="complete", id="1"),
    "closes the socket": lambda talk: talk.connection.close(),
    "breaks the protocol": lambda talk: talk.say(type="nothing"),
    "is gone": lambda talk: talk.connection.socket.shutdown(socket.SHUT_RDWR),
}


@pytest.fixture(scope="module")
def watched(
    serve: Callable[..., Any], mock_command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WatchedService, Any]]:
    """A service that knows when watches end, and a mock in front of it."""
    service = WatchedService()
    folder = tmp_path_factory.mktemp("watched-mock")
    with (
        served(service) as target,
        serve(folder, mock_command, "serve", "--port=0", PAYMENT_TARGET=target) as mock,
    ):
        yield service, mock


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_watch_ends_when_its_reader(
    watched: tuple[WatchedService, Any], speak: Speak, end: Callable[[Any], None]
) -> None:
    service, mock = watched
    talk = speak(mock)
    talk.begin()
    assert watch(talk) == "here"
    end(talk)
    assert service.endings.acquire(timeout=LIMIT_SECONDS)


HASTY = "from requestor_mock import cli; cli.STUCK_LIMIT_MS = 500; cli.main()"
"""The program, but with less patience than a test has."""
AMOUNTS: dict[str, Any] = {
    each.name: "0" for each in Payment.DESCRIPTOR.fields if each.name.startswith("amount")
}
LARGE = WatchPaymentsResponse(
    cursor="there", event=Event(type="x" * 100_000, payment=Payment(**AMOUNTS))
)


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel gives up on such a reader")
def test_a_watch_ends_when_its_reader_takes_nothing_for_long(
    serve: Callable[..., Any], speak: Speak, tmp_path: Path
) -> None:
    service = WatchedService(LARGE)
    program = (Path(sys.executable), "-c", HASTY, "serve", "--port=0")
    with (
        served(service) as target,
        serve(tmp_path, *program, PAYMENT_TARGET=target) as mock,
    ):
        # It reads no more than is asked for, and does not wait for an answer to its goodbye.
        talk = speak(mock, max_queue=1, close_timeout=0.1)
        talk.begin()
        watch(talk)
        assert talk.hear_data()["cursor"] == "there"
        assert service.endings.acquire(timeout=LIMIT_SECONDS)


def test_a_completed_subscription_tells_no_more(talk: Any, create: Create) -> None:
    watch(talk)
    talk.say(type="complete", id="1")
    create()
    talk.say(type="ping")
    assert talk.hear() == {"type": "pong"}


def test_a_merchant_sees_its_own_events_only(speak: Speak, talk: Any, create: Create) -> None:
    other = speak(additional_headers={"X-Merchant-Id": "other-merchant"})
    other.begin()
    watch(other)
    watch(talk)
    create()
    assert types(talk, 1) == ["payment.created"]
    other.say(type="ping")
    assert other.hear() == {"type": "pong"}


def test_a_browser_names_its_merchant_as_it_begins(
    speak: Speak, create: Create, merchant: dict[str, str]
) -> None:
    talk = speak(additional_headers={})
    talk.begin(**merchant)
    watch(talk)
    create()
    assert types(talk, 1) == ["payment.created"]


REFUSALS: dict[str, tuple[dict[str, Any], str, int, list[str]]] = {
    "a payment that is not": ({"payment": "nothing"}, "PAYMENT_NOT_FOUND", 404, []),
    "an empty payment, which is not all": ({"payment": ""}, "FIELD_INVALID", 400, ["payment_id"]),
    "an empty customer, who is not all": ({"customer": ""}, "FIELD_INVALID", 400, ["customer_id"]),
    "an empty cursor": ({"cursor": ""}, "FIELD_INVALID", 400, ["cursor"]),
    "a cursor of another database": ({"cursor": f"1.{'A' * 64}"}, "CURSOR_EXPIRED", 410, []),
    "a cursor that is none": ({"cursor": "nothing"}, "FIELD_INVALID", 400, ["cursor"]),
}


@pytest.mark.parametrize(
    ("variables", "reason", "status", "fields"), REFUSALS.values(), ids=REFUSALS
)
def test_a_refused_watch_tells_the_facts(
    talk: Any, variables: dict[str, Any], reason: str, status: int, fields: list[str]
) -> None:
    talk.subscribe(WATCH, **variables)
    facts = talk.hear_error()
    assert (facts["reason"], facts["http_status"]) == (reason, status)
    assert [each["field"] for each in facts["errors"]] == fields
    assert facts["request_id"] == talk.connection.response.headers["x-request-id"]


def test_a_payment_and_a_customer_are_not_watched_at_once(talk: Any, create: Create) -> None:
    talk.subscribe(WATCH, payment=create()["payment_id"], customer="ann")
    assert talk.hear_error()["reason"] == "FIELD_INVALID"


def test_a_stop_ends_watches_at_once(payment_server: Any, start_mock: Start, speak: Speak) -> None:
    mock = start_mock(f"127.0.0.1:{payment_server.ready['grpc_port']}")
    talk = speak(mock)
    talk.begin()
    watch(talk)
    began = time.monotonic()
    mock.process.send_signal(signal.SIGTERM)
    assert talk.hear_close() == 1012
    assert mock.process.wait(LIMIT_SECONDS) == 0
    assert time.monotonic() - began < 3
    assert mock.log.read_text().count("\n") == 1  # where it served
