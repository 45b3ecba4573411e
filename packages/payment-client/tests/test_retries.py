"""Both clients at a server that fails: what they send again, and what they raise."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from payment.v1 import payment_pb2 as pb
from payment_client import (
    IllegalTransition,
    InvalidRequest,
    NewPayment,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    Unavailable,
)

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

ZEROS = {
    field.name: "0.00" for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
}
CREATED = pb.CreatePaymentResponse(payment=pb.Payment(**ZEROS)).SerializeToString()  # type: ignore[arg-type]
Code = grpc.StatusCode


Failure = tuple[Code, tuple[str, str | bytes] | None]


def fails_first(foreign: "ForeignServer", *failures: Failure) -> None:
    """Answers so one after the other, and after them as it should."""
    left = iter(failures)

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        code, trailing = next(left, (None, None))
        if code is not None:
            context.set_trailing_metadata((trailing,) if trailing else ())
            context.abort(code, "not now")
        return CREATED

    foreign.answer = answer


def details(code: Code, reason: str, wait_ms: int | None = None) -> tuple[str, bytes]:
    """The trailing metadata of a failure as the service sends it."""
    told = [AnyMessage()]
    told[0].Pack(ErrorInfo(reason=reason, domain="payment.v1"))
    if wait_ms is not None:
        told.append(AnyMessage())
        told[1].Pack(RetryInfo(retry_delay=Duration(nanos=wait_ms * 1_000_000)))
    status = Status(code=code.value[0], message="not now", details=told)
    return "grpc-status-details-bin", status.SerializeToString()


async def test_a_change_is_sent_again_with_the_same_key_and_bytes(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    fails_first(foreign, (Code.UNAVAILABLE, None), (Code.CANCELLED, None))
    await connect(foreign.target).create()
    assert len(foreign.requests) == 3
    assert len(set(foreign.requests)) == 1
    assert pb.CreatePaymentRequest.FromString(foreign.requests[0]).idempotency_key


async def test_the_same_metadata_goes_with_every_attempt(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    fails_first(foreign, (Code.UNAVAILABLE, None))
    await connect(foreign.target, merchant_id="shop-1").create(headers={"x-request-id": "r-1"})
    assert [(each["x-merchant-id"], each["x-request-id"]) for each in foreign.metadata] == [
        ("shop-1", "r-1")
    ] * 2


async def test_exactly_one_layer_tries_again(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.fail(Code.UNAVAILABLE)
    with pytest.raises(OutcomeUnknown):
        await connect(foreign.target).create()
    assert foreign.methods == ["CreatePayment"] * 4


async def test_a_read_is_sent_again_and_ends_as_unavailable(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.fail(Code.UNAVAILABLE)
    with pytest.raises(Unavailable):
        await connect(foreign.target).get("p-1")
    assert foreign.methods == ["GetPayment"] * 4


async def test_many_payments_are_sent_again_each_with_its_key(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.fail(Code.UNAVAILABLE)
    with pytest.raises(OutcomeUnknown):
        await connect(foreign.target).create_many([NewPayment(amount="1", customer_id="c")] * 2)
    assert len(set(foreign.requests)) == 1
    assert len(foreign.requests) == 4


async def test_a_refusal_is_not_sent_again(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    code = Code.FAILED_PRECONDITION
    foreign.fail(code, "no", details(code, "NOT_AUTHORIZED"))
    with pytest.raises(IllegalTransition):
        await connect(foreign.target).create()
    assert len(foreign.requests) == 1


async def test_an_attempt_that_is_not_answered_is_followed_by_another(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    first = iter([True])

    def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        if next(first, False):
            foreign.stopping.wait(10)
        return CREATED

    foreign.answer = answer
    await connect(foreign.target).create(timeout_seconds=3)
    assert len(foreign.requests) == 2


async def test_the_service_is_asked_again_when_it_has_said(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    code = Code.RESOURCE_EXHAUSTED
    fails_first(foreign, (code, details(code, "RATE_LIMITED", 300)))
    began = time.monotonic()
    await connect(foreign.target).create()
    assert time.monotonic() - began >= 0.3


async def test_who_may_not_ask_again_in_time_hears_so_at_once(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    code = Code.RESOURCE_EXHAUSTED
    foreign.fail(code, "no", details(code, "RATE_LIMITED", 900))
    with pytest.raises(RateLimited):
        await connect(foreign.target).create(timeout_seconds=0.5)
    assert len(foreign.requests) == 1


async def test_a_pushback_of_the_server_is_waited_for(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    fails_first(foreign, (Code.UNAVAILABLE, ("grpc-retry-pushback-ms", "300")))
    began = time.monotonic()
    await connect(foreign.target).create()
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("never", ["-1", "later"])
async def test_a_pushback_of_never_is_obeyed(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", never: str
) -> None:
    foreign.fail(Code.UNAVAILABLE, "no", ("grpc-retry-pushback-ms", never))
    with pytest.raises(OutcomeUnknown):
        await connect(foreign.target).create()
    assert len(foreign.requests) == 1


@pytest.mark.parametrize(
    "target", ["127.0.0.1:{port}", "127.0.0.1:{port},127.0.0.2:{port}", "nowhere.invalid:{port}"]
)
async def test_a_change_that_reached_nobody_has_not_happened(
    connect: "Callable[..., Twin]", quiet_port: int, target: str
) -> None:
    twin = connect(target.format(port=quiet_port), timeout_seconds=1)
    with pytest.raises(PaymentError) as caught:
        await twin.create()
    assert type(caught.value) is Unavailable


async def test_a_service_that_comes_back_in_time_is_found(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", quiet_port: int
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    twin = connect(f"127.0.0.1:{quiet_port}", timeout_seconds=20)
    with pytest.raises(Unavailable):
        await twin.create(timeout_seconds=0.2)
    returned = foreign.start(quiet_port)
    await twin.create()
    returned.stop(0).wait()


async def test_calls_go_to_all_targets_that_serve(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", quiet_port: int
) -> None:
    foreign.answer = lambda _request, _context: CREATED
    twin = connect(f"127.0.0.1:{quiet_port},{foreign.target}", timeout_seconds=20)
    for _ in range(8):
        await twin.create()
    assert foreign.methods.count("CreatePayment") == 8


def answered(reason: str, code: Code) -> bytes:
    """The answer to a batch of one, which failed so."""
    error = pb.Error.FromString(details(code, reason)[1])  # of the same fields as google.rpc.Status
    result = pb.BatchCreatePaymentsResult(error=error)
    return pb.BatchCreatePaymentsResponse(results=[result]).SerializeToString()


@pytest.mark.parametrize(
    ("is_lost", "reason", "code", "kind"),
    [
        (False, "OVERLOADED", Code.UNAVAILABLE, Unavailable),
        (True, "OVERLOADED", Code.UNAVAILABLE, OutcomeUnknown),
        (True, "FIELD_INVALID", Code.INVALID_ARGUMENT, InvalidRequest),
        (False, "A_NEW_REASON", Code.UNAVAILABLE, OutcomeUnknown),
    ],
)
async def test_each_payment_of_a_batch_is_told_as_it_would_have_been_alone(
    connect: "Callable[..., Twin]",
    foreign: "ForeignServer",
    is_lost: bool,
    reason: str,
    code: Code,
    kind: type[PaymentError],
) -> None:
    losses = iter([True] if is_lost else [])

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        if next(losses, False):
            context.abort(Code.UNAVAILABLE, "")
        return answered(reason, code)

    foreign.answer = answer
    wish = NewPayment(amount="1", customer_id="c", idempotency_key="order-42")
    [error] = (await connect(foreign.target).create_many([wish])).errors
    assert (type(error), error.idempotency_key) == (kind, "order-42")
