"""POST /v1/payments/batch: what gRPC's BatchCreatePayments says, as JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from databases import copy_of
from service_under_test import Servers, refusal, running

from payment.v1 import payment_pb2 as pb
from payment_server.api import gate

PATH = "/v1/payments/batch"
REQUEST_ID = {"X-Request-Id": "r-1"}


@pytest.fixture(scope="module")
async def servers(superuser_url: str, template: str) -> AsyncIterator[Servers]:
    """One service for all: each test has a customer of its own."""
    async with copy_of(superuser_url, template) as url, running(url, {}, None) as started:
        yield started


@pytest.fixture
def customer(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name


def items(customer: str, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Requests with a key each."""
    return [
        {
            "amount": f"{number + 1}.00",
            "customer_id": customer,
            "idempotency_key": f"{customer}-{number}",
            **fields,
        }
        for number in range(count)
    ]


async def replied(
    servers: Servers, requests: object, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    body = {"requests": requests}
    return await servers.http.post(PATH, json=body, headers=headers, timeout=15)


async def results_of(
    servers: Servers, requests: Sequence[object], headers: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    reply = await replied(servers, requests, headers)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body.keys() == {"success", "results"}
    assert body["success"] is True
    results: list[dict[str, Any]] = body["results"]
    return results


async def listed(servers: Servers, customer: str) -> list[dict[str, Any]]:
    """The customer's payments, oldest first."""
    query = {"customer_id": customer, "page_size": "1000"}
    payments: list[dict[str, Any]] = (await servers.http.get("/v1/payments", params=query)).json()[
        "payments"
    ]
    return payments[::-1]


# Each item for itself.


async def test_each_payment_is_recorded_in_the_order_of_the_request(
    servers: Servers, customer: str
) -> None:
    results = await results_of(servers, items(customer, 300))
    told = [
        {"success": True, "data": each, "replayed": ""} for each in await listed(servers, customer)
    ]
    assert results == told
    assert [each["data"]["amount"] for each in results] == [f"{n}.00" for n in range(1, 301)]


async def test_the_same_batch_is_a_replay_on_either_wire(servers: Servers, customer: str) -> None:
    requests = items(customer, 3)
    before = await results_of(servers, requests)
    again = await results_of(servers, requests)
    assert [each["replayed"] for each in again] == ["true"] * 3
    assert [each["data"] for each in again] == [each["data"] for each in before]
    batch = pb.BatchCreatePaymentsRequest(
        requests=[pb.CreatePaymentRequest(**each) for each in requests]
    )
    answer = await servers.stub.BatchCreatePayments(batch)
    assert [each.idempotency_replayed for each in answer.results] == ["true"] * 3


REFUSED: dict[str, object] = {
    "no object": 42,
    "an empty object": {},
    "types": {"amount": 10, "customer_id": None, "colour": "red"},
    "values": {"amount": "-1", "customer_id": "", "currency": "XYZ"},
    "a time": {"amount": "1.00", "customer_id": "c", "expires_at": "tomorrow"},
    "a choice": {"amount": "1.00", "customer_id": "c", "capture_method": "later"},
    "card data": {"amount": "1.00", "customer_id": "c", "description": "4539578763621486"},
    "a key": {"amount": "1.00", "customer_id": "c", "idempotency_key": "é"},
    "size": {"amount": "1.00", "customer_id": "c", "description": "x" * 65_536},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_an_item_is_refused_as_its_own_request_is_and_its_neighbours_are_not(
    servers: Servers, customer: str, what: str
) -> None:
    before, after = items(customer, 2)
    results = await results_of(servers, [before, REFUSED[what], after], REQUEST_ID)
    alone = await servers.http.post("/v1/payments", json=REFUSED[what], headers=REQUEST_ID)
    assert alone.is_client_error
    assert _item_of_a_batch(alone.json()) == results[1]
    assert await listed(servers, customer) == [results[0]["data"], results[2]["data"]]


def _item_of_a_batch(problem: dict[str, Any]) -> dict[str, Any]:
    """A problem as a batch tells it: of its own address, and of an item that is no body."""
    detail = problem["detail"].replace("the body must be", "the request must be")
    return {**problem, "instance": PATH, "detail": detail}


async def test_a_key_of_another_meaning_is_that_items_problem(
    servers: Servers, customer: str
) -> None:
    first, second = await results_of(servers, items(customer, 2, idempotency_key=customer))
    assert first["success"] is True
    assert (second["success"], second["status"]) == (False, 422)
    assert second["reason"] == "IDEMPOTENCY_KEY_REUSED"


# The batch as a whole.


def fields_of(reply: httpx.Response) -> list[str]:
    assert (reply.status_code, reply.json()["reason"]) == (400, "FIELD_INVALID"), reply.text
    return [each["field"] for each in reply.json()["errors"]]


@pytest.mark.parametrize("requests", [[], [{}] * 1_001, "two", {}, None], ids=repr)
async def test_what_is_no_batch_is_refused_by_name(servers: Servers, requests: object) -> None:
    assert fields_of(await replied(servers, requests)) == ["requests"]


async def test_a_header_with_a_key_is_refused(servers: Servers, customer: str) -> None:
    reply = await replied(servers, items(customer, 1), {"Idempotency-Key": "k"})
    assert fields_of(reply) == ["idempotency_key"]
    assert await listed(servers, customer) == []


async def test_a_field_beside_the_requests_is_refused(servers: Servers) -> None:
    reply = await servers.http.post(PATH, json={"requests": [{}], "atomic": True})
    assert fields_of(reply) == ["atomic"]


async def test_a_batch_has_a_mebibyte_and_other_requests_have_less(
    servers: Servers, customer: str
) -> None:
    body = json.dumps({"requests": items(customer, 1)}).encode()
    headers = {"Content-Type": "application/json"}
    for path, limit in ((PATH, 1024 * 1024), ("/v1/payments", 64 * 1024)):
        reply = await servers.http.post(path, content=body.ljust(limit + 1), headers=headers)
        assert (reply.status_code, reply.json()["reason"]) == (413, "MESSAGE_TOO_LARGE")
        assert reply.json()["metadata"] == {"limit_bytes": str(limit)}
    assert await listed(servers, customer) == []
    reply = await servers.http.post(PATH, content=body.ljust(1024 * 1024), headers=headers)
    assert reply.status_code == 200


async def test_batches_of_both_wires_are_bounded_together(
    servers: Servers, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "ITEMS_LIMIT", 100)
    requests = items(customer, 101)
    batch = pb.BatchCreatePaymentsRequest(
        requests=[pb.CreatePaymentRequest(**each) for each in requests]
    )
    reply, failed = await asyncio.gather(
        replied(servers, requests), refusal(servers.stub.BatchCreatePayments(batch))
    )
    assert (reply.status_code, reply.json()["reason"]) == (503, "OVERLOADED")
    assert failed.reason == "OVERLOADED"
    assert await listed(servers, customer) == []


async def test_the_documentation_shows_items_and_results(servers: Servers) -> None:
    schemas = (await servers.http.get("/docs/openapi.json")).json()["components"]["schemas"]
    requests = schemas["BatchCreatePaymentsBody"]["properties"]["requests"]
    assert name_of(requests["items"]) in schemas
    created, problem = schemas["BatchBody"]["properties"]["results"]["items"]["oneOf"]
    assert name_of(created["properties"]["data"]) in schemas
    [example] = requests["examples"]
    [good, bad] = await results_of(servers, [*example, {}])
    assert good.keys() == set(created["required"]) == created["properties"].keys()
    assert bad.keys() == schemas[name_of(problem)]["properties"].keys()


def name_of(reference: dict[str, str]) -> str:
    return reference["$ref"].removeprefix("#/components/schemas/")
