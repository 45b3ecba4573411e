"""Streams on gRPC: the methods, and the guard that each passes.

A stream is no call inside the gate: it has no end, so it would use up the grace of a shutdown. It
ends by an error, told as those of calls are. A reader that stalls hears why when it goes on; until
then gRPC holds the answer back, and the stream keeps its place among those that are served.
"""

import asyncio
from contextlib import aclosing
from typing import Any

import grpc

from payment.v1 import payment_pb2 as pb
from payment_server.api.rpc import Call, Context, call_of, parsed, refuse
from payment_server.api.wire import event_message, watch_command
from payment_server.domain.errors import WatcherTooSlow
from payment_server.watching import TAKE_LIMIT_SECONDS, Watched, Watching


def stream_handlers(watching: Watching) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The methods that answer more than once, by their names in the contract."""

    async def watch_payments(raw: bytes, context: Context) -> None:
        call = call_of(context)
        try:
            await _watch(watching, call, parsed(pb.WatchPaymentsRequest, raw), context)
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            pass  # nobody is there to be told: the caller has left, or the server has stopped
        except Exception as error:
            await refuse(context, call, error)

    return {"WatchPayments": grpc.unary_stream_rpc_method_handler(watch_payments)}


async def _watch(
    watching: Watching, call: Call, request: pb.WatchPaymentsRequest, context: Context
) -> None:
    wish = watch_command(request)
    async with aclosing(watching.watch(call.merchant_id, wish)) as stream:
        first = await anext(stream)
        await context.send_initial_metadata((("x-request-id", call.request_id),))
        try:
            await _tell(context, first)
            async for watched in stream:
                await _tell(context, watched)
        except WatcherTooSlow as error:
            # Nothing but the reader or the end of its connection ends this wait: a handler cannot
            # reset its stream. So it is here that it waits, where it holds its place.
            await refuse(context, call, error)


async def _tell(context: Context, watched: Watched) -> None:
    """Raises WatcherTooSlow where nobody takes it."""
    event = None if watched.event is None else event_message(watched.event)
    reply = pb.WatchPaymentsResponse(event=event, cursor=watched.cursor)
    try:
        async with asyncio.timeout(TAKE_LIMIT_SECONDS):
            await context.write(reply.SerializeToString(deterministic=True))
    except TimeoutError:
        raise WatcherTooSlow(TAKE_LIMIT_SECONDS) from None
