"""What HTTP itself lets in: no page of another origin, JSON that says so, each parameter once and
with a value."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from databases import copy_of
from mutating_calls import CALLS, CANCEL, CREATE, Call
from service_under_test import Servers, running

from payment_server.api import gate
from payment_server.domain.errors import Overloaded

NOWHERE = "01a20710-38df-7091-a55f-2c1049425859"
every_call = pytest.mark.parametrize("call", CALLS, ids=str)


@pytest.fixture(scope="module")
async def servers(superuser_url: str, template: str) -> AsyncIterator[Servers]:
    """One service for all: hardly anything gets so far as to change something."""
    async with copy_of(superuser_url, template) as url, running(url, {}, None) as started:
        yield started


def fields_of(reply: httpx.Response) -> list[str]:
    assert (reply.status_code, reply.json()["reason"]) == (400, "FIELD_INVALID"), reply.text
    return [each["field"] for each in reply.json()["errors"]]


# Whose page asks.


@every_call
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:1", "http://[", "null"]
)
async def test_a_page_of_another_origin_changes_nothing(
    servers: Servers, call: Call, origin: str
) -> None:
    path, headers = call.path(NOWHERE), {"Origin": origin}
    for body in ({}, {"json": call.fields}):
        reply = await servers.http.post(path, headers=headers, **body)  # type: ignore[arg-type]
        assert (reply.status_code, reply.json()["reason"]) == (400, "MALFORMED_REQUEST")


async def test_a_page_of_the_service_itself_may_ask(servers: Servers) -> None:
    headers = {"Origin": f"http://127.0.0.1:{servers.http_port}", "Sec-Fetch-Site": "same-origin"}
    reply = await servers.http.post("/v1/payments", json=CREATE.fields, headers=headers)
    assert reply.status_code == 201
    path = CANCEL.path(reply.json()["payment_id"])
    assert (await servers.http.post(path, headers=headers)).status_code == 200


# What a body says it is.


@every_call
@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"],
)
async def test_a_body_that_does_not_say_json_is_malformed(
    servers: Servers, call: Call, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    reply = await servers.http.post(call.path(NOWHERE), content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["reason"]) == (400, "MALFORMED_REQUEST")
    assert "application/json" in reply.json()["detail"]


@pytest.mark.parametrize(
    "content_type", ["Application/JSON; charset=utf-8", "application/vnd.acme+json"]
)
async def test_json_may_be_named_with_parameters_or_as_a_kind_of_json(
    servers: Servers, content_type: str
) -> None:
    body = b'{"amount": "10.00", "customer_id": "cust123"}'
    headers = {"Content-Type": content_type}
    reply = await servers.http.post("/v1/payments", content=body, headers=headers)
    assert reply.status_code == 201


# Queries.


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("customer_id=", "customer_id"),
        ("page_token=", "page_token"),
        ("page_size=1&page_size=2", "page_size"),
        ("customer_id=a&customer_id=a", "customer_id"),
        ("metadata[k]=1&metadata[k]=2", "metadata.k"),
        ("created_from=123", "created_from"),
        ("created_before=1767225600.5", "created_before"),
        ("created_from=2026-01-01", "created_from"),
        ("created_from=2026-01-01T00:00:00", "created_from"),
        ("created_from=yesterday", "created_from"),
        ("created_from=", "created_from"),
        ("status=", "status"),
    ],
)
async def test_a_parameter_of_the_list_is_refused_by_name(
    servers: Servers, query: str, named: str
) -> None:
    assert fields_of(await servers.http.get(f"/v1/payments?{query}")) == [named]


@pytest.mark.parametrize(
    "query", ["metadata[k]=", "created_from=2026-01-01T00:00:00%2B01:00", "page_size=0"]
)
async def test_what_says_something_is_a_filter(servers: Servers, query: str) -> None:
    assert (await servers.http.get(f"/v1/payments?{query}")).status_code == 200


async def test_all_wrong_parameters_are_told_at_once(servers: Servers) -> None:
    query = "customer_id=&created_from=1&page_size=1&page_size=2&p=3"
    named = fields_of(await servers.http.get(f"/v1/payments?{query}"))
    assert named == ["customer_id", "created_from", "page_size", "p"]


@pytest.mark.parametrize("name", ["payment_id", "customer_id", "cursor"])
async def test_nobody_watches_all_by_an_empty_parameter(servers: Servers, name: str) -> None:
    assert fields_of(await servers.http.get(f"/v1/events?{name}=")) == [name]


async def test_a_parameter_of_a_watch_is_given_once(servers: Servers) -> None:
    query = "customer_id=a&customer_id=b"
    assert fields_of(await servers.http.get(f"/v1/events?{query}")) == ["customer_id"]


# Answers.


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz"])
async def test_head_is_answered_like_get_without_the_body(servers: Servers, path: str) -> None:
    head, get = await asyncio.gather(servers.http.head(path), servers.http.get(path))
    assert (head.status_code, head.content) == (get.status_code, b"") == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(("wait_seconds", "told"), [(0.1, "1"), (1.0, "1"), (1.2, "2")])
async def test_retry_after_is_never_too_early(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, wait_seconds: float, told: str
) -> None:
    monkeypatch.setattr(Overloaded, "retry_after_seconds", wait_seconds)
    monkeypatch.setattr(gate, "CALLS_LIMIT", 0)
    reply = await servers.http.get("/v1/payments")
    assert (reply.json()["reason"], reply.headers["retry-after"]) == ("OVERLOADED", told)
