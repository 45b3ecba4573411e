"""What is too much, and what stays fast."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from strawberry.extensions.validation_cache import _get_validate_cache

from payment_client import AsyncPaymentClient
from requestor_mock.bodies import LIMIT_BYTES
from requestor_mock.caller import Caller
from requestor_mock.graphql import CACHED_DOCUMENTS, MAX_ALIASES, MAX_DEPTH, MAX_TOKENS, SCHEMA
from requestor_mock.graphql_schema import Context

Ask = Callable[..., httpx.Response]
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


def refusal_of(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert error["extensions"]["reason"] == "MALFORMED_REQUEST"
    message: str = error["message"]
    return message


def test_a_document_that_is_too_deep_is_refused(ask: Ask) -> None:
    document = "{ payments { edges { node " + "{ decline " * MAX_DEPTH + "}" * MAX_DEPTH + "}}}"
    assert "depth" in " ".join(error["message"] for error in ask(document).json()["errors"])


def test_a_document_with_too_many_aliases_is_refused(ask: Ask) -> None:
    aliased = " ".join(f"a{n}: __typename" for n in range(MAX_ALIASES + 1))
    assert "aliases" in refusal_of(ask(f"{{ {aliased} }}"))


def test_aliases_in_fragments_count(ask: Ask) -> None:
    half = " ".join(f"a{n}: __typename" for n in range(MAX_ALIASES // 2 + 1))
    other = half.replace("a", "b").replace("b:", "a:").replace("typenbme", "typename")
    fragments = f"fragment A on Query {{ {half} }} fragment B on Query {{ {other} }}"
    assert "aliases" in refusal_of(ask(f"{{ ...A ...B }} {fragments}"))


def test_a_document_with_too_many_tokens_is_refused(ask: Ask) -> None:
    assert "tokens" in refusal_of(ask("{" + "__typename " * MAX_TOKENS + "}"))


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
