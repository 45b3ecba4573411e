"""The protocol graphql-transport-ws as a foreign client speaks it, apart from what is watched."""

import json
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from requestor_mock.bodies import LIMIT_BYTES
from requestor_mock.errors import Refused
from requestor_mock.graphql_socket import INIT_LIMIT_SECONDS, MAX_SUBSCRIPTIONS, Seats

CARD = "4539578763621486"
WATCH = "subscription { paymentEvents { cursor } }"
STOP_LIMIT_SECONDS = 3
"""A stop takes 0.3 seconds, and a busy machine a while."""

Speak = Callable[..., Any]
Start = Callable[..., Any]


def test_the_handshake_names_the_protocol_and_the_request(speak: Speak) -> None:
    headers = speak(additional_headers={"X-Request-Id": "mine-1"}).connection.response.headers
    assert headers["Sec-WebSocket-Protocol"] == "graphql-transport-ws"
    assert headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"]])
def test_another_protocol_is_not_spoken(speak: Speak, subprotocols: list[str] | None) -> None:
    assert speak(subprotocols=subprotocols).hear_close() == 4406


def test_a_foreign_page_is_not_let_in(speak: Speak) -> None:
    with pytest.raises(InvalidStatus) as refused:
        speak(origin="http://elsewhere.example")
    assert refused.value.response.status_code == 403


def test_a_page_of_the_same_origin_is_let_in(speak: Speak, mock: Any) -> None:
    speak(origin=mock.url).begin()


def test_who_does_not_begin_is_shown_the_door(speak: Speak) -> None:
    began = time.monotonic()
    assert speak().hear_close() == 4408
    assert time.monotonic() - began >= INIT_LIMIT_SECONDS - 0.1


def test_a_ping_is_answered_before_and_after_the_beginning(speak: Speak) -> None:
    talk = speak()
    talk.say(type="ping", payload={"any": "thing"})
    assert talk.hear() == {"type": "pong"}
    talk.say(type="pong")
    talk.begin()
    talk.say(type="pong")
    talk.say(type="ping")
    assert talk.hear() == {"type": "pong"}


def test_who_subscribes_before_they_begin_is_shown_the_door(speak: Speak) -> None:
    talk = speak()
    talk.subscribe(WATCH)
    assert talk.hear_close() == 4401


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}])
def test_one_begins_with_a_payload_or_without(speak: Speak, payload: dict[str, Any]) -> None:
    talk = speak()
    talk.say(type="connection_init", **payload)
    assert talk.hear() == {"type": "connection_ack"}


