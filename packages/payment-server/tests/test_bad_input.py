"""Bad input of every kind, as one table, through gRPC and through /v1: same code, same reason."""

from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from service_under_test import Refusal, Servers, refusal

from payment.v1 import payment_pb2 as pb
from payment.v1.errors import ERRORS

GOOD: dict[str, Any] = {"amount": "10.00", "customer_id": "cust123"}


@dataclass(frozen=True)
class Bad:
    """One wrong creation. `fields` are the paths that the answer must name."""

    name: str
    change: dict[str, Any]
    fields: list[str]
    reason: str = "FIELD_INVALID"
    never_echoed: str = field(default="\x00never")


def amounts(*texts: str) -> list[Bad]:
    return [Bad(f"amount {text!r}", {"amount": text}, ["amount"]) for text in texts]


BAD = [
    *amounts("", "0", "0.00", "-1", "+1", "1e5", "1_000", "NaN", "Infinity", "1,00", "01", ".5"),
    *amounts("1.", "1.234", "1234567890123", " 1", "1 ", "0x10", "\uff11", "\u0661", "1\n"),
    Bad("no decimals in JPY", {"amount": "1.5", "currency": "JPY"}, ["amount"]),
    Bad("unknown currency", {"currency": "XXY"}, ["currency"]),
    Bad("gold", {"currency": "XAU"}, ["currency"]),
    Bad("four decimals", {"currency": "CLF"}, ["currency"]),
    Bad("no customer", {"customer_id": ""}, ["customer_id"]),
    Bad("long customer", {"customer_id": "c" * 256}, ["customer_id"]),
    Bad("NUL", {"customer_id": "a\x00b"}, ["customer_id"]),
    Bad("control character", {"description": "a\x1bb"}, ["description"]),
    Bad("long description", {"description": "d" * 1_001}, ["description"]),
    Bad("long method", {"payment_method": "m" * 256}, ["payment_method"]),
    Bad("unknown decline", {"payment_method": "decline:nonsense"}, ["payment_method"]),
    Bad("51 entries", {"metadata": {f"k{n}": "v" for n in range(51)}}, ["metadata"]),
    Bad("long key", {"metadata": {"k" * 41: "v"}}, ["metadata[0]"]),
    Bad("long value", {"metadata": {"k": "v" * 501}}, ["metadata.k"]),
    Bad("key of 256", {"idempotency_key": "k" * 256}, ["idempotency_key"]),
    Bad("key not ASCII", {"idempotency_key": "ключ"}, ["idempotency_key"]),
    Bad(
        "several at once",
        {"amount": "x", "currency": "XXY", "customer_id": ""},
        ["currency", "amount", "customer_id"],
    ),
    Bad(
        "card number as method",
        {"payment_method": "4111 1111 1111 1111"},
        ["payment_method"],
        "CARD_DATA_REJECTED",
        "1111",
    ),
    Bad(
        "card number in the description",
        {"description": "paid with 4111-1111-1111-1111"},
        ["description"],
        "CARD_DATA_REJECTED",
        "1111",
    ),
    Bad(
        "security code",
        {"metadata": {"CVV": "123"}},
        ["metadata.CVV"],
        "CARD_DATA_REJECTED",
        "123",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
async def test_bad_input_is_refused_alike_on_both_surfaces(servers: Servers, bad: Bad) -> None:
    body = {**GOOD, **bad.change}
    failed = await refusal(servers.stub.CreatePayment(pb.CreatePaymentRequest(**body)))
    reply = await servers.http.post("/v1/payments", json=body)
    problem = reply.json()
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, bad.reason)
    assert failed.fields == bad.fields
    assert (reply.status_code, problem["reason"]) == (400, bad.reason)
    assert [each["field"] for each in problem["errors"]] == bad.fields
    assert bad.never_echoed not in failed.message + reply.text.replace(failed_id(failed), "")


def failed_id(failed: Refusal) -> str:
    return str(failed.trailing["x-request-id"])


async def test_nothing_that_is_refused_is_stored(servers: Servers) -> None:
    for bad in BAD:
        await servers.http.post("/v1/payments", json={**GOOD, **bad.change})
    assert (await servers.http.get("/v1/payments")).json()["payments"] == []


async def test_bytes_that_are_no_message_are_malformed(servers: Servers) -> None:
    call: Any = servers.channel.unary_unary("/payment.v1.PaymentService/CreatePayment")
    for raw in (b"\xff\xff", b"\x0a\x02\xc3\x28"):
        failed = await refusal(call(raw))
        assert (failed.code, failed.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED_REQUEST",
        )


async def test_a_request_over_64_kib_is_too_large(servers: Servers) -> None:
    request = pb.CreatePaymentRequest(**GOOD, description="d" * 70_000)
    failed = await refusal(servers.stub.CreatePayment(request))
    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (failed.reason, failed.metadata["limit_bytes"]) == ("MESSAGE_TOO_LARGE", "65536")
    reply = await servers.http.post("/v1/payments", json={**GOOD, "description": "d" * 70_000})
    assert (reply.status_code, reply.json()["reason"]) == (413, "MESSAGE_TOO_LARGE")


NO_JSON = [b"{", b"\xff", b'{"amount":"1"} x', b"[" * 10_000, b'{"a": NaN}', b'{"a": "\\ud800"}']


@pytest.mark.parametrize("body", [*NO_JSON, b"", b"null", b"[]", b'"amount"', b"1"])
async def test_a_body_that_is_no_json_object_is_malformed(servers: Servers, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await servers.http.post("/v1/payments", content=body, headers=headers)
    assert (reply.status_code, reply.json()["reason"]) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"amount": 10}, "amount"),
        ({"amount": 10.5}, "amount"),
        ({"amount": None}, "amount"),
        ({"amuont": "10"}, "amuont"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": None}, "metadata"),
        ({"currency": None}, "currency"),
        ({"capture_method": "later"}, "capture_method"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(
    servers: Servers, change: dict[str, Any], named: str
) -> None:
    reply = await servers.http.post("/v1/payments", json={**GOOD, **change})
    problem = reply.json()
    assert (reply.status_code, problem["reason"]) == (400, "FIELD_INVALID")
    assert [each["field"] for each in problem["errors"]] == [named]


async def test_all_wrong_types_and_names_are_told_at_once(servers: Servers) -> None:
    body = {"amuont": "1", "amount": 1, "metadata": {"a": 1}, "capture_method": "later", "z": {}}
    reply = await servers.http.post("/v1/payments", json=body)
    assert {each["field"]: each["message"] for each in reply.json()["errors"]} == {
        "amount": "Expected `str`, got `int`",
        "customer_id": "is required",
        "capture_method": "is none of the values that it may have",
        "metadata": "Expected `str`, got `int`",
        "amuont": "is no field of this request",
        "z": "is no field of this request",
    }


async def test_no_more_wrong_names_are_told_than_an_answer_holds(servers: Servers) -> None:
    body = {**GOOD, **{f"f{n}": n for n in range(1_000)}}
    reply = await servers.http.post("/v1/payments", json=body)
    assert len(reply.json()["errors"]) == 20


async def test_of_a_name_that_a_body_repeats_the_last_value_counts(servers: Servers) -> None:
    body = b'{"amount": 1, "amount": "2", "customer_id": "c"}'
    headers = {"Content-Type": "application/json"}
    reply = await servers.http.post("/v1/payments", content=body, headers=headers)
    assert (reply.status_code, reply.json()["amount"]) == (201, "2.00")


async def test_a_missing_field_is_named(servers: Servers) -> None:
    reply = await servers.http.post("/v1/payments", json={"amount": "1"})
    assert reply.json()["errors"] == [{"field": "customer_id", "message": "is required"}]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"payment_id": ""}, "payment_id"),
        ({"action": "explode"}, "action"),
        ({"action": "capture", "amount": "1e3"}, "amount"),
        ({"action": "cancel", "amount": "1"}, "amount"),
        ({"action": "refund", "payment_method": "card"}, "payment_method"),
        ({"expected_version": -1}, "expected_version"),
    ],
)
async def test_a_bad_wish_is_refused_by_field(
    servers: Servers, fields: dict[str, Any], named: str
) -> None:
    request = pb.ProcessPaymentRequest(**{"payment_id": "x", **fields})
    failed = await refusal(servers.stub.ProcessPayment(request))
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", [named])


