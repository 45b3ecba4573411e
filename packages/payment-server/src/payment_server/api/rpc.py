"""The service on gRPC: the methods, and the guard that every call passes.

Handlers get and give bytes, so that what cannot be parsed is our own error, and nothing that goes
wrong inside reaches a caller in gRPC's words.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc
import msgspec
from google.protobuf.message import DecodeError, Message

from payment.v1 import payment_pb2 as pb
from payment_server.api import wire
from payment_server.api.faults import describe, rpc_status, status_code
from payment_server.api.gate import Gate
from payment_server.domain import commands, ids
from payment_server.domain.errors import MalformedRequest, MessageTooLarge
from payment_server.domain.idempotency import Replay, key_of
from payment_server.payments import Caller, Outcome, Payments
from payment_server.reading import Reader

SERVICE: Final = "payment.v1.PaymentService"
REQUEST_LIMIT_BYTES: Final = 64 * 1024  # the largest honest request has half as many

LONGEST_PATIENCE_SECONDS: Final = 365 * 24 * 3600
"""A deadline beyond it is none: servers have a number for those who set none."""

REQUEST_ID_PATTERN: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


class _WithKey(Protocol):
    idempotency_key: str


Request = TypeVar("Request", bound=Message)
Keyed = TypeVar("Keyed", bound=_WithKey)
Wish = TypeVar("Wish")
Found = TypeVar("Found")
Context = grpc.aio.ServicerContext[bytes, bytes]
Bytes = Callable[[bytes, Context], Awaitable[bytes]]


class Call(msgspec.Struct, frozen=True):
    """What a call's metadata says."""

    request_id: str
    merchant: str
    keys: tuple[str, ...]
    patience_seconds: float | None

    @property
    def merchant_id(self) -> str:
        """Whose payments; raises InvalidRequest for what no merchant is called."""
        return commands.merchant_id(self.merchant)

    def caller(self, *, key: str) -> Caller:
        """Who asks. Raises InvalidRequest for a bad merchant or key, or two keys that differ."""
        return Caller(
            merchant_id=self.merchant_id,
            idempotency_key=key_of(key, *self.keys),
            patience_seconds=self.patience_seconds,
        )


class Service(msgspec.Struct, frozen=True):
    """What answers the methods of payment.v1.PaymentService."""

    payments: Payments
    reader: Reader
    is_up: Callable[[], Awaitable[bool]]


