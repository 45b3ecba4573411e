"""The description of the REST door."""

from typing import Any

import httpx
import pytest


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
        *{("post", f"{payment}/{each}") for each in ("process", "capture", "cancel", "refund")},
    }


def test_every_field_of_a_payment_is_described(description: dict[str, Any]) -> None:
    properties = description["components"]["schemas"]["Payment"]["properties"]
    assert properties["amount_captured"]["description"] == "What was taken."
    assert all("description" in each for each in properties.values())


def test_a_problem_has_its_media_type(description: dict[str, Any]) -> None:
    responses = description["paths"]["/api/payments"]["post"]["responses"]
    assert list(responses["422"]["content"]) == ["application/problem+json"]
