"""`payment_client._calls` and the two shells: what is sent, and what may come back."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    AsyncPaymentClient,
    DeadlineExceeded,
    Internal,
    OutcomeUnknown,
    PaymentClient,
    PaymentError,
    Unavailable,
)

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

ZEROS = {
    field.name: "0.00" for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
}
CREATED = pb.CreatePaymentResponse(payment=pb.Payment(**ZEROS)).SerializeToString()  # type: ignore[arg-type]


async def test_a_change_without_a_key_is_sent_with_one(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    await connect(foreign.target).create()
    assert pb.CreatePaymentRequest.FromString(foreign.requests[0]).idempotency_key


async def test_two_calls_have_two_keys(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    twin = connect(foreign.target)
    await twin.create()
    await twin.create()
    first, second = map(pb.CreatePaymentRequest.FromString, foreign.requests)
    assert first.idempotency_key != second.idempotency_key


async def test_a_failed_call_says_which_key_it_had(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.fail(grpc.StatusCode.UNIMPLEMENTED)
    with pytest.raises(PaymentError) as caught:
        await connect(foreign.target).create()
    sent = pb.CreatePaymentRequest.FromString(foreign.requests[0])
    assert caught.value.idempotency_key == sent.idempotency_key


async def test_merchant_and_headers_are_sent_as_metadata(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    twin = connect(foreign.target, merchant_id="shop-1")
    await twin.create(headers={"X-Request-Id": "r-1"})
    sent = foreign.metadata[0]
    assert (sent["x-merchant-id"], sent["x-request-id"]) == ("shop-1", "r-1")


async def test_the_timeout_ends_a_call(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.never_answer()
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        await connect(foreign.target).get(
            "p-1", timeout_seconds=0.2, headers={"x-request-id": "r-1"}
        )
    assert 0.2 <= time.monotonic() - began < 2
    assert caught.value.request_id == "r-1"


async def test_a_target_where_nobody_listens_is_unavailable(
    connect: "Callable[..., Twin]", quiet_port: int
) -> None:
    with pytest.raises(Unavailable) as caught:
        await connect(f"127.0.0.1:{quiet_port}").health(timeout_seconds=0.5)
    assert (caught.value.reason, caught.value.http_status) == ("UNAVAILABLE", 503)


async def test_a_proxy_in_the_environment_is_not_used(
    connect: "Callable[..., Twin]",
    foreign: "ForeignServer",
    quiet_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{quiet_port}")
    foreign.answer = lambda _request, _context: CREATED
    await connect(foreign.target).create()
    assert foreign.methods == ["CreatePayment"]


async def test_an_answer_that_is_no_message_is_internal(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: b"\xff\xff\xff"
    with pytest.raises(Internal):
        await connect(foreign.target).create()


@pytest.mark.parametrize(
    "answer",
    [
        pb.CreatePaymentResponse(),
        pb.CreatePaymentResponse(payment=pb.Payment(**(ZEROS | {"amount": "much"}))),  # type: ignore[arg-type]
    ],
    ids=["no payment", "no amount"],
)
async def test_an_answer_against_the_contract_is_internal(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", answer: pb.CreatePaymentResponse
) -> None:
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    with pytest.raises(Internal, match="an amount that is no number") as caught:
        await connect(foreign.target).create(idempotency_key="order-42")
    assert (caught.value.reason, caught.value.idempotency_key) == ("MALFORMED_ANSWER", "order-42")


async def test_a_written_time_without_an_offset_is_against_the_contract(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    answer = pb.HealthCheckResponse(status="healthy", timestamp="2026-11-23T05:30:00")
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    with pytest.raises(Internal, match="has no offset"):
        await connect(foreign.target).health()


async def test_a_page_that_is_followed_by_itself_ends_the_list(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    answer = pb.ListPaymentsResponse(next_page_token="again")
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    with pytest.raises(Internal, match="followed by itself"):
        await connect(foreign.target).list_all()


async def test_a_page_is_fetched_when_it_is_needed(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    connect(foreign.target).client.payments.list()
    assert foreign.methods == []


@pytest.mark.parametrize(
    ("sent", "read"),
    [(None, (False, False)), ("true", (True, False)), ("reconstructed", (True, True))],
)
async def test_a_replay_says_that_it_is_one(
    connect: "Callable[..., Twin]",
    foreign: "ForeignServer",
    sent: str | None,
    read: tuple[bool, bool],
) -> None:
    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("idempotency-replayed", sent),) if sent else ())
        return CREATED

    foreign.answer = answer
    call = (await connect(foreign.target).create()).call
    assert (call.replayed, call.reconstructed) == read


async def test_a_page_of_more_than_grpcs_usual_limit_is_read(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    payment = pb.Payment(**(ZEROS | {"description": "x" * 60_000}))  # type: ignore[arg-type]
    answer = pb.ListPaymentsResponse(payments=[payment] * 100)
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    assert len(await connect(foreign.target).list_all()) == 100


async def test_a_closed_client_says_so(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    twin = connect(foreign.target)
    await twin.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        await twin.health()


async def test_closing_twice_is_closing_once(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    twin = connect(foreign.target)
    await twin.create()
    await twin.close()
    await twin.close()


async def test_closing_ends_a_call_under_way_as_unavailable(foreign: "ForeignServer") -> None:
    foreign.never_answer()
    blocking, client = PaymentClient(foreign.target), AsyncPaymentClient(foreign.target)
    calls = [
        asyncio.create_task(asyncio.to_thread(blocking.payments.get, "p-1")),
        asyncio.create_task(client.payments.get("p-1")),
    ]
    await foreign.was_asked(times=2)
    blocking.close()
    await client.close()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [Unavailable, Unavailable]


def test_closing_meets_calls_of_other_threads_in_two_ways_only(foreign: "ForeignServer") -> None:
    foreign.answer = lambda _request, _context: CREATED
    # The moment between a call's first look and grpcio's is short: threads meet it now and then.
    with ThreadPoolExecutor(16) as threads:
        for _ in range(10):
            client = PaymentClient(foreign.target)
            ended = [threads.submit(_create_until_it_fails, client) for _ in range(16)]
            client.payments.create(amount="1", customer_id="cust123")
            client.close()
            assert {type(each.result()) for each in ended} <= {OutcomeUnknown, RuntimeError}


def _create_until_it_fails(client: PaymentClient) -> Exception:
    while True:
        try:
            client.payments.create(amount="1", customer_id="cust123")
        except Exception as error:
            return error


async def test_a_cancelled_task_is_cancelled(foreign: "ForeignServer") -> None:
    foreign.never_answer()
    async with AsyncPaymentClient(foreign.target) as client:
        call = asyncio.create_task(client.payments.get("p-1"))
        await foreign.was_asked(times=1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_an_asyncio_client_may_be_made_before_there_is_a_loop(foreign: "ForeignServer") -> None:
    foreign.answer = lambda _request, _context: CREATED
    client = AsyncPaymentClient(foreign.target)

    async def use() -> None:
        async with client:
            await client.payments.create(amount="1.00", customer_id="cust123")

    asyncio.run(use())
    assert foreign.methods == ["CreatePayment"]


async def test_a_call_from_another_loop_is_refused_before_it_is_sent(
    foreign: "ForeignServer",
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    async with AsyncPaymentClient(foreign.target) as client:
        await client.payments.create(amount=1, customer_id="c")

        def from_another() -> None:
            asyncio.run(client.payments.create(amount=2, customer_id="c"))

        with pytest.raises(RuntimeError, match="belongs to the event loop of its first call"):
            await asyncio.to_thread(from_another)
    assert len(foreign.requests) == 1


async def test_closing_ends_a_call_of_a_task_that_has_outlived_its_cancellation(
    foreign: "ForeignServer",
) -> None:
    foreign.never_answer()
    client = AsyncPaymentClient(foreign.target)

    async def undo() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await client.payments.cancel("p-1", idempotency_key="undo-1")

    task = asyncio.create_task(undo())
    await asyncio.sleep(0)
    task.cancel()
    await foreign.was_asked(times=1)
    await client.close()
    with pytest.raises(OutcomeUnknown) as caught:
        await task
    assert caught.value.idempotency_key == "undo-1"
