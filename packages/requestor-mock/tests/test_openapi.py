"""The description of the REST door."""

from typing import Any

import httpx
import pytest

STEPS = ("process", "capture", "cancel", "complete", "refund")


@pytest.fixture
def description(rest: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = rest.get("/docs/openapi.json").json()
    return told


def test_it_is_openapi_3_1(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")


def test_every_operation_is_described(description: dict[str, Any]) -> None:
    found = {
        (method, path)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
        if operation.get("description")
    }
    payment = "/api/payments/{payment_id}"
    assert found == {
        ("get", "/health"),
        ("get", "/api/payments"),
        ("post", "/api/payments"),
        ("get", payment),
        *{("post", f"{payment}/{step}") for step in STEPS},
        ("get", f"{payment}/refunds"),
        ("get", f"{payment}/events"),
        ("get", "/api/refunds/{refund_id}"),
    }


@pytest.mark.parametrize("name", ["Payment", "Operation", "Refund", "Event", "NextAction"])
def test_every_field_of_what_is_shown_is_described(description: dict[str, Any], name: str) -> None:
    properties = description["components"]["schemas"][name]["properties"]
    assert properties
    assert all("description" in each for each in properties.values())


def test_a_time_is_described_as_one(description: dict[str, Any]) -> None:
    properties = description["components"]["schemas"]["CreatePayment"]["properties"]
    assert {"type": "string", "format": "date-time"}.items() <= properties["expires_at"]["oneOf"][
        0
    ].items()


def test_a_problem_has_its_media_type(description: dict[str, Any]) -> None:
    responses = description["paths"]["/api/payments"]["post"]["responses"]
    assert list(responses["422"]["content"]) == ["application/problem+json"]