def test_one_begins_once(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.say(type="connection_init")
    assert talk.hear_close() == 4429


def test_a_name_stands_for_one_operation_at_a_time(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.subscribe(WATCH, "same")
    talk.subscribe(WATCH, "same")
    assert talk.hear_close() == 4409


def test_a_name_is_free_once_its_operation_is_over(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    for _ in range(2):
        talk.subscribe("subscription { nothing }", "same")
        assert talk.hear()["id"] == "same"


MESSAGES: dict[str, str | bytes] = {
    "no JSON": "{",
    "no object": "[]",
    "no type": "{}",
    "an unknown type": '{"type": "next"}',
    "no id": '{"type": "subscribe", "payload": {}}',
    "an id that is a number": '{"type": "complete", "id": 1}',
    "an id that is empty": '{"type": "complete", "id": ""}',
    "a payload of connection_init that is no object": '{"type": "connection_init", "payload": []}',
    "a payload of ping that is no object": '{"type": "ping", "payload": "x"}',
    "a subscription to nothing": '{"type": "subscribe", "id": "1"}',
    "a subscription to null": '{"type": "subscribe", "id": "1", "payload": null}',
    "a subscription without a query": '{"type": "subscribe", "id": "1", "payload": {}}',
    "a query that is a number": '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    "variables that are no object": json.dumps(
        {"type": "subscribe", "id": "1", "payload": {"query": WATCH, "variables": []}}
    ),
    "a lone surrogate": '{"type": "complete", "id": "\\ud800"}',
    "too deep a nesting": "[" * 60_000,
    "bytes": b'{"type": "ping"}',
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
@pytest.mark.parametrize("has_begun", [True, False])
def test_what_is_no_message_ends_the_talk(
    speak: Speak, message: str | bytes, has_begun: bool
) -> None:
    talk = speak()
    if has_begun:
        talk.begin()
    talk.connection.send(message)
    assert talk.hear_close() == 4400


def test_a_message_above_the_limit_ends_the_talk(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.connection.send(" " * (LIMIT_BYTES + 1))
    assert talk.hear_close() == 1009


def test_a_message_at_the_limit_is_heard(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.connection.send('{"type": "ping"}'.ljust(LIMIT_BYTES))
    assert talk.hear() == {"type": "pong"}


def test_a_merchant_that_is_said_twice_unlike_ends_the_talk(speak: Speak) -> None:
    talk = speak()
    talk.say(type="connection_init", payload={"x-merchant-id": "another"})
    assert talk.hear_close() == 4400


@pytest.mark.parametrize("merchant_id", [1, None, ["a"]])
def test_a_merchant_that_is_no_string_ends_the_talk(speak: Speak, merchant_id: object) -> None:
    talk = speak(additional_headers={})
    talk.say(type="connection_init", payload={"X-Merchant-Id": merchant_id})
    assert talk.hear_close() == 4400


DOCUMENTS = {
    "half a document": "subscription { paymentEvents {",
    "nothing": "",
    "an unknown field": "subscription { nothing }",
    "two fields": f"subscription {{ a: {WATCH[15:-1]} b: {WATCH[15:-1]} }}",
    "two operations without a choice": f"{WATCH} {WATCH}".replace("tion {", "tion A {", 1),
    "a query": "{ payments { edges { cursor } } }",
    "a mutation": 'mutation { cancelPayment(paymentId: "1") { processedAt } }',
    "too many aliases": "subscription { paymentEvents { "
    + " ".join(f"a{n}: cursor" for n in range(16))
    + " } }",
    "too many tokens": "subscription { paymentEvents { " + "cursor " * 1_000 + " } }",
    "lists that multiply": """subscription { paymentEvents { event { payment {
      events(first: 100) { edges { node { payment { refunds(first: 100) { edges { cursor } } } } } }
    } } } }""",
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_cannot_be_watched_is_malformed(speak: Speak, document: str) -> None:
    talk = speak()
    talk.begin()
    talk.subscribe(document)
    facts = talk.hear_error()
    assert (facts["reason"], facts["http_status"]) == ("MALFORMED_REQUEST", 400)


def test_a_wrong_argument_is_named_and_not_repeated(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.subscribe(f"subscription {{ paymentEvents(customerId: {CARD}) {{ cursor }} }}")
    message = talk.hear()
    (error,) = message["payload"]
    assert error["extensions"]["reason"] == "FIELD_INVALID"
    assert [each["field"] for each in error["extensions"]["errors"]] == ["customer_id"]
    assert CARD not in str(message)


def test_an_error_leaves_the_talk_open(speak: Speak) -> None:
    talk = speak()
    talk.begin()
    talk.subscribe("subscription { nothing }")
    talk.hear_error()
    talk.say(type="ping")
    assert talk.hear() == {"type": "pong"}


def test_seats_are_given_back() -> None:
    seats = Seats(1, "talks")
    for _ in range(2):
        with seats.one():
            pass


def test_there_are_so_many_seats_and_no_more() -> None:
    seats = Seats(1, "talks")
    with seats.one(), pytest.raises(Refused) as refused, seats.one():
        pytest.fail("it let one too many in")
    assert refused.value.reason == "OVERLOADED"


def test_a_subscription_too_many_is_told_to_come_back(unanswered_mock: Any, speak: Speak) -> None:
    talk = speak(unanswered_mock)
    talk.begin()
    for n in range(MAX_SUBSCRIPTIONS + 1):
        talk.subscribe(WATCH, str(n))
    message = talk.hear()
    assert message["id"] == str(MAX_SUBSCRIPTIONS)
    facts = message["payload"][0]["extensions"]
    assert (facts["reason"], facts["http_status"]) == ("OVERLOADED", 503)
    assert facts["retry_after_ms"] > 0


def test_a_subscription_that_is_completed_makes_room(unanswered_mock: Any, speak: Speak) -> None:
    talk = speak(unanswered_mock)
    talk.begin()
    for n in range(MAX_SUBSCRIPTIONS):
        talk.subscribe(WATCH, str(n))
    talk.say(type="complete", id="0")
    talk.subscribe(WATCH, "another")
    talk.subscribe(WATCH, "one too many")
    assert talk.hear()["id"] == "one too many"


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_stop_closes_sockets_at_once(start_mock: Start, speak: Speak, signal_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mock = start_mock(f"127.0.0.1:{silent.getsockname()[1]}")
        talks = [speak(mock) for _ in range(3)]
        for talk in talks[1:]:
            talk.begin()
        talks[2].subscribe(WATCH)
        began = time.monotonic()
        mock.process.send_signal(getattr(signal, signal_name))
        assert [talk.hear_close() for talk in talks] == [1012, 1012, 1012]
        assert mock.process.wait(STOP_LIMIT_SECONDS) == 0
        assert time.monotonic() - began < STOP_LIMIT_SECONDS
        assert "Traceback" not in mock.log.read_text()


def test_nothing_that_callers_say_is_logged(lonely_mock: Any, speak: Speak) -> None:
    talk = speak(lonely_mock)
    talk.begin(authorization="my-secret")
    talk.subscribe('subscription { paymentEvents(customerId: "my-secret") { nothing } }', "secret")
    talk.hear_error()
    talk.connection.send('{"type": "secret"}')
    talk.hear_close()
    assert "secret" not in lonely_mock.log.read_text()
