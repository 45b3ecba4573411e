"""Callers of the service in Python, a process of its own: jobs and answers as the load generator's.

Here it is the caller that is measured. Both make the same creates on uvloop and hear the same of
them; the stub is used as carefully as the client uses it, but for trying again.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import grpc
import uvloop

from payment.v1 import payment_pb2 as pb
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from payment_client import AsyncPaymentClient, PaymentError
from scripts.bench.calls import BY_CLIENT
from scripts.bench.lines import Score
from scripts.bench.load import Job, Measured, Window, serve

if TYPE_CHECKING:  # the stub's asyncio face exists in its types only
    from payment.v1.payment_pb2_grpc import PaymentServiceAsyncStub

TIMEOUT_SECONDS: Final = 20.0  # as the load generator's
MERCHANT_ID: Final = "default"  # whose payments are counted in the end

Create: TypeAlias = Callable[[], Awaitable[bool]]
"""Records a payment; whether the service calls its answer a replay."""


def measured(job: Job) -> Measured:
    """Raises ServerLeft."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measured(job))


async def _measured(job: Job) -> Measured:
    window, score = Window(job), Score()
    open_caller = _client if job.call == BY_CLIENT else _stub
    async with open_caller(f"127.0.0.1:{job.port}") as create, asyncio.TaskGroup() as callers:
        for _ in range(job.in_flight):
            callers.create_task(_call_again_and_again(create, window, score))
    return window.result(score)


async def _call_again_and_again(create: Create, window: Window, score: Score) -> None:
    while not window.is_over:
        began = time.perf_counter()
        try:
            score.replayed += await create()
            score.answered += 1
        except (PaymentError, grpc.RpcError) as error:
            score.failed[type(error).__name__] += 1
        now = time.perf_counter()
        window.latencies.append(now - began)
        window.look(now)


@asynccontextmanager
async def _client(target: str) -> AsyncIterator[Create]:
    async with AsyncPaymentClient(
        target, merchant_id=MERCHANT_ID, timeout_seconds=TIMEOUT_SECONDS
    ) as client:
        yield partial(_create_by_client, client)


async def _create_by_client(client: AsyncPaymentClient) -> bool:
    payment = await client.payments.create(amount="10.00", customer_id="cust123")
    return payment.call.replayed


@asynccontextmanager
async def _stub(target: str) -> AsyncIterator[Create]:
    async with grpc.aio.insecure_channel(target) as channel:
        yield partial(_create_by_stub, PaymentServiceStub(channel))


async def _create_by_stub(stub: "PaymentServiceAsyncStub") -> bool:
    request = pb.CreatePaymentRequest(
        amount="10.00",
        currency="USD",
        customer_id="cust123",
        payment_method="card",
        capture_method=pb.CAPTURE_METHOD_AUTOMATIC,
        idempotency_key=str(uuid.uuid4()),
    )
    metadata = (("x-merchant-id", MERCHANT_ID),)
    call = stub.CreatePayment(request, timeout=TIMEOUT_SECONDS, metadata=metadata)
    await call
    return any(name == "idempotency-replayed" for name, _ in await call.trailing_metadata())


if __name__ == "__main__":
    serve(measured)
