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

SERVICE = "payment.v1.PaymentService"
WORDS = {
    "amount": "10.00",
    "currency": "USD",
    "customer_id": "cust123",
    "payment_method": "card",
}


async def buf_curl(servers: Servers, path: str, *arguments: str) -> str:
    buf = shutil.which("buf", path=sysconfig.get_path("scripts")) or "buf"
    process = await asyncio.create_subprocess_exec(
        *(buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments),
        f"http://127.0.0.1:{servers.grpc_port}{path}",
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
        *("CreatePayment", "GetPayment", "ListPayments", "ProcessPayment", "HealthCheck")
    }


async def test_buf_curl_calls_every_method(servers: Servers) -> None:
    created = await called(servers, "CreatePayment", WORDS)
    payment_id = created["paymentId"]
    assert created["status"] == "created"
    read = await called(servers, "GetPayment", {"payment_id": payment_id})
    assert (read["amount"], read["currency"]) == ("10.00", "USD")
    assert len((await called(servers, "ListPayments", {}))["payments"]) == 1
    processed = await called(servers, "ProcessPayment", {"payment_id": payment_id})
    assert processed["status"] == "captured"
    assert (await called(servers, "HealthCheck", {}))["status"] == "healthy"


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
        *("HealthCheck", "Live", "Ready"),
    }


async def test_every_refusal_is_documented_as_a_problem(servers: Servers) -> None:
    schema = (await servers.http.get("/docs/openapi.json")).json()
    payments = [each for path in schema["paths"].values() for each in path.values()]
    for operation in (each for each in payments if "Payments" in each["tags"]):
        for status, answer in operation["responses"].items():
            kind = "application/json" if status < "400" else "application/problem+json"
            assert list(answer["content"]) == [kind], (operation["operationId"], status)
