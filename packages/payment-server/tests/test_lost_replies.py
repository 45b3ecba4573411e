"""Replies that are cut after the commit: the effect is there once, and the caller is told so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from auditing import differences_in
from mutating_calls import CANCEL, CAPTURE, COMPLETE, PROCESS, REFUND, Call, over_grpc
from service_under_test import Servers, refusal, running, until

from payment.v1 import payment_pb2 as pb
from payment_server.store import schema
from payment_server.store.embedded import OWNER_ROLE, SERVICE_ROLE, EmbeddedPostgres

FINAL = replace(CAPTURE, fields={"amount": "4.00", "final": True})
PHASES = [
    (PROCESS, "payment.authorization_started", "payment.captured"),
    (CAPTURE, "payment.capture_started", "payment.partially_captured"),
    (FINAL, "payment.capture_started", "payment.captured"),
    (CANCEL, "payment.cancel_started", "payment.canceled"),
    (REFUND, "payment.refund_started", "payment.partially_refunded"),
    (COMPLETE, "payment.authorization_started", "payment.captured"),
]
"""What the statement of each call's first and second phase, and no other one, says happened."""

BEGINNINGS = [(call, begin) for call, begin, _ in PHASES]
CUTS = [*BEGINNINGS, *((call, settle) for call, _, settle in PHASES)]


@dataclass
class Proxy:
    """Stands between the service and PostgreSQL. It cuts the connection in place of the reply to
    the next request that contains all `marks`, and then takes no new one while `is_barred`."""

    socket: str
    marks: tuple[str, ...] = ()
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
                if self.marks and all(mark.encode() in data for mark in self.marks):
                    self.marks = ()
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


@pytest.fixture(scope="module")
async def service(postgres: EmbeddedPostgres) -> AsyncIterator[Cut]:
    environment = {"PAYMENT_DATABASE_CONNECTIONS": "1", "PAYMENT_SANDBOX_SETTLE_MS": "200"}
    async with proxied(postgres) as (proxy, url), running(url, environment, None) as servers:
        yield Cut(servers, proxy)


@pytest.fixture
async def cut(service: Cut) -> AsyncIterator[Cut]:
    proxy = service.proxy
    proxy.marks, proxy.bars_after_cut, proxy.cuts = (), False, 0
    yield service
    proxy.is_barred = False


@pytest.fixture(scope="module")
def audited_url(postgres: EmbeddedPostgres) -> str:
    return postgres.url(OWNER_ROLE)


async def listed(cut: Cut, customer_id: str) -> int:
    request = pb.ListPaymentsRequest(customer_id=customer_id, page_size=1000)
    return len((await cut.servers.stub.ListPayments(request)).payments)


async def read(cut: Cut, payment_id: str) -> pb.Payment:
    request = pb.GetPaymentRequest(payment_id=payment_id)
    return (await cut.servers.stub.GetPayment(request)).payment


@pytest.mark.parametrize("key", ["", "key-of-create"])
async def test_a_creation_happens_once(cut: Cut, key: str) -> None:
    customer = f"customer-{key}"
    cut.proxy.marks = (customer,)
    created = await cut.servers.created(customer_id=customer, idempotency_key=key)
    assert cut.proxy.cuts == 1
    assert await listed(cut, customer) == 1
    if key:
        again = await cut.servers.created(customer_id=customer, idempotency_key=key)
        assert again == created


def batch_of(customer: str, *, keyed: bool = True) -> pb.BatchCreatePaymentsRequest:
    """More than one statement takes."""
    return pb.BatchCreatePaymentsRequest(
        requests=[
            pb.CreatePaymentRequest(
                amount="10.00",
                customer_id=customer,
                idempotency_key=f"{customer}-{number}" if keyed else "",
            )
            for number in range(300)
        ]
    )


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_batch_happens_once(cut: Cut, keyed: bool) -> None:
    customer = f"customer-of-batch-{keyed}"
    batch = batch_of(customer, keyed=keyed)
    cut.proxy.marks = (customer,)
    results = (await cut.servers.stub.BatchCreatePayments(batch)).results
    assert cut.proxy.cuts == 1
    assert await listed(cut, customer) == 300
    assert {each.idempotency_replayed for each in results} == {""}
    if keyed:
        again = (await cut.servers.stub.BatchCreatePayments(batch)).results
        assert [each.created for each in again] == [each.created for each in results]


