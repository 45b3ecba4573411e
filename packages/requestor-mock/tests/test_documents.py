"""What is remembered of GraphQL documents, and what never is."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from graphql import GraphQLSyntaxError, build_schema

from requestor_mock.graphql_documents import KEPT_DOCUMENTS, KEPT_LENGTH, Documents
from requestor_mock.graphql_limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS

Ask = Callable[..., httpx.Response]
Create = Callable[..., dict[str, Any]]

SCHEMA = build_schema("type Query { word: String, texts(a: [String]): String, more: Query }")
LARGEST_BYTES = 500_000
"""What `KEPT_DOCUMENTS` says of a document of the largest size."""


def valid(number: int) -> str:
    return f"query Number{number} {{ word }}"


def largest(number: int) -> str:
    """As many tokens as are allowed, and nearly as many characters as are kept."""
    head = f"query Number{number} {{ texts(a: ["
    return head + '"abcde" ' * (MAX_TOKENS - 12) + "]) }"


WRONG = {
    "unknown to the schema": "{ nothing }",
    "too deep": "{ more " * MAX_DEPTH + "{ word }" + " }" * MAX_DEPTH,
    "too many aliases": "{" + " ".join(f"a{n}: word" for n in range(MAX_ALIASES + 1)) + "}",
}
UNREADABLE = {
    "no document": "{ word",
    "too many tokens": "{" + "word " * MAX_TOKENS + "}",
}


@pytest.fixture
def documents() -> Documents:
    return Documents(SCHEMA)


def test_a_right_document_is_read_once(documents: Documents) -> None:
    assert documents.read(valid(1)) is documents.read(valid(1))


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_document_is_wrong_again_and_never_kept(documents: Documents, text: str) -> None:
    told = [[error.message for error in documents.read(text).errors] for _ in range(2)]
    assert told[0] == told[1] != []
    assert documents.kept() == 0


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_again_and_never_kept(
    documents: Documents, text: str
) -> None:
    for _ in range(2):
        with pytest.raises(GraphQLSyntaxError):
            documents.read(text)
    assert documents.kept() == 0


def test_wrong_documents_push_out_no_right_one(documents: Documents) -> None:
    known = documents.read(valid(1))
    for number in range(KEPT_DOCUMENTS):
        documents.read(f"{{ nothing{number} }}")
    assert documents.read(valid(1)) is known


def test_a_long_document_is_read_and_not_kept(documents: Documents) -> None:
    assert not documents.read(valid(1).ljust(KEPT_LENGTH + 1)).errors
    assert documents.kept() == 0
    documents.read(valid(1).ljust(KEPT_LENGTH))
    assert documents.kept() == 1


def test_no_more_are_kept_than_the_bound(documents: Documents) -> None:
    for number in range(KEPT_DOCUMENTS + 10):
        documents.read(valid(number))
    assert documents.kept() == KEPT_DOCUMENTS


def test_memory_stays_as_it_is_however_many_documents_come(documents: Documents) -> None:
    rounds = 2
    tracemalloc.start()
    try:
        for number in range(KEPT_DOCUMENTS):
            documents.read(valid(number))
        full = traced_bytes()
        for number in range(KEPT_DOCUMENTS, KEPT_DOCUMENTS * (1 + rounds)):
            documents.read(valid(number))
        assert traced_bytes() < 1.1 * full  # what is not kept would be twice as much
    finally:
        tracemalloc.stop()


def test_a_document_of_the_largest_size_takes_no_more_than_is_said(documents: Documents) -> None:
    assert KEPT_LENGTH * 0.9 < len(largest(1)) <= KEPT_LENGTH
    documents.read(largest(1))  # what validation keeps for itself is made before
    tracemalloc.start()
    try:
        assert not documents.read(largest(2)).errors
        assert traced_bytes() < LARGEST_BYTES
    finally:
        tracemalloc.stop()


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_documents_of_two_schemas_do_not_mix(documents: Documents) -> None:
    other = Documents(build_schema("type Query { other: String }"))
    for _ in range(2):
        assert not documents.read(valid(1)).errors
        assert other.read(valid(1)).errors
        assert not other.read("{ other }").errors


PAYMENT = "query($id: String!) { payment(paymentId: $id) { paymentId } }"


def test_a_known_document_takes_other_variables(ask: Ask, create: Create) -> None:
    for payment_id in (create()["payment_id"], create()["payment_id"]):
        answer = ask(PAYMENT, {"id": payment_id}).json()
        assert answer == {"data": {"payment": {"paymentId": payment_id}}}


def test_variables_that_are_wrong_are_refused_for_a_known_document(
    ask: Ask, create: Create
) -> None:
    payment_id = create()["payment_id"]
    for _ in range(2):
        assert "errors" not in ask(PAYMENT, {"id": payment_id}).json()
        (error,) = ask(PAYMENT, {"id": 7}).json()["errors"]
        assert error["extensions"]["errors"][0]["field"] == "payment_id"


def test_lists_of_a_known_document_are_measured_with_each_request_s_variables(ask: Ask) -> None:
    document = """query($first: Int!) { payments(first: $first) { edges { node {
      refunds(first: 100) { edges { cursor } } } } } }"""
    for _ in range(2):
        assert "errors" not in ask(document, {"first": 1}).json()
        (error,) = ask(document, {"first": 100}).json()["errors"]
        assert error["message"].startswith("the operation's lists have up to 10100 entries")


def test_operations_of_one_document_are_measured_apart(rest: httpx.Client) -> None:
    create = 'createPayment(payload: {amount: "1", customerId: "a"}) { paymentId }'
    document = f"mutation One {{ {create} }} mutation Two {{ a: {create} b: {create} }}"
    key = {"Idempotency-Key": "one-and-two"}
    for _ in range(2):
        for name, fails in (("One", False), ("Two", True)):
            body = {"query": document, "operationName": name}
            assert ("errors" in rest.post("/graphql", json=body, headers=key).json()) == fails


@pytest.mark.parametrize("text", [*WRONG.values(), *UNREADABLE.values()])
def test_the_door_refuses_again_what_it_refused(ask: Ask, text: str) -> None:
    told = [ask(text).json()["errors"] for _ in range(2)]
    for errors in told:
        for error in errors:
            del error["extensions"]["request_id"]
    assert told[0] == told[1] != []
