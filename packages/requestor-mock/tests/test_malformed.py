"""Requests that cannot be parsed or that lead nowhere, through both doors."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CARD = "4539578763621486"
MALFORMED_REQUEST: tuple[Any, ...] = ("MALFORMED_REQUEST", "INVALID_ARGUMENT", 400, [], {})

Post = Callable[[str, object], httpx.Response]
Told = Callable[[httpx.Response], tuple[Any, ...]]


BODIES = {
    "nothing": b"",
    "half an object": b'{"amount": "10',
    "no JSON": b"amount=10",
    "bytes that are no UTF-8": b'{"amount": "\xff"}',
    "too deep a nesting": b"[" * 60_000,
    "a list": b"[]",
    "null": b"null",
}


@pytest.mark.parametrize("door", ["/api/payments", "/graphql"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_parsed_is_malformed(
    told: Told, rest: httpx.Client, door: str, body: bytes
) -> None:
    answer = rest.post(door, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert told(answer) == MALFORMED_REQUEST


@pytest.mark.parametrize("door", ["/api/payments", "/graphql"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_only_json_is_taken(told: Told, rest: httpx.Client, door: str, content_type: str) -> None:
    answer = rest.post(door, content=b"{}", headers={"Content-Type": content_type})
    assert told(answer) == MALFORMED_REQUEST


DOCUMENTS = {
    "half a document": "{ payment(paymentId: ",
    "nothing": "",
    "a comment": "# nothing",
    "an unknown field": "{ nothing }",
    "an unknown argument": '{ payment(paymentId: "1", id: "1") { amount } }',
    "no selection": '{ payment(paymentId: "1") }',
    "two operations without a choice": "query A { __typename } query B { __typename }",
    "a circle of fragments": "{ ...A } fragment A on Query { ...A }",
    "a subscription": "subscription { anything }",
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_does_not_fit_is_malformed(post: Post, told: Told, document: str) -> None:
    assert told(post("/graphql", {"query": document})) == MALFORMED_REQUEST


def test_a_syntax_error_repeats_no_token(post: Post, told: Told) -> None:
    answer = post("/graphql", {"query": f'{{ payment "{CARD}" {{ amount }} }}'})
    assert told(answer) == MALFORMED_REQUEST
    assert CARD not in answer.text


LITERALS = {
    "a number and an unknown field": (
        "mutation { createPayment(payload: {amount: 10, nothing: 1}) { amount } }",
        ["amount", "nothing"],
    ),
    "metadata of numbers": (
        'mutation { createPayment(payload: {amount: "1", metadata: {a: 1}}) { amount } }',
        ["metadata"],
    ),
    "a string for an enum": ('{ payments(status: "created") { edges { cursor } } }', ["status"]),
    "a word for a string": ("{ payment(paymentId: word) { amount } }", ["payment_id"]),
    "a number of five thousand digits": (
        f"{{ payments(first: {'1' * 5_000}) {{ edges {{ cursor }} }} }}",
        ["first"],
    ),
    "a list of such numbers": (
        f"{{ payment(paymentId: [{'1' * 5_000}]) {{ amount }} }}",
        ["payment_id"],
    ),
    "a string in a directive": (
        f'{{ payment(paymentId: "1") @include(if: "{CARD}") {{ amount }} }}',
        ["if"],
    ),
}


@pytest.mark.parametrize(("document", "wrong"), LITERALS.values(), ids=LITERALS)
def test_wrong_literals_in_a_document_are_named(
    post: Post, told: Told, document: str, wrong: list[str]
) -> None:
    answer = post("/graphql", {"query": document})
    assert told(answer) == ("FIELD_INVALID", "INVALID_ARGUMENT", 400, wrong, {})
    assert CARD not in answer.text


VARIABLES: dict[str, tuple[str, object, str]] = {
    "of the wrong type": ("$v: Int!){ payments(first: $v)", CARD, "first"),
    "that are null": ("$v: Int){ payments(first: $v)", None, "first"),
    "in a directive": ("$v: Boolean!){ payments @include(if: $v)", CARD, "if"),
}


@pytest.mark.parametrize(("start", "value", "wrong"), VARIABLES.values(), ids=VARIABLES)
def test_wrong_variables_are_named(
    post: Post, told: Told, start: str, value: object, wrong: str
) -> None:
    document = f"query({start} {{ edges {{ cursor }} }} }}"
    answer = post("/graphql", {"query": document, "variables": {"v": value}})
    assert told(answer) == ("FIELD_INVALID", "INVALID_ARGUMENT", 400, [wrong], {})
    assert CARD not in answer.text


def test_a_path_that_is_not_there_is_a_problem(told: Told, rest: httpx.Client) -> None:
    assert told(rest.get("/nothing")) == ("ROUTE_NOT_FOUND", "UNIMPLEMENTED", 404, [], {})


def test_a_method_that_is_not_there_is_a_problem(told: Told, rest: httpx.Client) -> None:
    answer = rest.delete("/api/payments")
    assert told(answer) == ("METHOD_NOT_ALLOWED", "UNIMPLEMENTED", 405, [], {})
    assert "POST" in answer.headers["allow"]
