"""The service under test: started for real on a database, called by clients of foreign make."""

import asyncio
import itertools
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from payment_server.app import Address, Databases, Plan, sandbox_of, serving
from payment_server.processors import Processor
from payment_server.settings import Settings, read_settings

SCALE = int(os.environ.get("TEST_SCALE", "1"))
"""How many times as long the tests marked `scaled` run: 1 in `make test`."""

TRANSPORT = os.environ.get("TEST_GRPC_TRANSPORT", "auto")
"""The gRPC server of a whole run; `make test-long` makes one with each."""

WORKERS = int(os.environ.get("TEST_WORKERS", "1"))
"""How many servers there are on a database, for tests that do not say it themselves; their clients
come to each in turn. `make test-long` runs what is about kills, races and duplicates with two."""

SETTINGS = {
    "PAYMENT_PROCESSOR": "sandbox",
    "PAYMENT_GRPC_PORT": "0",
    "PAYMENT_GRPC_TRANSPORT": TRANSPORT,
    "PAYMENT_HTTP_PORT": "0",
}
"""What services under test have unless a test says otherwise."""

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP, or each would read all certificates of authorities first."""

Metadata: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Servers:
    """One running service and clients of foreign make for it."""

    grpc_port: int
    http_port: int
    channel: grpc.aio.Channel
    http: httpx.AsyncClient

    @property
    def stub(self) -> "payment_pb2_grpc.PaymentServiceAsyncStub":
        return payment_pb2_grpc.PaymentServiceStub(self.channel)

    async def created(self, **fields: Any) -> pb.Payment:
        """A payment of 10.00 USD, unless the fields say otherwise."""
        request = pb.CreatePaymentRequest(
            **{"amount": "10.00", "customer_id": "cust123", "payment_method": "card", **fields}
        )
        return (await self.stub.CreatePayment(request)).payment

    async def process(
        self, payment_id: str, action: str = "", metadata: Metadata = (), **fields: Any
    ) -> pb.ProcessPaymentResponse:
        request = pb.ProcessPaymentRequest(payment_id=payment_id, action=action, **fields)
        return await self.stub.ProcessPayment(request, metadata=metadata)

    async def ask(self, payment_id: str, action: str, **fields: Any) -> Any:
        """The call that stands for the action alone."""
        match action:
            case "capture":
                capture = pb.CapturePaymentRequest(payment_id=payment_id, **fields)
                return await self.stub.CapturePayment(capture)
            case "cancel":
                cancel = pb.CancelPaymentRequest(payment_id=payment_id, **fields)
                return await self.stub.CancelPayment(cancel)
            case "refund":
                refund = pb.RefundPaymentRequest(payment_id=payment_id, **fields)
                return await self.stub.RefundPayment(refund)
            case "complete":
                complete = pb.CompletePaymentActionRequest(payment_id=payment_id, **fields)
                return await self.stub.CompletePaymentAction(complete)
            case _:
                return await self.process(payment_id, action, **fields)


Start: TypeAlias = Callable[..., AbstractAsyncContextManager[Servers]]


@asynccontextmanager
async def running(
    database_url: str, environment: Mapping[str, str], processor: Processor | None
) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        services = (service_on(database_url, environment, processor) for _ in range(WORKERS))
        addresses = [await stack.enter_async_context(each) for each in services]
        yield await stack.enter_async_context(clients_of(*addresses))


def service_on(
    database_url: str, environment: Mapping[str, str], processor: Processor | None
) -> AbstractAsyncContextManager[Address]:
    plan = Plan(
        settings=settings(database_url, environment),
        embedded=False,
        migrate=False,
        grace_seconds=2.0,
    )
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = Databases(database_url, database_url, never)
    return serving(plan, databases, processor or sandbox_of(plan.settings))


@asynccontextmanager
async def clients_of(*addresses: Address) -> AsyncIterator[Servers]:
    """Clients of one service, or of several in turn; the ports are those of the first."""
    targets = ",".join(f"127.0.0.1:{each.grpc_port}" for each in addresses)
    in_turn = (
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.default_authority", "localhost"),  # or it would be the list, with its comma
    )
    first = addresses[0]
    async with (
        grpc.aio.insecure_channel(f"ipv4:{targets}", options=in_turn) as channel,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{first.http_port}",
            transport=_InTurn([each.http_port for each in addresses]),
        ) as http,
    ):
        yield Servers(first.grpc_port, first.http_port, channel, http)


class _InTurn(httpx.AsyncHTTPTransport):
    """HTTP to each of the ports in turn."""

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(verify=NO_TLS)
        self._ports = itertools.cycle(ports)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return await super().handle_async_request(request)


def settings(database_url: str, environment: Mapping[str, str]) -> Settings:
    return read_settings({**SETTINGS, "DATABASE_URL": database_url, **environment})


@dataclass(frozen=True)
class Refusal:
    """A failed call, taken apart."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    details: dict[str, Message]
    trailing: dict[str, Any]

    @property
    def fields(self) -> list[str]:
        bad_request = self.details["BadRequest"]
        assert isinstance(bad_request, error_details_pb2.BadRequest)
        return [each.field for each in bad_request.field_violations]


DETAILS = {
    name: getattr(error_details_pb2, name)
    for name in (
        *("ErrorInfo", "BadRequest", "PreconditionFailure", "ResourceInfo"),
        *("RetryInfo", "RequestInfo"),
    )
}


async def refusal(call: Awaitable[object]) -> Refusal:
    """The failure of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return refusal_of(caught.value)


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """A failure taken apart, which has exactly one ErrorInfo."""
    trailing: dict[str, Any] = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    names = [each.type_url.rpartition(".")[2] for each in status.details]
    assert names.count("ErrorInfo") == 1
    details = {}
    for name, packed in zip(names, status.details, strict=True):
        details[name] = DETAILS[name]()
        packed.Unpack(details[name])
    info = details["ErrorInfo"]
    assert info.domain == "payment.v1"
    return Refusal(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        details=details,
        trailing=trailing,
    )


async def until(fact: Callable[[], Awaitable[bool]], limit_seconds: float = 30.0) -> None:
    """Waits for a fact; raises TimeoutError if it does not come true."""
    async with asyncio.timeout(limit_seconds):
        while True:
            if await fact():
                return
            await asyncio.sleep(0.02)


async def until_status(servers: Servers, payment_id: str, status: str) -> pb.Payment:
    """Waits for a payment to have the status, and returns it."""
    request = pb.GetPaymentRequest(payment_id=payment_id)

    async def has_status() -> bool:
        return (await servers.stub.GetPayment(request)).status == status

    await until(has_status)
    return (await servers.stub.GetPayment(request)).payment