@pytest.mark.parametrize("payment_id", ["nonsense", "01a20710-38df-7091-a55f-2c1049425859"])
async def test_an_unknown_payment_is_not_found(servers: Servers, payment_id: str) -> None:
    failed = await refusal(servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    assert "ResourceInfo" in failed.details
    reply = await servers.http.get(f"/v1/payments/{payment_id}")
    assert (reply.status_code, reply.json()["reason"]) == (404, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize("merchant", ["UPPER", "a b", "x" * 65, "a/b"])
async def test_a_bad_merchant_is_refused(servers: Servers, merchant: str) -> None:
    reply = await servers.http.get("/v1/payments", headers={"X-Merchant-Id": merchant})
    assert reply.json()["errors"][0]["field"] == "x-merchant-id"


async def test_every_refusal_carries_the_callers_request_id(servers: Servers) -> None:
    failed = await refusal(
        servers.stub.GetPayment(
            pb.GetPaymentRequest(payment_id="x"), metadata=(("x-request-id", "mine-1"),)
        )
    )
    assert failed.trailing["x-request-id"] == "mine-1"
    reply = await servers.http.get("/v1/payments/x", headers={"X-Request-Id": "mine-2"})
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "mine-2"


async def test_a_problem_has_the_members_of_rfc_9457(servers: Servers) -> None:
    reply = await servers.http.get("/v1/payments/x")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json() == {
        "type": "urn:payment:v1:error:payment-not-found",
        "title": ERRORS["PAYMENT_NOT_FOUND"].title,
        "status": 404,
        "detail": "there is no payment of this id",
        "instance": "/v1/payments/x",
        "success": False,
        "code": "NOT_FOUND",
        "reason": "PAYMENT_NOT_FOUND",
        "errors": [],
        "retry_after_ms": None,
        "request_id": reply.headers["x-request-id"],
        "metadata": {},
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("PUT", "/v1/payments", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_http_itself_fails_with_problems_too(
    servers: Servers, method: str, path: str, status: int, reason: str
) -> None:
    reply = await servers.http.request(method, path)
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)


CARD = "4111111111111111"


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {CARD: "v" * 501}},
        {"metadata": {CARD: CARD}},
        {"capture_method": CARD},
        {CARD: "x"},
    ],
    ids=str,
)
async def test_a_card_number_is_never_echoed(servers: Servers, change: dict[str, Any]) -> None:
    reply = await servers.http.post("/v1/payments", json={**GOOD, **change})
    assert reply.status_code == 400
    assert CARD not in reply.text


async def test_a_card_number_in_the_query_is_never_echoed(servers: Servers) -> None:
    for query in (f"status={CARD}", f"{CARD}=x"):
        reply = await servers.http.get(f"/v1/payments?{query}")
        assert reply.status_code == 400
        assert CARD not in reply.text


async def test_many_violations_fit_into_trailing_metadata(servers: Servers) -> None:
    request = pb.CreatePaymentRequest(
        **GOOD, metadata={f"{n:02}" + "\U0001f642" * 38: "v" * 501 for n in range(50)}
    )
    for _ in range(20):
        failed = await refusal(servers.stub.CreatePayment(request))
        assert (failed.reason, len(failed.fields)) == ("FIELD_INVALID", 20)


async def test_a_card_number_in_the_path_is_never_echoed(servers: Servers) -> None:
    reply = await servers.http.get(f"/v1/payments/{CARD}")
    assert (reply.status_code, reply.json()["instance"]) == (404, "/v1/payments/…")
