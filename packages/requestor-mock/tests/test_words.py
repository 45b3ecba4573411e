"""The calls that the contract promises word for word."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

QUERY = (
    "query ($id: String!)"
    " { payment(paymentId: $id) { paymentId amount currency status createdAt } }"
)
MUTATION = (
    "mutation ($input: PaymentInput!)"
    " { createPayment(payload: $input) { paymentId amount currency status createdAt } }"
)
BODY = {"amount": "10.00", "currency": "USD", "customer_id": "cust123", "payment_method": "card"}

Create = Callable[..., dict[str, Any]]
Ask = Callable[..., httpx.Response]


def test_a_payment_is_created_by_rest(rest: httpx.Client) -> None:
    answer = rest.post("/api/payments", json=BODY)
    assert answer.status_code == 201
    told = answer.json()
    assert told["success"] is True
    data = told["data"]
    assert (data["amount"], data["currency"], data["status"]) == ("10.00", "USD", "created")


def test_a_payment_is_read_by_rest(rest: httpx.Client, create: Create) -> None:
    created = create()
    answer = rest.get(f"/api/payments/{created['payment_id']}")
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "data": created}


def test_a_payment_is_created_by_graphql(ask: Ask) -> None:
    body = {"amount": "10.00", "currency": "USD", "customerId": "cust123", "paymentMethod": "card"}
    payment = ask(MUTATION, {"input": body}).json()["data"]["createPayment"]
    assert (payment["amount"], payment["currency"], payment["status"]) == (
        "10.00",
        "USD",
        "created",
    )


def test_a_payment_is_read_by_graphql(ask: Ask, create: Create) -> None:
    created = create()
    told = ask(QUERY, {"id": created["payment_id"]}).json()
    assert told["data"]["payment"] == {
        "paymentId": created["payment_id"],
        "amount": "10.00",
        "currency": "USD",
        "status": "created",
        "createdAt": created["created_at"],
    }


def test_graphql_takes_the_spellings_of_the_wire(ask: Ask) -> None:
    body = {"amount": "10.00", "customer_id": "cust123", "payment_method": "card_visa"}
    document = (
        "mutation($input:PaymentInput!){createPayment(payload:$input){customerId paymentMethod}}"
    )
    payment = ask(document, {"input": body}).json()["data"]["createPayment"]
    assert payment == {"customerId": "cust123", "paymentMethod": "card_visa"}


def test_currency_and_payment_method_have_defaults_in_graphql(ask: Ask) -> None:
    document = (
        "mutation($input:PaymentInput!){createPayment(payload:$input){currency paymentMethod}}"
    )
    body = {"amount": "10.00", "customerId": "cust123"}
    payment = ask(document, {"input": body}).json()["data"]["createPayment"]
    assert payment == {"currency": "USD", "paymentMethod": "card"}


def test_currency_and_payment_method_have_defaults_in_rest(create: Create) -> None:
    data = create()
    assert (data["currency"], data["payment_method"]) == ("USD", "card")


def test_times_are_rfc_3339_in_utc(create: Create) -> None:
    created_at = create()["created_at"]
    assert created_at.endswith("Z")
    assert datetime.fromisoformat(created_at).utcoffset() is not None


def test_the_health_names_both_services(rest: httpx.Client) -> None:
    answer = rest.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "healthy", "payment_service": "reachable"}


def test_the_health_is_no_merchants(mock: Any) -> None:
    merchant = {b"X-Merchant-Id": "é".encode()}
    assert httpx.get(f"{mock.url}/health", headers=merchant).status_code == 200


@pytest.mark.parametrize("service", ["mock", "lonely_mock"])
def test_head_tells_the_health_without_a_body(request: pytest.FixtureRequest, service: str) -> None:
    url = f"{request.getfixturevalue(service).url}/health"
    asked, told = httpx.head(url), httpx.get(url)
    assert (asked.status_code, asked.content) == (told.status_code, b"")
    assert asked.headers["content-length"] == told.headers["content-length"]
