"""Payments over GraphQL, from creation to refund, and what is particular to GraphQL."""

from collections.abc import Callable
from typing import Any

import httpx
from graphql import build_client_schema, get_introspection_query

Create = Callable[..., dict[str, Any]]
Ask = Callable[..., httpx.Response]

ACT = """
mutation($id: String!) {
  told: ACTION(paymentId: $id) {
    payment { status amountCaptured amountRefunded decline { code message } }
    operation { kind status amount }
    processedAt
  }
}
"""


def act(ask: Ask, payment: dict[str, Any], action: str) -> dict[str, Any]:
    answer = ask(ACT.replace("ACTION", action), {"id": payment["payment_id"]}).json()
    assert "errors" not in answer, answer
    told: dict[str, Any] = answer["data"]["told"]
    return told


def test_process_captures(ask: Ask, create: Create) -> None:
    told = act(ask, create(), "processPayment")
    assert told["payment"]["status"] == "captured"
    assert told["operation"] == {"kind": "authorize", "status": "succeeded", "amount": "10.00"}


def test_process_takes_an_action(ask: Ask, create: Create) -> None:
    document = (
        "mutation($id:String!){processPayment(paymentId:$id,action:authorize){payment{status}}}"
    )
    told = ask(document, {"id": create()["payment_id"]}).json()
    assert told["data"]["processPayment"]["payment"]["status"] == "authorized"


def test_capture_captures_what_is_held(ask: Ask, create: Create) -> None:
    payment = create(capture_method="manual")
    assert act(ask, payment, "processPayment")["payment"]["status"] == "authorized"
    assert act(ask, payment, "capturePayment")["payment"]["amountCaptured"] == "10.00"


def test_cancel_cancels(ask: Ask, create: Create) -> None:
    assert act(ask, create(), "cancelPayment")["payment"]["status"] == "canceled"


def test_refund_refunds(ask: Ask, create: Create) -> None:
    payment = create()
    act(ask, payment, "processPayment")
    assert act(ask, payment, "refundPayment")["payment"]["amountRefunded"] == "10.00"


def test_a_decline_is_no_error(ask: Ask, create: Create) -> None:
    told = act(ask, create(payment_method="decline:insufficient_funds"), "processPayment")
    assert told["payment"]["status"] == "failed"
    assert told["payment"]["decline"]["code"] == "insufficient_funds"
    assert told["operation"]["status"] == "failed"


def test_metadata_goes_in_and_out_as_an_object(ask: Ask) -> None:
    document = """mutation { createPayment(
      payload: {amount: "1", customerId: "a", metadata: {order: "7"}}) { metadata } }"""
    assert ask(document).json()["data"]["createPayment"]["metadata"] == {"order": "7"}


def test_what_has_a_default_may_be_null(ask: Ask) -> None:
    defaults = dict.fromkeys(["currency", "paymentMethod", "captureMethod", "description"])
    document = """mutation($input: PaymentInput!) { createPayment(payload: $input) {
      currency paymentMethod captureMethod description } }"""
    answer = ask(document, {"input": {"amount": "1", "customerId": "a", **defaults}}).json()
    assert answer["data"]["createPayment"] == {
        "currency": "USD",
        "paymentMethod": "card",
        "captureMethod": "automatic",
        "description": "",
    }


def test_two_spellings_that_differ_are_refused(ask: Ask) -> None:
    document = """mutation { createPayment(payload: {
      amount: "1", customerId: "a", customer_id: "b"}) { amount } }"""
    (error,) = ask(document).json()["errors"]
    assert error["extensions"]["errors"][0]["field"] == "customer_id"


def test_a_connection_goes_on_at_its_end_cursor(ask: Ask, create: Create) -> None:
    made = [create()["payment_id"] for _ in range(3)]
    document = """query($after: String) { payments(first: 2, after: $after) {
      edges { cursor node { paymentId } } pageInfo { hasNextPage hasPreviousPage endCursor } } }"""
    first = ask(document).json()["data"]["payments"]
    second = ask(document, {"after": first["pageInfo"]["endCursor"]}).json()["data"]["payments"]
    nodes = [edge["node"]["paymentId"] for edge in first["edges"] + second["edges"]]
    assert nodes == made[::-1]
    assert first["edges"][-1]["cursor"] == first["pageInfo"]["endCursor"]
    assert (first["pageInfo"]["hasNextPage"], second["pageInfo"]["hasNextPage"]) == (True, False)


