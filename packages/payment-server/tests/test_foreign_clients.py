"""Clients that share no code with ours: buf curl by reflection, and gRPC's own health checking."""

import asyncio
import json
import shutil
import sysconfig
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from service_under_test import Servers

pytestmark = pytest.mark.usefixtures("transport")

SERVICE = "payment.v1.PaymentService"
WORDS = {
    "amount": "10.00",
    "currency": "USD",
    "customer_id": "cust123",
    "payment_method": "card",
}


def arguments_of(servers: Servers, path: str, *arguments: str) -> tuple[str, ...]:
    buf = shutil.which("buf", path=sysconfig.get_path("scripts")) or "buf"
    url = f"http://127.0.0.1:{servers.grpc_port}{path}"
    return (buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments, url)


async def buf_curl(servers: Servers, path: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments_of(servers, path, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def called(servers: Servers, method: str, body: dict[str, Any]) -> dict[str, Any]:
    out = await buf_curl(servers, f"/{SERVICE}/{method}", "-d", json.dumps(body))
    answer: dict[str, Any] = json.loads(out)
    return answer


async def test_buf_curl_lists_every_method_by_reflection(servers: Servers) -> None:
    methods = (await buf_curl(servers, "", "--list-methods")).split()
    assert {name.rpartition("/")[2] for name in methods if name.startswith(SERVICE)} == {
        *("CreatePayment", "GetPayment", "ListPayments", "ProcessPayment"),
        *("CapturePayment", "CancelPayment", "RefundPayment", "CompletePaymentAction"),
        *("GetRefund", "ListRefunds", "ListPaymentEvents", "WatchPayments", "HealthCheck"),
        "BatchCreatePayments",
    }


async def test_buf_curl_takes_a_payment_through_its_life(servers: Servers) -> None:
    created = await called(servers, "CreatePayment", {**WORDS, "payment_method": "card_3ds"})
    of = {"payment_id": created["paymentId"]}
    processed = await called(servers, "ProcessPayment", {**of, "action": "authorize"})
    assert (created["status"], processed["status"]) == ("created", "requires_action")
    completed = await called(servers, "CompletePaymentAction", {**of, "result": "approved"})
    assert completed["payment"]["status"] == "PAYMENT_STATUS_AUTHORIZED"
    captured = await called(servers, "CapturePayment", {**of, "amount": "4.00"})
    assert captured["payment"]["amountCapturable"] == "6.00"
    canceled = await called(servers, "CancelPayment", of)
    assert canceled["payment"]["status"] == "PAYMENT_STATUS_CAPTURED"
    refunded = await called(servers, "RefundPayment", {**of, "reason": "torn"})
    assert refunded["refund"]["amount"] == "4.00"


async def test_buf_curl_reads_what_there_is(servers: Servers) -> None:
    payment_id = (await servers.created()).payment_id
    await servers.process(payment_id)
    refund = (await servers.ask(payment_id, "refund")).refund
    of = {"payment_id": payment_id}
    read = await called(servers, "GetPayment", of)
    assert (read["amount"], read["currency"], read["status"]) == ("10.00", "USD", "refunded")
    assert len((await called(servers, "ListPayments", {}))["payments"]) == 1
    found = await called(servers, "GetRefund", {"refund_id": refund.refund_id})
    assert found["refund"]["status"] == "REFUND_STATUS_SUCCEEDED"
    assert (await called(servers, "ListRefunds", of))["refunds"] == [found["refund"]]
    assert len((await called(servers, "ListPaymentEvents", of))["events"]) == 5
    assert (await called(servers, "HealthCheck", {}))["status"] == "healthy"


async def test_buf_curl_watches_until_it_is_ended(servers: Servers) -> None:
    await servers.created()
    process = await asyncio.create_subprocess_exec(
        *arguments_of(servers, f"/{SERVICE}/WatchPayments", "-d", '{"from_beginning": true}'),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            await process.stdout.readuntil(b"payment.created")
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_answers_in_both_versions(servers: Servers, version: str) -> None:
    call: Any = servers.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = call(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await anext(aiter(answers))
    names = {each.name for each in answer.list_services_response.service}
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_grpc_health_checking_says_serving(servers: Servers, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(servers.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("path", "member", "value"),
    [("/health", "status", "healthy"), ("/livez", "status", "alive"), ("/readyz", "redis", "off")],
)
async def test_http_health_is_told(servers: Servers, path: str, member: str, value: str) -> None:
    reply = await servers.http.get(path)
    assert (reply.status_code, reply.json()[member]) == (200, value)


async def test_the_schema_is_openapi_3_1_and_names_every_operation(servers: Servers) -> None:
    schema = (await servers.http.get("/docs/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    operations = {
        each["operationId"] for path in schema["paths"].values() for each in path.values()
    }
    assert operations == {
        *("CreatePayment", "GetPayment", "ListPayments", "ProcessPayment"),
        *("CapturePayment", "CancelPayment", "RefundPayment", "CompletePaymentAction"),
        *("GetRefund", "ListRefunds", "ListPaymentEvents", "WatchPayments"),
        *("BatchCreatePayments", "HealthCheck", "Live", "Ready"),
    }


async def test_every_refusal_is_documented_as_a_problem(servers: Servers) -> None:
    schema = (await servers.http.get("/docs/openapi.json")).json()
    operations = [each for path in schema["paths"].values() for each in path.values()]
    for operation in (each for each in operations if "Health" not in each["tags"]):
        refusals = {each for each in operation["responses"] if each >= "400"}
        assert {"400", "500", "503"} <= refusals, operation["operationId"]
        for status in refusals:
            kinds = list(operation["responses"][status]["content"])
            assert kinds == ["application/problem+json"], (operation["operationId"], status)
