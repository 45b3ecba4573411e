"""The operations of /v1: what each body may say, what the answers say, and that gRPC says the
same."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from databases import copy_of
from mutating_calls import (
    CANCEL,
    CAPTURE,
    COMPLETE,
    PROCESS,
    REFUND,
    STEPS,
    Call,
    http_reply,
    over_grpc,
    said,
)
from service_under_test import Servers, Start, running

from payment.v1 import payment_pb2 as pb

NOWHERE = "01a20710-38df-7091-a55f-2c1049425859"
every_step = pytest.mark.parametrize("call", STEPS, ids=str)


@pytest.fixture(scope="module")
async def servers(superuser_url: str, template: str) -> AsyncIterator[Servers]:
    """One service for all: each test has payments and a key of its own."""
    async with copy_of(superuser_url, template) as url, running(url, {}, None) as started:
        yield started


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def got(servers: Servers, path: str, **query: Any) -> dict[str, Any]:
    reply = await servers.http.get(f"/v1{path}", params=query)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


# Bodies.


@every_step
@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
async def test_a_step_needs_no_body(servers: Servers, call: Call, body: bytes) -> None:
    payment_id = await call.prepared(servers)
    headers = {"Content-Type": "application/json"} if body else {}
    reply = await servers.http.post(call.path(payment_id), content=body, headers=headers)
    assert (reply.status_code, reply.json()["operation"]["status"]) == (200, "succeeded")


@every_step
async def test_an_unknown_field_is_refused_by_name(servers: Servers, call: Call) -> None:
    reply = await http_reply(servers, call, NOWHERE, amuont="1")
    assert (reply.status_code, reply.json()["reason"]) == (400, "FIELD_INVALID")
    assert [each["field"] for each in reply.json()["errors"]] == ["amuont"]


WRONG: list[tuple[Call, dict[str, Any], str]] = [
    (CAPTURE, {"amount": 4}, "amount"),
    (CAPTURE, {"amount": "1e3"}, "amount"),
    (CAPTURE, {"amount": ""}, "amount"),
    (REFUND, {"amount": ""}, "amount"),
    (PROCESS, {"action": "capture", "amount": ""}, "amount"),
    (CANCEL, {"expected_version": "2"}, "expected_version"),
    (CAPTURE, {"final": "yes"}, "final"),
    (CANCEL, {"expected_version": -1}, "expected_version"),
    (CANCEL, {"expected_version": "two"}, "expected_version"),
    (CANCEL, {"expected_version": 2**63}, "expected_version"),
    (REFUND, {"reason": "r" * 256}, "reason"),
    (REFUND, {"reason": "a\x00b"}, "reason"),
    (COMPLETE, {"result": "maybe"}, "result"),
    (COMPLETE, {"result": "r" * 1_001}, "result"),
    (PROCESS, {"action": "complete"}, "action"),
    (CAPTURE, {"idempotency_key": "k" * 256}, "idempotency_key"),
]


@pytest.mark.parametrize(("call", "fields", "named"), WRONG, ids=str)
async def test_a_wrong_field_is_named(
    servers: Servers, call: Call, fields: dict[str, Any], named: str
) -> None:
    reply = await http_reply(servers, call, NOWHERE, fields=fields)
    assert (reply.status_code, reply.json()["reason"]) == (400, "FIELD_INVALID")
    assert [each["field"] for each in reply.json()["errors"]] == [named]


@pytest.mark.parametrize("call", [CAPTURE, REFUND], ids=str)
async def test_an_amount_of_null_is_all_that_is_left_and_the_same_wish_as_none(
    servers: Servers, key: str, call: Call
) -> None:
    payment_id = await call.prepared(servers)
    first = await http_reply(servers, call, payment_id, key=key, fields={"amount": None})
    assert first.json()["operation"]["amount"] == "10.00"
    again = await http_reply(servers, call, payment_id, key=key, fields={})
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    on_grpc = await over_grpc(servers, call, payment_id, key=key, fields={})
    assert on_grpc.replayed == "true"


@pytest.mark.parametrize("reason", ["paid by 4111 1111 1111 1111", "%B4111111111111111^A/B^29"])
async def test_card_data_in_a_reason_is_refused_and_not_echoed(
    servers: Servers, reason: str
) -> None:
    reply = await http_reply(servers, REFUND, NOWHERE, fields={"reason": reason})
    assert (reply.status_code, reply.json()["reason"]) == (400, "CARD_DATA_REJECTED")
    assert "1111" not in reply.text


@every_step
async def test_the_key_may_come_in_the_body_or_in_the_header(
    servers: Servers, key: str, call: Call
) -> None:
    payment_id = await call.prepared(servers)
    first = await http_reply(servers, call, payment_id, key=key)
    again = await http_reply(servers, call, payment_id, idempotency_key=key)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    differing = await http_reply(servers, call, payment_id, key=key, idempotency_key=f"{key}-2")
    assert differing.json()["errors"][0]["field"] == "idempotency_key"


@every_step
async def test_a_step_of_an_unknown_payment_is_not_found(servers: Servers, call: Call) -> None:
    reply = await http_reply(servers, call, NOWHERE)
    assert (reply.status_code, reply.json()["reason"]) == (404, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize(
    "deadline",
    ["", "tomorrow", "2999-01-01", "2999-01-01T00:00:00", 32472144000, "0001-01-01T00:00:00+14:00"],
    ids=str,
)
async def test_a_deadline_is_a_time_with_its_offset(servers: Servers, deadline: object) -> None:
    body = {"amount": "1", "customer_id": "cust123", "expires_at": deadline}
    reply = await servers.http.post("/v1/payments", json=body)
    assert (reply.status_code, reply.json()["reason"]) == (400, "FIELD_INVALID")
    assert reply.json()["errors"][0]["field"] == "expires_at"


# Answers.


async def test_steps_take_parts_until_nothing_is_left(servers: Servers) -> None:
    payment_id = await CAPTURE.prepared(servers)
    part = (await http_reply(servers, CAPTURE, payment_id, fields={"amount": "3"})).json()
    assert part["payment"]["status"] == "partially_captured"
    last = {"amount": "2.50", "final": True}
    closed = (await http_reply(servers, CAPTURE, payment_id, fields=last)).json()
    assert closed["payment"]["amount_voided"] == "4.50"
    some = (await http_reply(servers, REFUND, payment_id, fields={"amount": "5"})).json()
    assert (some["payment"]["status"], some["refund"]["amount"]) == ("partially_refunded", "5.00")
    rest = (await http_reply(servers, REFUND, payment_id, fields={})).json()
    assert (rest["payment"]["status"], rest["refund"]["amount"]) == ("refunded", "0.50")


async def test_a_challenge_is_told_with_its_end(servers: Servers) -> None:
    payment_id = await COMPLETE.prepared(servers)
    payment = await got(servers, f"/payments/{payment_id}")
    assert payment["status"] == "requires_action"
    action = payment["next_action"]
    assert (action["type"], action["url"]) == ("challenge", "")
    assert datetime.fromisoformat(action["expires_at"]) > datetime.now(UTC)
    assert payment["authorization_expires_at"] is None


async def test_a_refused_challenge_is_a_decline_and_no_error(servers: Servers) -> None:
    payment_id = await COMPLETE.prepared(servers)
    reply = await http_reply(servers, COMPLETE, payment_id, fields={"result": "refused"})
    assert (reply.status_code, reply.json()["payment"]["status"]) == (200, "failed")
    assert reply.json()["operation"]["decline"]["code"] == "authentication_failed"


async def test_a_hold_is_told_with_its_end(servers: Servers) -> None:
    payment = await got(servers, f"/payments/{await CAPTURE.prepared(servers)}")
    left = datetime.fromisoformat(payment["authorization_expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6) < left < timedelta(days=8)


async def test_a_deadline_is_told_in_utc(servers: Servers) -> None:
    body = {"amount": "1", "customer_id": "c", "expires_at": "2999-01-01T01:00:00.1239+01:00"}
    reply = await servers.http.post("/v1/payments", json=body)
    assert (reply.status_code, reply.json()["expires_at"]) == (201, "2999-01-01T00:00:00.123Z")


async def test_a_refund_that_is_pending_is_202_and_read_by_its_id(start: Start) -> None:
    async with start(PAYMENT_SANDBOX_SETTLE_MS="60000") as servers:
        payment_id = (await servers.created(payment_method="card_refund_pending")).payment_id
        await servers.process(payment_id)
        reply = await http_reply(servers, REFUND, payment_id)
        refund = reply.json()["refund"]
        assert (reply.status_code, refund["status"], refund["reason"]) == (202, "pending", "torn")
        assert refund["refund_id"] == reply.json()["operation"]["operation_id"]
        assert await got(servers, f"/refunds/{refund['refund_id']}") == refund
        assert reply.json()["payment"]["amount_refund_pending"] == "4.00"


@pytest.mark.parametrize("refund_id", [NOWHERE, "nonsense"])
async def test_an_unknown_refund_is_not_found(servers: Servers, refund_id: str) -> None:
    reply = await servers.http.get(f"/v1/refunds/{refund_id}")
    assert (reply.status_code, reply.json()["reason"]) == (404, "REFUND_NOT_FOUND")


async def test_refunds_come_newest_first_page_by_page(servers: Servers) -> None:
    payment_id = await REFUND.prepared(servers)
    given = [
        (await http_reply(servers, REFUND, payment_id, fields={"amount": "1"})).json()["refund"]
        for _ in range(3)
    ]
    first = await got(servers, f"/payments/{payment_id}/refunds", page_size=2)
    token = first["next_page_token"]
    last = await got(servers, f"/payments/{payment_id}/refunds", page_size=2, page_token=token)
    assert [*first["refunds"], *last["refunds"]] == given[::-1]
    assert last["next_page_token"] == ""


async def test_events_come_oldest_first_page_by_page(servers: Servers) -> None:
    payment_id = await REFUND.prepared(servers)
    first = await got(servers, f"/payments/{payment_id}/events", page_size=2)
    token = first["next_page_token"]
    last = await got(servers, f"/payments/{payment_id}/events", page_size=2, page_token=token)
    events = [*first["events"], *last["events"]]
    assert [(each["version"], each["type"]) for each in events] == [
        (1, "payment.created"),
        (2, "payment.authorization_started"),
        (3, "payment.captured"),
    ]
    assert [each["payment"]["version"] for each in events] == [1, 2, 3]
    assert events[-1]["payment"] == await got(servers, f"/payments/{payment_id}")


@pytest.mark.parametrize("what", ["refunds", "events"])
async def test_a_bad_list_is_refused_by_parameter(servers: Servers, what: str) -> None:
    payment_id = await PROCESS.prepared(servers)
    path = f"/v1/payments/{payment_id}/{what}"
    wrong = [("page_size", "-1"), ("page_token", "x"), ("page_size", "many"), ("p", "")]
    for name, value in (*wrong, ("page_token", ""), ("page_size", ["1", "2"])):
        reply = await servers.http.get(path, params={name: value})
        assert reply.status_code == 400
        assert [each["field"] for each in reply.json()["errors"]] == [name]
    missing = await servers.http.get(f"/v1/payments/{NOWHERE}/{what}")
    assert (missing.status_code, missing.json()["reason"]) == (404, "PAYMENT_NOT_FOUND")


async def test_another_merchant_sees_nothing_of_a_payment(servers: Servers) -> None:
    payment_id = await REFUND.prepared(servers)
    refund = (await http_reply(servers, REFUND, payment_id)).json()["refund"]
    theirs = {"X-Merchant-Id": "other"}
    for path in ("", "/refunds", "/events"):
        reply = await servers.http.get(f"/v1/payments/{payment_id}{path}", headers=theirs)
        assert reply.json()["reason"] == "PAYMENT_NOT_FOUND"
    reply = await servers.http.get(f"/v1/refunds/{refund['refund_id']}", headers=theirs)
    assert reply.json()["reason"] == "REFUND_NOT_FOUND"


# The same on gRPC.


async def test_grpc_reads_and_lists_the_same(servers: Servers) -> None:
    payment_id = await REFUND.prepared(servers)
    refund_id = (await http_reply(servers, REFUND, payment_id)).json()["refund"]["refund_id"]
    stub = servers.stub
    payment = said(await stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id)))["payment"]
    refund = said(await stub.GetRefund(pb.GetRefundRequest(refund_id=refund_id)))["refund"]
    refunds = said(await stub.ListRefunds(pb.ListRefundsRequest(payment_id=payment_id)))
    wish = pb.ListPaymentEventsRequest(payment_id=payment_id, page_size=3)
    events = said(await stub.ListPaymentEvents(wish))
    assert await got(servers, f"/payments/{payment_id}") == payment
    assert await got(servers, f"/refunds/{refund_id}") == refund
    assert await got(servers, f"/payments/{payment_id}/refunds") == refunds
    assert await got(servers, f"/payments/{payment_id}/events", page_size=3) == events
