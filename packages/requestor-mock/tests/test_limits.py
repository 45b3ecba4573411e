"""What is too much, and what stays fast."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from strawberry.extensions.validation_cache import _get_validate_cache

from payment_client import AsyncPaymentClient
from requestor_mock.bodies import LIMIT_BYTES
from requestor_mock.caller import Caller
from requestor_mock.graphql_execution import CACHED_DOCUMENTS, SCHEMA
from requestor_mock.graphql_limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS
from requestor_mock.graphql_types import Context

Ask = Callable[..., httpx.Response]
PATIENCE_SECONDS = 5
"""Walked into one by one, the fragments would take longer than the world will last."""
JSON = {"Content-Type": "application/json"}


def in_pieces(text: bytes) -> Iterator[bytes]:
    """A body whose length is not told beforehand."""
    for start in range(0, len(text), 4096):
        yield text[start : start + 4096]


@pytest.mark.parametrize("door", ["/api/payments", "/graphql"])
@pytest.mark.parametrize("length_is_told", [True, False])
def test_a_body_above_the_limit_is_refused(
    rest: httpx.Client, door: str, length_is_told: bool
) -> None:
    body = b'{"query": "{__typename}"}'.ljust(LIMIT_BYTES + 1)
    answer = rest.post(door, content=body if length_is_told else in_pieces(body), headers=JSON)
    told = answer.json()
    facts = told["errors"][0]["extensions"] if door == "/graphql" else told
    assert answer.status_code == 413
    assert (facts["reason"], facts["code"]) == ("MESSAGE_TOO_LARGE", "RESOURCE_EXHAUSTED")


def test_a_body_at_the_limit_is_taken(rest: httpx.Client) -> None:
    body = b'{"query": "{__typename}"}'.ljust(LIMIT_BYTES)
    assert rest.post("/graphql", content=body, headers=JSON).json() == {
        "data": {"__typename": "Query"}
    }


def messages(answer: httpx.Response) -> list[str]:
    errors = answer.json()["errors"]
    assert {error["extensions"]["reason"] for error in errors} == {"MALFORMED_REQUEST"}
    return [error["message"] for error in errors]


def test_a_document_that_is_too_deep_is_refused(ask: Ask) -> None:
    document = "{ payments { edges { node " + "{ decline " * MAX_DEPTH + "}" * MAX_DEPTH + "}}}"
    told = messages(ask(document))
    assert f"the operation has a depth of 13; at most {MAX_DEPTH} is allowed" in told


def test_a_document_with_too_many_aliases_is_refused(ask: Ask) -> None:
    aliased = " ".join(f"a{n}: __typename" for n in range(16))
    told = messages(ask(f"{{ {aliased} }}"))
    assert told == [f"the operation has 16 aliases; at most {MAX_ALIASES} are allowed"]


def test_as_many_aliases_as_allowed_are_taken(ask: Ask) -> None:
    aliased = " ".join(f"a{n}: __typename" for n in range(MAX_ALIASES))
    assert "errors" not in ask(f"{{ {aliased} }}").json()


def test_aliases_in_fragments_count_as_often_as_they_are_spread(ask: Ask) -> None:
    fragment = "fragment F on Payment { " + " ".join(f"a{n}: amount" for n in range(7)) + " }"
    roots = " ".join(f'r{n}: payment(paymentId: "1") {{ ...F }}' for n in range(2))
    told = messages(ask(f"{{ {roots} }} {fragment}"))
    assert told == [f"the operation has 16 aliases; at most {MAX_ALIASES} are allowed"]


@pytest.mark.parametrize("operation", ["query", "mutation"])
def test_fragments_that_double_each_other_take_no_time(ask: Ask, operation: str) -> None:
    root = operation.capitalize()
    levels = range(90)
    doubling = [f"fragment F{n} on {root} {{ ...F{n + 1} ...F{n + 1} }}" for n in levels]
    last = f"fragment F90 on {root} {{ a: __typename }}"
    began = time.monotonic()
    told = messages(ask(" ".join([f"{operation} {{ ...F0 }}", *doubling, last])))
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert "aliases" in told[0]


def test_a_document_with_too_many_tokens_is_refused(ask: Ask) -> None:
    (told,) = messages(ask("{" + "__typename " * MAX_TOKENS + "}"))
    assert "tokens" in told


def test_introspection_in_circles_is_refused(ask: Ask) -> None:
    circle = "{ type { fields " * 5
    document = f"{{ __schema {{ types {{ fields {circle} {{ name }} {'}}' * 5} }} }} }}"
    assert messages(ask(document)) == ["Maximum introspection depth exceeded"]


async def test_a_known_document_is_not_validated_again() -> None:
    cache: Any = _get_validate_cache(CACHED_DOCUMENTS)
    document = "query KnownDocument { __typename }"
    context = Context(Caller(AsyncPaymentClient(), "r-1", {}), None)
    await SCHEMA.execute(document, context_value=context)
    hits = cache.cache_info().hits
    await SCHEMA.execute(document, context_value=context)
    assert cache.cache_info().hits == hits + 1


def test_the_cache_of_documents_is_bounded() -> None:
    cache: Any = _get_validate_cache(CACHED_DOCUMENTS)
    assert cache.cache_info().maxsize == CACHED_DOCUMENTS
