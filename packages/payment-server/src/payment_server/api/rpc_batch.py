"""Batches on gRPC: one call, with an answer or a failure for each of its items."""

from functools import cache
from typing import Any

import grpc

from payment.v1 import payment_pb2 as pb
from payment_server.api.batch import BATCH_LIMIT_BYTES, check_batch, create_each, replay_of
from payment_server.api.faults import describe, rpc_status
from payment_server.api.gate import Gate
from payment_server.api.rpc import REQUEST_LIMIT_BYTES, Call, Context, call_of, parsed, refuse
from payment_server.api.wire import create_command, write_created
from payment_server.domain.commands import CreatePayment
from payment_server.domain.errors import MessageTooLarge
from payment_server.domain.idempotency import key_of
from payment_server.payments import Caller, Outcome, Payments


def batch_handlers(payments: Payments, gate: Gate) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The methods that take many requests in one, by their names in the contract."""

    async def create(raw: bytes, context: Context) -> bytes:
        call = call_of(context)
        try:
            with gate:
                request = parsed(pb.BatchCreatePaymentsRequest, raw, limit_bytes=BATCH_LIMIT_BYTES)
                results = await _created(payments, gate, call, request)
                reply = pb.BatchCreatePaymentsResponse(results=results)
        except Exception as error:
            await refuse(context, call, error)
        context.set_trailing_metadata((("x-request-id", call.request_id),))
        return reply.SerializeToString(deterministic=True)

    return {"BatchCreatePayments": grpc.unary_unary_rpc_method_handler(create)}


async def _created(
    payments: Payments, gate: Gate, call: Call, request: pb.BatchCreatePaymentsRequest
) -> list[pb.BatchCreatePaymentsResult]:
    merchant_id = call.merchant_id
    check_batch(request.requests, call.keys)

    def wish(item: pb.CreatePaymentRequest) -> tuple[Caller, CreatePayment]:
        if item.ByteSize() > REQUEST_LIMIT_BYTES:
            raise MessageTooLarge(REQUEST_LIMIT_BYTES)
        return Caller(merchant_id, key_of(item.idempotency_key)), create_command(item)

    @cache  # what many items share is described, and where it is a bug logged, once
    def failure(error: Exception) -> pb.Error:
        return pb.Error.FromString(rpc_status(describe(error, call.request_id)))

    def tell(outcome: Outcome | Exception) -> pb.BatchCreatePaymentsResult:
        if isinstance(outcome, Exception):
            return pb.BatchCreatePaymentsResult(error=failure(outcome))
        result = pb.BatchCreatePaymentsResult(idempotency_replayed=replay_of(outcome))
        write_created(result.created, outcome)
        return result

    return await create_each(payments, gate, merchant_id, request.requests, wish, tell)
