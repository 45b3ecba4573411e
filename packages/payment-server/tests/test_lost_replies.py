"""Replies that are cut after the commit: the effect is there once, and the caller is told so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from service_under_test import Servers, refusal, running

from payment.v1 import payment_pb2 as pb
from payment_server.store import schema
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres

BEGIN, SETTLE = b"processing", b"succeeded"
"""Values that only the statement of the first and of the second phase carries."""


@dataclass
class Proxy:
    """Stands between the service and PostgreSQL. It cuts the connection in place of the reply to
    the next request that contains `marker`, and then takes no new one while `is_barred`."""

    socket: str
    marker: bytes | None = None
    bars_after_cut: bool = False
    is_barred: bool = False
    cuts: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_barred:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self.socket)
        armed = asyncio.Event()

        async def forward_requests() -> None:
            while data := await reader.read(65_536):
                if self.marker is not None and self.marker in data:
                    self.marker = None
                    armed.set()
                server_writer.write(data)

        async def forward_replies() -> None:
            while data := await server_reader.read(65_536):
                if armed.is_set():
                    self.cuts += 1
                    self.is_barred = self.bars_after_cut
                    return
                writer.write(data)

        tasks = {asyncio.create_task(forward_requests()), asyncio.create_task(forward_replies())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for end in (writer, server_writer):
                end.transport.abort()


@asynccontextmanager
async def proxied(postgres: EmbeddedPostgres) -> AsyncIterator[tuple[Proxy, str]]:
    url = urlsplit(postgres.url(SERVICE_ROLE))
    proxy = Proxy(f"{parse_qs(url.query)['host'][0]}/.s.PGSQL.5432")
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy, f"postgresql://{url.username}:{url.password}@127.0.0.1:{port}{url.path}"
    finally:
        server.close()


@dataclass
class Cut:
    servers: Servers
    proxy: Proxy


@pytest.fixture(scope="module")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres.ephemeral()
    await server.start()
    try:
        await schema.migrate(server.url(OWNER_ROLE))
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def cut(postgres: EmbeddedPostgres) -> AsyncIterator[Cut]:
    async with (
        proxied(postgres) as (proxy, url),
        running(url, {"PAYMENT_DATABASE_CONNECTIONS": "1"}, None) as servers,
    ):
        yield Cut(servers, proxy)
        proxy.is_barred = False


async def listed(cut: Cut, customer_id: str) -> int:
    request = pb.ListPaymentsRequest(customer_id=customer_id)
    return len((await cut.servers.stub.ListPayments(request)).payments)


@pytest.mark.parametrize("key", ["", "key-of-create"])
async def test_a_creation_happens_once(cut: Cut, key: str) -> None:
    customer = f"customer-{key}"
    cut.proxy.marker = customer.encode()
    created = await cut.servers.created(customer_id=customer, idempotency_key=key)
    assert cut.proxy.cuts == 1
    assert await listed(cut, customer) == 1
    if key:
        again = await cut.servers.created(customer_id=customer, idempotency_key=key)
        assert again == created


@pytest.mark.parametrize("marker", [BEGIN, SETTLE])
@pytest.mark.parametrize("key", ["", "key"])
async def test_a_change_happens_once(cut: Cut, marker: bytes, key: str) -> None:
    created = await cut.servers.created()
    key = key and f"{key}-{created.payment_id}"
    cut.proxy.marker = marker
    answer = await cut.servers.process(created.payment_id, idempotency_key=key)
    assert cut.proxy.cuts == 1
    assert (answer.status, answer.payment.attempts, answer.payment.version) == ("captured", 1, 3)


@pytest.mark.parametrize(
    ("key", "code"), [("", grpc.StatusCode.UNKNOWN), ("key", grpc.StatusCode.UNAVAILABLE)]
)
async def test_nobody_is_told_that_nothing_happened_when_nobody_knows(
    cut: Cut, key: str, code: grpc.StatusCode
) -> None:
    created = await cut.servers.created()
    key = key and f"{key}-{created.payment_id}"
    cut.proxy.bars_after_cut = True
    cut.proxy.marker = BEGIN
    failed = await refusal(cut.servers.process(created.payment_id, idempotency_key=key))
    assert (failed.code, failed.reason) == (code, "OUTCOME_UNKNOWN")
    assert ("RetryInfo" in failed.details) is bool(key)


async def test_an_outcome_that_cannot_be_booked_is_told_as_pending(cut: Cut) -> None:
    created = await cut.servers.created()
    cut.proxy.bars_after_cut = True
    cut.proxy.marker = SETTLE
    answer = await cut.servers.process(created.payment_id)
    assert answer.operation.status == pb.OPERATION_STATUS_PENDING
    cut.proxy.is_barred = False
    read = await cut.servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=created.payment_id))
    assert read.status == "captured"