def test_a_connection_is_filtered(ask: Ask, create: Create) -> None:
    wanted = create(customer_id="ann")
    create(customer_id="bob")
    document = '{ payments(customerId: "ann", status: created) { edges { node { paymentId } } } }'
    edges = ask(document).json()["data"]["payments"]["edges"]
    assert [edge["node"]["paymentId"] for edge in edges] == [wanted["payment_id"]]


def test_a_connection_is_filtered_by_metadata(ask: Ask, create: Create) -> None:
    wanted = create(metadata={"order": "7"})
    create(metadata={"order": "8"})
    document = '{ payments(metadata: {order: "7"}) { edges { node { paymentId } } } }'
    edges = ask(document).json()["data"]["payments"]["edges"]
    assert [edge["node"]["paymentId"] for edge in edges] == [wanted["payment_id"]]


def test_a_connection_is_filtered_by_time(ask: Ask, create: Create) -> None:
    made = [create() for _ in range(3)]
    document = """query($from: String, $before: String) {
      payments(createdFrom: $from, createdBefore: $before) { edges { node { paymentId } } } }"""
    times = {"from": made[1]["created_at"], "before": made[2]["created_at"]}
    edges = ask(document, times).json()["data"]["payments"]["edges"]
    assert [edge["node"]["paymentId"] for edge in edges] == [made[1]["payment_id"]]


def test_filters_that_are_null_leave_nothing_out(ask: Ask, create: Create) -> None:
    create()
    filters = ["customerId", "status", "createdFrom", "createdBefore", "metadata", "after"]
    given = ", ".join(f"{name}: null" for name in filters)
    answer = ask(f"{{ payments({given}) {{ edges {{ node {{ status }} }} }} }}").json()
    assert answer["data"]["payments"]["edges"] == [{"node": {"status": "created"}}]


def test_a_first_of_zero_is_the_default(ask: Ask, create: Create) -> None:
    made = [create()["payment_id"] for _ in range(3)]
    edges = ask("{ payments(first: 0) { edges { node { paymentId } } } }").json()
    nodes = [edge["node"]["paymentId"] for edge in edges["data"]["payments"]["edges"]]
    assert nodes == made[::-1]


def test_an_error_has_the_facts_of_the_refusal(ask: Ask, create: Create) -> None:
    answer = ask(ACT.replace("ACTION", "refundPayment"), {"id": create()["payment_id"]})
    (error,) = answer.json()["errors"]
    assert error["path"] == ["told"]
    assert error["extensions"] == {
        "code": "FAILED_PRECONDITION",
        "reason": "NOT_CAPTURED",
        "http_status": 409,
        "errors": [],
        "retry_after_ms": None,
        "request_id": answer.headers["x-request-id"],
        "metadata": {
            "status": "created",
            "allowed_actions": "process,authorize,cancel",
        },
    }


def test_a_mutation_that_fails_takes_no_other_with_it(ask: Ask, create: Create) -> None:
    document = """mutation($id: String!) {
      canceled: cancelPayment(paymentId: $id) { payment { status } }
      refunded: refundPayment(paymentId: $id) { payment { status } }
    }"""
    told = ask(document, {"id": create()["payment_id"]}).json()
    assert told["data"] == {"canceled": {"payment": {"status": "canceled"}}, "refunded": None}
    assert [error["path"] for error in told["errors"]] == [["refunded"]]


def test_get_takes_a_query(rest: httpx.Client, create: Create) -> None:
    parameters = {
        "query": "query($id:String!){payment(paymentId:$id){status}}",
        "variables": f'{{"id": "{create()["payment_id"]}"}}',
    }
    answer = rest.get("/graphql", params=parameters)
    assert answer.json() == {"data": {"payment": {"status": "created"}}}


def test_get_takes_no_mutation(rest: httpx.Client) -> None:
    document = 'mutation{createPayment(payload:{amount:"1",customerId:"a"}){amount}}'
    answer = rest.get("/graphql", params={"query": document})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["reason"] == "MALFORMED_REQUEST"
    assert rest.get("/api/payments").json()["data"] == []


def test_the_schema_can_be_read(ask: Ask) -> None:
    schema = build_client_schema(ask(get_introspection_query()).json()["data"])
    assert schema.mutation_type is not None
    assert "createPayment" in schema.mutation_type.fields


def test_a_browser_gets_graphiql(rest: httpx.Client) -> None:
    answer = rest.get("/graphql", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