async def test_a_batch_that_nobody_knows_of_is_finished_by_the_same_batch(cut: Cut) -> None:
    customer = "customer-of-unknown-batch"
    batch = batch_of(customer)
    cut.proxy.bars_after_cut = True
    cut.proxy.marks = (customer,)
    results = (await cut.servers.stub.BatchCreatePayments(batch)).results
    codes = {each.error.code for each in results}
    assert codes == {grpc.StatusCode.UNAVAILABLE.value[0]}  # each may be sent again
    cut.proxy.is_barred = False
    results = (await cut.servers.stub.BatchCreatePayments(batch)).results
    assert {each.WhichOneof("outcome") for each in results} == {"created"}
    assert {each.idempotency_replayed for each in results} == {"", "true"}
    assert await listed(cut, customer) == 300


@pytest.mark.parametrize(("call", "happened"), CUTS, ids=str)
@pytest.mark.parametrize("key", ["", "key"])
async def test_a_change_happens_once_and_its_key_keeps_the_first_answer(
    cut: Cut, audited_url: str, call: Call, happened: str, key: str
) -> None:
    payment_id = await call.prepared(cut.servers)
    version = (await read(cut, payment_id)).version
    key = key and f"{key}-{payment_id}"
    cut.proxy.marks = (happened, payment_id)
    answer = await over_grpc(cut.servers, call, payment_id, key=key)
    assert cut.proxy.cuts == 1
    assert answer.operation["status"] == "succeeded"
    if key:
        again = await over_grpc(cut.servers, call, payment_id, key=key)
        assert (again.raw, again.replayed) == (answer.raw, "true")
    payment = await read(cut, payment_id)
    assert payment.version == version + 2
    assert payment.version == answer.said["payment"]["version"]
    assert await differences_in(audited_url) == {}


async def test_a_refund_that_fails_late_is_taken_back_once(cut: Cut, audited_url: str) -> None:
    payment_id = (await cut.servers.created(payment_method="card_refund_late_fail")).payment_id
    await cut.servers.process(payment_id)
    cut.proxy.marks = ("payment.refund_reversed", payment_id)
    await cut.servers.ask(payment_id, "refund", amount="4.00")
    await until(lambda: has_version(cut, payment_id, 6))
    assert cut.proxy.cuts == 1
    assert (await read(cut, payment_id)).amount_refunded == "0.00"
    assert await differences_in(audited_url) == {}


async def test_a_payment_expires_once(cut: Cut, audited_url: str) -> None:
    request = pb.CreatePaymentRequest(amount="10.00", customer_id="cust123")
    request.expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=1))
    payment_id = (await cut.servers.stub.CreatePayment(request)).payment_id
    cut.proxy.marks = ("payment.expired", payment_id)
    await until(lambda: has_version(cut, payment_id, 2))
    assert cut.proxy.cuts == 1
    assert (await read(cut, payment_id)).status == pb.PAYMENT_STATUS_EXPIRED
    assert await differences_in(audited_url) == {}


async def has_version(cut: Cut, payment_id: str, version: int) -> bool:
    return (await read(cut, payment_id)).version == version


@pytest.mark.parametrize(("call", "begin"), BEGINNINGS, ids=str)
@pytest.mark.parametrize(
    ("key", "code"), [("", grpc.StatusCode.UNKNOWN), ("key", grpc.StatusCode.UNAVAILABLE)]
)
async def test_nobody_is_told_that_nothing_happened_when_nobody_knows(
    cut: Cut, call: Call, begin: str, key: str, code: grpc.StatusCode
) -> None:
    payment_id = await call.prepared(cut.servers)
    key = key and f"{key}-{payment_id}"
    cut.proxy.bars_after_cut = True
    cut.proxy.marks = (begin, payment_id)
    failed = await refusal(over_grpc(cut.servers, call, payment_id, key=key))
    assert (failed.code, failed.reason) == (code, "OUTCOME_UNKNOWN")
    assert ("RetryInfo" in failed.details) is bool(key)


@pytest.mark.parametrize(("call", "settle"), CUTS[len(BEGINNINGS) :], ids=str)
async def test_an_outcome_that_cannot_be_booked_is_told_as_pending(
    cut: Cut, call: Call, settle: str
) -> None:
    payment_id = await call.prepared(cut.servers)
    cut.proxy.bars_after_cut = True
    cut.proxy.marks = (settle, payment_id)
    answer = await over_grpc(cut.servers, call, payment_id)
    assert answer.operation["status"] == "pending"
    cut.proxy.is_barred = False
    payment = await read(cut, payment_id)
    assert payment.version == answer.said["payment"]["version"] + 1  # it had been booked