def handlers(service: Service, gate: Gate) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The methods by their names in the contract, each behind the guard."""
    create, change, reader = service.payments.create, service.payments.change, service.reader
    methods = {
        "CreatePayment": _keyed(pb.CreatePaymentRequest, wire.create_command, create, wire.created),
        "GetPayment": _read(pb.GetPaymentRequest, wire.get_command, reader.get, wire.read),
        "ListPayments": _read(
            pb.ListPaymentsRequest, wire.list_command, reader.list_page, wire.listed
        ),
        "ProcessPayment": _keyed(
            pb.ProcessPaymentRequest, wire.process_command, change, wire.processed
        ),
        "CapturePayment": _keyed(
            pb.CapturePaymentRequest, wire.capture_command, change, wire.captured
        ),
        "CancelPayment": _keyed(
            pb.CancelPaymentRequest, wire.cancel_command, change, wire.canceled
        ),
        "RefundPayment": _keyed(
            pb.RefundPaymentRequest, wire.refund_command, change, wire.refunded
        ),
        "CompletePaymentAction": _keyed(
            pb.CompletePaymentActionRequest, wire.complete_command, change, wire.completed
        ),
        "GetRefund": _read(
            pb.GetRefundRequest, wire.get_refund_command, reader.get_refund, wire.refund_read
        ),
        "ListRefunds": _read(
            pb.ListRefundsRequest, wire.refunds_command, reader.list_refunds, wire.refunds_listed
        ),
        "ListPaymentEvents": _read(
            pb.ListPaymentEventsRequest, wire.events_command, reader.list_events, wire.events_listed
        ),
        "HealthCheck": _health(service.is_up),
    }
    return {
        name: grpc.unary_unary_rpc_method_handler(_guarded(gate, method))
        for name, method in methods.items()
    }


class _Method(msgspec.Struct, frozen=True):
    request_type: type[Any]
    answer: Callable[[Call, Any], Awaitable[tuple[Message, Replay]]]


def _keyed(
    request_type: type[Keyed],
    command: Callable[[Keyed], Wish],
    change: Callable[[Caller, Wish], Awaitable[Outcome]],
    reply: Callable[[Outcome], Message],
) -> _Method:
    async def answer(call: Call, request: Keyed) -> tuple[Message, Replay]:
        outcome = await change(call.caller(key=request.idempotency_key), command(request))
        return reply(outcome), outcome.replay

    return _Method(request_type, answer)


def _read(
    request_type: type[Request],
    command: Callable[[Request], Wish],
    read: Callable[[str, Wish], Awaitable[Found]],
    reply: Callable[[Found], Message],
) -> _Method:
    async def answer(call: Call, request: Request) -> tuple[Message, Replay]:
        return reply(await read(call.merchant_id, command(request))), Replay.NO

    return _Method(request_type, answer)


def _health(is_up: Callable[[], Awaitable[bool]]) -> _Method:
    async def answer(_call: Call, _request: pb.HealthCheckRequest) -> tuple[Message, Replay]:
        status = "healthy" if await is_up() else "unhealthy"
        now = wire.rfc3339(datetime.now(UTC))
        return pb.HealthCheckResponse(status=status, timestamp=now), Replay.NO

    return _Method(pb.HealthCheckRequest, answer)


def _guarded(gate: Gate, method: _Method) -> Bytes:
    async def guarded(raw: bytes, context: Context) -> bytes:
        call = call_of(context)
        try:
            with gate:
                reply, replay = await method.answer(call, parsed(method.request_type, raw))
                answer = reply.SerializeToString(deterministic=True)
                # A turn later, with the others of its batch: they leave one right behind the
                # other, and the server's threads wake and write once for all of them.
                await asyncio.sleep(0)
        except Exception as error:
            await refuse(context, call, error)
        context.set_trailing_metadata(_trailing(call, replay))
        return answer

    return guarded


async def refuse(context: Context, call: Call, error: Exception) -> NoReturn:
    """Ends a call with what became of it; raises what gRPC wants raised then."""
    fault = describe(error, call.request_id)
    await context.abort(
        status_code(fault),
        fault.message,
        (("grpc-status-details-bin", rpc_status(fault)), ("x-request-id", call.request_id)),
    )


def call_of(context: Context) -> Call:
    """What the metadata says, with a request id of our own where the caller has none."""
    request_id, merchant, keys = "", "", []
    for name, value in context.invocation_metadata() or ():
        match name:
            case "x-request-id":
                request_id = _text(value)
            case "x-merchant-id":
                merchant = _text(value)
            case "idempotency-key":
                keys.append(_text(value))
    return Call(
        request_id=request_id if REQUEST_ID_PATTERN.fullmatch(request_id) else ids.new_id(),
        merchant=merchant,
        keys=tuple(keys),
        patience_seconds=_patience(context.time_remaining()),
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii", "replace")


def _patience(seconds: float | None) -> float | None:
    return None if seconds is None or seconds > LONGEST_PATIENCE_SECONDS else seconds


def parsed(
    request_type: type[Request], raw: bytes, *, limit_bytes: int = REQUEST_LIMIT_BYTES
) -> Request:
    """Raises MessageTooLarge and MalformedRequest."""
    if len(raw) > limit_bytes:
        raise MessageTooLarge(limit_bytes)
    try:
        return request_type.FromString(raw)
    except DecodeError:
        raise MalformedRequest(f"the bytes are no {request_type.DESCRIPTOR.full_name}") from None


def _trailing(call: Call, replay: Replay) -> tuple[tuple[str, str], ...]:
    request = ("x-request-id", call.request_id)
    return (request,) if replay is Replay.NO else (request, ("idempotency-replayed", replay))
