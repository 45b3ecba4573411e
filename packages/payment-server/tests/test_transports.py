"""The wire on each of the gRPC servers: what one of them does, the other does too."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from gated_processor import Gated, never
from program_under_test import dev
from service_under_test import (
    Servers,
    Start,
    clients_of,
    refusal,
    refusal_of,
    service_on,
    settings,
    until,
)
from watching_under_test import heard, opened, said

from payment.v1 import payment_pb2 as pb
from payment_server.api import gate, rpc
from payment_server.api.leaving import CLOSE_GRACE_SECONDS
from payment_server.api.transport import Transport
from payment_server.app import CannotStart
from payment_server.doctor import examine

pytestmark = pytest.mark.usefixtures("transport")

CREATE = "/payment.v1.PaymentService/CreatePayment"
REQUEST = pb.CreatePaymentRequest(amount="10.00", customer_id="c")


async def test_metadata_goes_both_ways(servers: Servers) -> None:
    odd = (("x-request-id", "mine"), ("x-odd-bin", b"\x00\xff"), ("idempotency-key", "k"))
    first = servers.stub.CreatePayment(REQUEST, metadata=odd)
    second = servers.stub.CreatePayment(REQUEST, metadata=odd)
    assert (await first).payment_id == (await second).payment_id
    said = [dict(await call.trailing_metadata() or ()) for call in (first, second)]
    assert [each["x-request-id"] for each in said] == ["mine", "mine"]
    assert [each.get("idempotency-replayed") for each in said].count("true") == 1


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
async def test_a_call_may_be_compressed(
    servers: Servers, compression: grpc.Compression | None
) -> None:
    assert (await servers.stub.CreatePayment(REQUEST, compression=compression)).status == "created"


@pytest.mark.parametrize("timeout", [None, 30.0])
async def test_only_a_deadline_ends_a_callers_patience(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, timeout: float | None
) -> None:
    seen: list[rpc.Call] = []

    def read(context: rpc.Context, call_of: Any = rpc.call_of) -> rpc.Call:
        seen.append(call_of(context))
        return seen[-1]

    monkeypatch.setattr(rpc, "call_of", read)
    await servers.stub.CreatePayment(REQUEST, timeout=timeout)
    (call,) = seen
    if timeout is None:
        assert call.patience_seconds is None
    else:
        assert call.patience_seconds is not None
        assert timeout - 5 < call.patience_seconds <= timeout + 0.1


async def test_a_deadline_ends_the_call_and_not_the_change(start: Start) -> None:
    processor, go_on = Gated(), asyncio.Event()
    processor.before = go_on.wait
    async with start(processor) as servers:
        payment_id = (await servers.created()).payment_id
        request = pb.ProcessPaymentRequest(payment_id=payment_id, idempotency_key="k")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await servers.stub.ProcessPayment(request, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        go_on.set()
        assert (await servers.stub.ProcessPayment(request)).status == "captured"
    assert sum(processor.asked.values()) == 1


@pytest.mark.parametrize(
    "path", ["/payment.v1.PaymentService/Pay", "/payment.v1.Payments/CreatePayment", "/x"]
)
async def test_what_there_is_not_is_unimplemented(servers: Servers, path: str) -> None:
    call: Any = servers.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("size", "reason"), [(1, "MALFORMED_REQUEST"), (70_000, "MESSAGE_TOO_LARGE")]
)
async def test_bytes_of_no_use_are_refused_in_our_words(
    servers: Servers, size: int, reason: str
) -> None:
    call: Any = servers.channel.unary_unary(CREATE)
    assert (await refusal(call(b"\xff" * size))).reason == reason


async def test_a_message_beyond_the_librarys_limit_is_refused(servers: Servers) -> None:
    call: Any = servers.channel.unary_unary(CREATE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\x00" * (5 * 1024 * 1024))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_thousands_of_calls_at_once_are_answered_or_told_why_not(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CALLS_LIMIT", 3)  # few: who is inside leaves soon

    async def outcome() -> str:
        try:
            return (await servers.stub.CreatePayment(REQUEST)).status
        except grpc.aio.AioRpcError as error:
            return refusal_of(error).reason

    outcomes = Counter(await asyncio.gather(*(outcome() for _ in range(2_000))))
    assert set(outcomes) == {"created", "OVERLOADED"}
    assert outcomes["created"] >= 3
    assert await outcome() == "created"


async def test_no_answer_is_lost_when_the_service_stops(database_url: str) -> None:
    processor, go_on = Gated(), asyncio.Event()
    processor.before = go_on.wait
    service = service_on(database_url, {}, processor)
    async with clients_of(await service.__aenter__()) as servers:
        created = await asyncio.gather(*(servers.created() for _ in range(100)))
        inside = [asyncio.ensure_future(servers.process(each.payment_id)) for each in created]

        async def are_inside() -> bool:
            return len(processor.asked) == len(created)

        await until(are_inside)
        end = asyncio.ensure_future(service.__aexit__(None, None, None))
        await asyncio.sleep(0)
        go_on.set()
        assert {each.status for each in await asyncio.gather(*inside)} == {"captured"}
        await end


async def test_a_call_that_outlasts_the_grace_does_not_hold_up_the_end(database_url: str) -> None:
    processor = Gated()
    processor.before = never
    service = service_on(database_url, {"PAYMENT_PROCESSOR_TIMEOUT_MS": "60000"}, processor)
    async with clients_of(await service.__aenter__()) as servers:
        call = asyncio.ensure_future(servers.process((await servers.created()).payment_id))

        async def is_inside() -> bool:
            return bool(processor.asked)

        await until(is_inside)
        began = time.monotonic()
        await service.__aexit__(None, None, None)
        assert time.monotonic() - began < 2 * 2.0 + CLOSE_GRACE_SECONDS + 1.0  # gate, then changes
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_a_port_is_shared_with_nobody_and_free_again_at_once(
    database_url: str, servers: Servers
) -> None:
    port = str(servers.grpc_port)
    with pytest.raises(CannotStart, match=f"{port} is taken .* set PAYMENT_GRPC_PORT"):
        await service_on(database_url, {"PAYMENT_GRPC_PORT": port}, None).__aenter__()
    for _ in range(2):
        async with (
            service_on(database_url, {"PAYMENT_GRPC_PORT": "0"}, None) as address,
            clients_of(address) as first,
        ):
            await first.created()
        again = {"PAYMENT_GRPC_PORT": str(address.grpc_port)}
        async with service_on(database_url, again, None) as address, clients_of(address) as second:
            await second.created()


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", {"127.0.0.1"}),
        ("localhost", {"127.0.0.1"}),
        ("0.0.0.0", {"127.0.0.1"}),  # noqa: S104 - that it is bound is the test
        ("::", {"127.0.0.1", "::1"}),
        ("::1", {"::1"}),
    ],
)
async def test_the_host_says_who_reaches_the_service(
    start: Start, host: str, reached: set[str]
) -> None:
    async with start(PAYMENT_HOST=host) as servers:
        for address in reached:
            socket.create_connection((address, servers.grpc_port), 1).close()


async def test_what_is_not_installed_is_refused_in_one_sentence(
    database_url: str, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygrpc_native.aio", None)
    found = await examine(settings(database_url, {}))
    if transport is Transport.GRPCIO:
        assert "gRPC is served by grpcio" in [each.what for each in found]
        return
    said = "PAYMENT_GRPC_TRANSPORT is native, which needs payment-server[native] installed"
    assert said in [each.what for each in found if not each.fine]
    with pytest.raises(CannotStart) as caught:
        await service_on(database_url, {}, None).__aenter__()
    assert str(caught.value) == said


async def test_on_the_loop_of_the_program_a_signal_ends_watches_and_leaves_nothing(
    tmp_path: Path, transport: Transport
) -> None:
    with (
        TemporaryDirectory() as folder,  # a socket's path has to be short
        dev(tmp_path, PAYMENT_GRPC_TRANSPORT=transport, TMPDIR=folder) as service,
    ):
        address = f"127.0.0.1:{service.grpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            servers: Any = Servers(service.grpc_port, service.http_port, channel, None)  # type: ignore[arg-type]
            answers, _ = await opened(servers)
            created = await servers.created()
            assert said(await heard(answers, 1)) == [(created.payment_id, 1)]
            service.process.send_signal(signal.SIGTERM)
            assert (await refusal(answers.read())).reason == "SHUTTING_DOWN"
        assert await asyncio.to_thread(service.process.wait, 5) == 0
        assert os.listdir(folder) == []  # noqa: PTH208 - of what the service had in TMPDIR
    assert f"({transport})" in (tmp_path / "log").read_text()


async def test_a_socket_that_cannot_be_had_is_told_in_one_sentence(
    database_url: str, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long_folder = tmp_path / ("x" * 100)
    long_folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long_folder))
    service = service_on(database_url, {}, None)
    if transport is Transport.GRPCIO:  # has none beside its port
        async with service:
            return
    with pytest.raises(CannotStart, match=str(long_folder)):
        await service.__aenter__()
