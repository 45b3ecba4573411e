"""The end of a service: nobody enters, whoever is inside finishes, and nothing holds it up."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from service_under_test import clients_of, refusal, service_on, until

from payment.v1 import payment_pb2 as pb
from payment_server.domain.operation import APPROVED, Operation, Verdict
from payment_server.domain.payment import Payment

pytestmark = pytest.mark.usefixtures("transport")


class Slow:
    """A processor that answers when it is told to."""

    def __init__(self) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    def tokenize(self, payment_method: str) -> str:
        return payment_method

    def read_result(self, result: str) -> str:
        return result

    async def _answer(self, payment: Payment, operation: Operation) -> Verdict:
        self.reached.set()
        await self.go_on.wait()
        return APPROVED

    authorize = complete = capture = cancel = refund = _answer

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        return None


async def test_a_call_inside_finishes_and_a_new_one_is_told_to_go_elsewhere(
    database_url: str,
) -> None:
    slow = Slow()
    service = service_on(database_url, {}, slow)
    async with clients_of(await service.__aenter__()) as servers:
        created = await servers.created()
        inside = asyncio.ensure_future(servers.process(created.payment_id))
        await slow.reached.wait()
        end = asyncio.ensure_future(service.__aexit__(None, None, None))

        async def is_closed() -> bool:
            return (await servers.http.get("/readyz")).status_code == 503

        await until(is_closed)
        late = await refusal(servers.stub.GetPayment(pb.GetPaymentRequest(payment_id="x")))
        reply = await servers.http.get("/v1/payments")
        assert (late.code, late.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert (reply.status_code, reply.json()["reason"]) == (503, "SHUTTING_DOWN")
        assert reply.headers["retry-after"] == "1"
        slow.go_on.set()
        assert (await inside).status == "captured"
        await end


async def test_a_health_watch_is_told_and_holds_nothing_up(database_url: str) -> None:
    service = service_on(database_url, {}, None)
    async with clients_of(await service.__aenter__()) as servers:
        stub: Any = health_pb2_grpc.HealthStub(servers.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="payment.v1.PaymentService"))
        before = (await watch.read()).status
        began = time.monotonic()
        end = asyncio.ensure_future(service.__aexit__(None, None, None))
        after = (await watch.read()).status
        await end
        told = health_pb2.HealthCheckResponse
        assert (before, after) == (told.SERVING, told.NOT_SERVING)
        assert time.monotonic() - began < 2.0
