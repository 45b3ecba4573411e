"""One key, one effect, through whichever door it comes."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

BODY = {"amount": "10.00", "customer_id": "cust123"}
FIELDS = "paymentId merchantId customerId amount status version createdAt updatedAt"
CREATE = f"""
mutation($key: String) {{
  createPayment(payload: {{amount: "10", customerId: "cust123"}}, idempotencyKey: $key) {{
    {FIELDS}
  }}
}}
"""
CREATE_TWICE = f"""
mutation {{
  a: createPayment(payload: {{amount: "1", customerId: "a"}}) {{ {FIELDS} }}
  ...Another
}}
fragment Another on Mutation {{
  b: createPayment(payload: {{amount: "1", customerId: "b"}}) {{ {FIELDS} }}
}}
"""

Create = Callable[..., dict[str, Any]]
Ask = Callable[..., httpx.Response]


def camel(name: str) -> str:
    return re.sub(r"_(.)", lambda found: found.group(1).upper(), name)


def test_a_replay_by_rest_has_the_same_bytes(rest: httpx.Client) -> None:
    first, second = (
        rest.post("/api/payments", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert (first.status_code, first.content) == (second.status_code, second.content)


def test_a_replay_by_rest_says_so(rest: httpx.Client) -> None:
    first, second = (
        rest.post("/api/payments", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2)
    )
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("spelling", ["10", "10.0", "10.00"])
def test_the_spelling_of_an_amount_does_not_matter(rest: httpx.Client, spelling: str) -> None:
    rest.post("/api/payments", json=BODY, headers={"Idempotency-Key": "k"})
    body = BODY | {"amount": spelling, "idempotency_key": "k"}
    answer = rest.post("/api/payments", json=body)
    assert answer.headers["idempotency-replayed"] == "true"


def test_a_replay_by_graphql_has_the_values_of_rest(rest: httpx.Client, ask: Ask) -> None:
    by_rest = rest.post("/api/payments", json=BODY | {"idempotency_key": "k"}).json()["data"]
    answer = ask(CREATE, {"key": "k"})
    by_graphql = answer.json()["data"]["createPayment"]
    assert answer.headers["idempotency-replayed"] == "true"
    assert by_graphql.items() <= {camel(name): value for name, value in by_rest.items()}.items()


def test_a_processed_payment_replays_through_the_other_door(
    rest: httpx.Client, ask: Ask, create: Create
) -> None:
    payment_id = create()["payment_id"]
    path = f"/api/payments/{payment_id}/process"
    by_rest = rest.post(path, headers={"Idempotency-Key": "k"}).json()
    document = (
        "mutation($id:String!){processPayment(paymentId:$id,idempotencyKey:$key)"
        "{processedAt payment{updatedAt version} operation{operationId}}}"
    ).replace("$key", '"k"')
    told = ask(document, {"id": payment_id}).json()["data"]["processPayment"]
    assert told == {
        "processedAt": by_rest["processed_at"],
        "payment": {
            "updatedAt": by_rest["data"]["updated_at"],
            "version": by_rest["data"]["version"],
        },
        "operation": {"operationId": by_rest["operation"]["operation_id"]},
    }


def test_a_decline_replays(rest: httpx.Client, create: Create) -> None:
    payment = create(payment_method="decline:insufficient_funds")
    path = f"/api/payments/{payment['payment_id']}/process"
    first, second = (rest.post(path, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == second.content
    assert second.json()["data"]["attempts"] == 1


def test_a_key_with_other_content_is_refused(rest: httpx.Client) -> None:
    rest.post("/api/payments", json=BODY, headers={"Idempotency-Key": "k"})
    other = BODY | {"amount": "11.00"}
    answer = rest.post("/api/payments", json=other, headers={"Idempotency-Key": "k"})
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "ALREADY_EXISTS")
    assert told["reason"] == "IDEMPOTENCY_KEY_REUSED"


def test_the_same_key_in_header_and_body_is_one_key(rest: httpx.Client) -> None:
    body = BODY | {"idempotency_key": "k"}
    answer = rest.post("/api/payments", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201


def test_two_keys_that_differ_are_refused_by_rest(rest: httpx.Client) -> None:
    body = BODY | {"idempotency_key": "one"}
    answer = rest.post("/api/payments", json=body, headers={"Idempotency-Key": "two"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "FIELD_INVALID")
    assert [each["field"] for each in answer.json()["errors"]] == ["idempotency_key"]


def test_two_keys_that_differ_are_refused_by_graphql(ask: Ask) -> None:
    (error,) = ask(CREATE, {"key": "one"}, **{"Idempotency-Key": "two"}).json()["errors"]
    assert error["extensions"]["reason"] == "FIELD_INVALID"
    assert [each["field"] for each in error["extensions"]["errors"]] == ["idempotency_key"]


def test_without_a_key_each_call_is_its_own(create: Create) -> None:
    assert create()["payment_id"] != create()["payment_id"]


def test_the_header_counts_for_a_document_with_one_mutation(ask: Ask) -> None:
    first, second = (ask(CREATE, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"


def test_the_header_is_refused_where_it_could_mean_two_mutations(
    ask: Ask, rest: httpx.Client
) -> None:
    (error,) = ask(CREATE_TWICE, **{"Idempotency-Key": "k"}).json()["errors"]
    assert error["extensions"]["reason"] == "FIELD_INVALID"
    assert rest.get("/api/payments").json()["data"] == []


def test_a_typename_beside_it_is_no_second_mutation(ask: Ask) -> None:
    document = CREATE.replace("createPayment(", "__typename createPayment(", 1)
    first, second = (ask(document, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"


REPEATED = {"Idempotency-Key": "idempotency_key", "X-Merchant-Id": "x-merchant-id"}


@pytest.mark.parametrize("path", ["/api/payments", "/graphql"])
@pytest.mark.parametrize(("header", "field"), REPEATED.items())
def test_a_header_that_says_two_things_is_refused(
    mock: Any, told: Callable[[httpx.Response], Any], path: str, header: str, field: str
) -> None:
    body = {"query": CREATE} if path == "/graphql" else BODY
    answer = httpx.post(mock.url + path, json=body, headers=[(header, "one"), (header, "two")])
    assert told(answer)[:4] == ("FIELD_INVALID", "INVALID_ARGUMENT", 400, [field])


def test_a_header_that_says_the_same_twice_is_taken(rest: httpx.Client) -> None:
    headers = [("Idempotency-Key", "k"), ("Idempotency-Key", "k")]
    assert rest.post("/api/payments", json=BODY, headers=headers).status_code == 201


def test_several_mutations_may_have_a_key_each(ask: Ask) -> None:
    document = """mutation {
      a: createPayment(payload: {amount: "1", customerId: "a"}, idempotencyKey: "a") { paymentId }
      b: createPayment(payload: {amount: "1", customerId: "b"}, idempotencyKey: "b") { paymentId }
    }"""
    first, second = ask(document), ask(document)
    assert first.content == second.content


def test_only_the_operation_that_runs_counts(rest: httpx.Client) -> None:
    document = f"query Read {{ __typename }} {CREATE_TWICE.replace('mutation', 'mutation Two')}"
    body = {"query": document, "operationName": "Read"}
    answer = rest.post("/graphql", json=body, headers={"Idempotency-Key": "k"})
    assert answer.json() == {"data": {"__typename": "Query"}}


def test_simultaneous_twins_get_one_payment(rest: httpx.Client) -> None:
    def post(_: int) -> bytes:
        return rest.post("/api/payments", json=BODY, headers={"Idempotency-Key": "k"}).content

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(post, range(20)))) == 1
