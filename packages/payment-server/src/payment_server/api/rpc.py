"""The service on gRPC: the methods, and the guard that every call passes.

Handlers get and give bytes, so that what cannot be parsed is our own error, and nothing that goes
wrong inside reaches a caller in gRPC's words.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

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
from payment_server.payments import Caller, Payments
from payment_server.reading import Reader

SERVICE: Final = "payment.v1.PaymentService"
REQUEST_LIMIT_BYTES: Final = 64 * 1024  # the largest honest request has half as many

REQUEST_ID_PATTERN: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

Request = TypeVar("Request", bound=Message)
Context = grpc.aio.ServicerContext[bytes, bytes]
Metadata = tuple[tuple[str, str | bytes], ...]
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


class Service:
    """The methods of payment.v1.PaymentService."""

    def __init__(
        self, payments: Payments, reader: Reader, is_up: Callable[[], Awaitable[bool]]
    ) -> None:
        self._payments = payments
        self._reader = reader
        self._is_up = is_up

    async def create(
        self, call: Call, request: pb.CreatePaymentRequest
    ) -> tuple[pb.CreatePaymentResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.create(caller, wire.create_command(request))
        return wire.created(outcome), outcome.replay

    async def get(
        self, call: Call, request: pb.GetPaymentRequest
    ) -> tuple[pb.GetPaymentResponse, Replay]:
        payment_id = commands.get_payment(request.payment_id)
        return wire.read(await self._reader.get(call.merchant_id, payment_id)), Replay.NO

    async def list_page(
        self, call: Call, request: pb.ListPaymentsRequest
    ) -> tuple[pb.ListPaymentsResponse, Replay]:
        page = await self._reader.list_page(call.merchant_id, wire.list_command(request))
        return wire.listed(page), Replay.NO

    async def process(
        self, call: Call, request: pb.ProcessPaymentRequest
    ) -> tuple[pb.ProcessPaymentResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.change(caller, wire.process_command(request))
        return wire.processed(outcome), outcome.replay

    async def capture(
        self, call: Call, request: pb.CapturePaymentRequest
    ) -> tuple[pb.CapturePaymentResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.change(caller, wire.capture_command(request))
        return wire.captured(outcome), outcome.replay

    async def cancel(
        self, call: Call, request: pb.CancelPaymentRequest
    ) -> tuple[pb.CancelPaymentResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.change(caller, wire.cancel_command(request))
        return wire.canceled(outcome), outcome.replay

    async def refund(
        self, call: Call, request: pb.RefundPaymentRequest
    ) -> tuple[pb.RefundPaymentResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.change(caller, wire.refund_command(request))
        return wire.refunded(outcome), outcome.replay

    async def complete(
        self, call: Call, request: pb.CompletePaymentActionRequest
    ) -> tuple[pb.CompletePaymentActionResponse, Replay]:
        caller = call.caller(key=request.idempotency_key)
        outcome = await self._payments.change(caller, wire.complete_command(request))
        return wire.completed(outcome), outcome.replay

    async def get_refund(
        self, call: Call, request: pb.GetRefundRequest
    ) -> tuple[pb.GetRefundResponse, Replay]:
        refund_id = commands.get_refund(request.refund_id)
        refund = await self._reader.get_refund(call.merchant_id, refund_id)
        return pb.GetRefundResponse(refund=wire.refund_message(refund)), Replay.NO

    async def list_refunds(
        self, call: Call, request: pb.ListRefundsRequest
    ) -> tuple[pb.ListRefundsResponse, Replay]:
        wish = wire.refunds_command(request)
        return wire.refunds_listed(
            await self._reader.list_refunds(call.merchant_id, wish)
        ), Replay.NO

    async def list_events(
        self, call: Call, request: pb.ListPaymentEventsRequest
    ) -> tuple[pb.ListPaymentEventsResponse, Replay]:
        wish = wire.events_command(request)
        return wire.events_listed(await self._reader.list_events(call.merchant_id, wish)), Replay.NO

    async def health(
        self, _call: Call, _request: pb.HealthCheckRequest
    ) -> tuple[pb.HealthCheckResponse, Replay]:
        status = "healthy" if await self._is_up() else "unhealthy"
        now = wire.rfc3339(datetime.now(UTC))
        return pb.HealthCheckResponse(status=status, timestamp=now), Replay.NO


def handlers(service: Service, gate: Gate) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The methods by their names in the contract, each behind the guard."""
    methods = {
        "CreatePayment": _guarded(gate, pb.CreatePaymentRequest, service.create),
        "GetPayment": _guarded(gate, pb.GetPaymentRequest, service.get),
        "ListPayments": _guarded(gate, pb.ListPaymentsRequest, service.list_page),
        "ProcessPayment": _guarded(gate, pb.ProcessPaymentRequest, service.process),
        "CapturePayment": _guarded(gate, pb.CapturePaymentRequest, service.capture),
        "CancelPayment": _guarded(gate, pb.CancelPaymentRequest, service.cancel),
        "RefundPayment": _guarded(gate, pb.RefundPaymentRequest, service.refund),
        "CompletePaymentAction": _guarded(gate, pb.CompletePaymentActionRequest, service.complete),
        "GetRefund": _guarded(gate, pb.GetRefundRequest, service.get_refund),
        "ListRefunds": _guarded(gate, pb.ListRefundsRequest, service.list_refunds),
        "ListPaymentEvents": _guarded(gate, pb.ListPaymentEventsRequest, service.list_events),
        "HealthCheck": _guarded(gate, pb.HealthCheckRequest, service.health),
    }
    return {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}


def _guarded(
    gate: Gate,
    request_type: type[Request],
    method: Callable[[Call, Request], Awaitable[tuple[Message, Replay]]],
) -> Bytes:
    async def guarded(raw: bytes, context: Context) -> bytes:
        call = call_of(context)
        try:
            with gate:
                reply, replay = await method(call, parsed(request_type, raw))
        except Exception as error:
            await refuse(context, call, error)
        context.set_trailing_metadata(_trailing(call, replay))
        return reply.SerializeToString(deterministic=True)

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
    metadata = tuple(context.invocation_metadata() or ())
    request_id = _last(metadata, "x-request-id")
    return Call(
        request_id=request_id if REQUEST_ID_PATTERN.fullmatch(request_id) else ids.new_id(),
        merchant=_last(metadata, "x-merchant-id"),
        keys=_all(metadata, "idempotency-key"),
        patience_seconds=context.time_remaining(),
    )


def _all(metadata: Metadata, name: str) -> tuple[str, ...]:
    values = (value for key, value in metadata if key == name)
    return tuple(
        value if isinstance(value, str) else value.decode("ascii", "replace") for value in values
    )


def _last(metadata: Metadata, name: str) -> str:
    return next(reversed(_all(metadata, name)), "")


def parsed(request_type: type[Request], raw: bytes) -> Request:
    """Raises MessageTooLarge and MalformedRequest."""
    if len(raw) > REQUEST_LIMIT_BYTES:
        raise MessageTooLarge(REQUEST_LIMIT_BYTES)
    try:
        return request_type.FromString(raw)
    except DecodeError:
        raise MalformedRequest(f"the bytes are no {request_type.DESCRIPTOR.full_name}") from None


def _trailing(call: Call, replay: Replay) -> tuple[tuple[str, str], ...]:
    request = ("x-request-id", call.request_id)
    return (request,) if replay is Replay.NO else (request, ("idempotency-replayed", replay))
