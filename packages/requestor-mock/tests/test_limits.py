"""What is too much, and what stays fast."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from graphql import GraphQLObjectType, get_nullable_type, is_list_type

from requestor_mock.bodies import LIMIT_BYTES
from requestor_mock.graphql_execution import SCHEMA
from requestor_mock.graphql_limits import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_LISTS,
    MAX_ROWS,
    MAX_TOKENS,
    PAGE_SIZES,
)

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


NESTED = """query($outer: Int! = 1, $inner: Int! = 1) {
  payments(first: $outer) { edges { node { refunds(first: $inner) { edges { cursor } } } } } }"""


@pytest.mark.parametrize(("outer", "inner"), [(1, 100), (19, 100), (100, 19)])
def test_lists_within_lists_are_taken(ask: Ask, outer: int, inner: int) -> None:
    assert "errors" not in ask(NESTED, {"outer": outer, "inner": inner}).json()


@pytest.mark.parametrize(
    ("outer", "inner", "rows"), [(100, 100, 10_100), (100, 20, 2_100), (20, 100, 2_020)]
)
def test_lists_within_lists_count_as_often_as_they_may_be(
    ask: Ask, outer: int, inner: int, rows: int
) -> None:
    (told,) = messages(ask(NESTED, {"outer": outer, "inner": inner}))
    assert told.startswith(
        f"the operation's lists have up to {rows} entries; at most {MAX_ROWS} are allowed"
    )


def test_what_first_says_in_the_document_counts(ask: Ask) -> None:
    document = NESTED.replace("$outer: Int! = 1, $inner: Int! = 1", "$outer: Int! = 21")
    (told,) = messages(ask(document.replace("$inner", "100")))
    assert "up to 2121 entries" in told


def test_lists_without_a_first_count_as_what_they_have_by_default(ask: Ask) -> None:
    both = "refunds { edges { cursor } } events { edges { cursor } }"
    assert "errors" not in ask(f"{{ payments {{ edges {{ node {{ {both} }} }} }} }}").json()


def test_a_first_of_zero_counts_as_the_default(ask: Ask) -> None:
    assert "errors" not in ask(NESTED, {"outer": 0, "inner": 0}).json()
    (told,) = messages(ask(NESTED, {"outer": 0, "inner": 100}))
    assert "up to 5050 entries" in told


def test_many_small_lists_are_refused(ask: Ask) -> None:
    lists = " ".join(f"{name}(first: 1) {{ edges {{ cursor }} }}" for name in ("refunds", "events"))
    (told,) = messages(ask(f"{{ payments(first: 64) {{ edges {{ node {{ {lists} }} }} }} }}"))
    assert told == f"the operation asks for up to 129 lists; at most {MAX_LISTS} are allowed"


CIRCLE = """{ payment(paymentId: "1") { events(first: FIRST) { edges { node { payment {
  refunds(first: 1) { edges { cursor } } events(first: FIRST) { edges { cursor } } } } } } } }"""


def test_events_whose_payment_has_events_are_taken(ask: Ask) -> None:
    (error,) = ask(CIRCLE.replace("FIRST", "10")).json()["errors"]
    assert error["extensions"]["reason"] == "PAYMENT_NOT_FOUND"


def test_events_whose_payment_has_events_multiply(ask: Ask) -> None:
    (told,) = messages(ask(CIRCLE.replace("FIRST", "50")))
    assert "up to 2600 entries" in told


def test_lists_in_fragments_count_as_often_as_they_are_spread(ask: Ask) -> None:
    fragment = "fragment F on Payment { refunds(first: 100) { edges { cursor } } }"
    spread = "payments(first: 15) { edges { node { ...F } } }"
    assert "errors" not in ask(f"{{ {spread} }} {fragment}").json()
    (told,) = messages(ask(f"{{ a: {spread} b: {spread} }} {fragment}"))
    assert "up to 3030 entries" in told


def test_a_mutation_whose_lists_multiply_does_nothing(ask: Ask, rest: httpx.Client) -> None:
    events = "events(first: 100) { edges { node { payment { refunds(first: 100) { edges { cursor"
    document = f"""mutation {{ createPayment(payload: {{amount: "1", customerId: "a"}}) {{
      {events} {"}" * 6} }} }}"""
    messages(ask(document))
    assert rest.get("/api/payments").json()["data"] == []


@pytest.mark.parametrize("first", ["-1", "101", "1" * 5_000])
def test_a_list_that_will_be_refused_counts_as_the_longest(ask: Ask, first: str) -> None:
    answer = ask(f"{{ payments(first: {first}) {{ edges {{ cursor }} }} }}").json()
    assert [error["extensions"]["reason"] for error in answer["errors"]] == ["FIELD_INVALID"]


def test_every_list_of_the_schema_is_counted() -> None:
    paged = {
        name
        for kind in SCHEMA._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items()
        if "first" in field.args
    }
    assert paged == PAGE_SIZES.keys()


def test_nothing_is_a_list_without_being_a_page() -> None:
    lists = {
        f"{kind.name}.{name}"
        for kind in SCHEMA._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
        if is_list_type(get_nullable_type(field.type)) and not kind.name.endswith("Connection")
    }
    assert lists == {"Payment.allowedActions"}


def test_introspection_in_circles_is_refused(ask: Ask) -> None:
    circle = "{ type { fields " * 5
    document = f"{{ __schema {{ types {{ fields {circle} {{ name }} {'}}' * 5} }} }} }}"
    assert messages(ask(document)) == ["Maximum introspection depth exceeded"]
