"""Rate limits on gRPC: a door in front of the guard, there only where calls are limited.

A call that is refused here is not read, so that it costs the same whatever it is.
"""

from typing import Any, Final, TypeAlias

import grpc

from payment_server.api.rpc import Context, call_of, refuse
from payment_server.limits import Limits

UNLIMITED: Final = frozenset({"HealthCheck"})  # what is asked by those who watch over the service

Method: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def limited(methods: dict[str, Method], limits: Limits | None) -> dict[str, Method]:
    """The methods by their names, behind the limits. A stream counts at its start."""
    if limits is None:
        return methods
    return {
        name: method if name in UNLIMITED else _limited(method, limits)
        for name, method in methods.items()
    }


def _limited(method: Any, limits: Limits) -> Method:
    async def admit(context: Context) -> None:
        call = call_of(context)
        try:
            await limits.admit(call.merchant_id)
        except Exception as error:
            await refuse(context, call, error)

    async def answer(raw: bytes, context: Context) -> bytes:
        await admit(context)
        answered: bytes = await method.unary_unary(raw, context)
        return answered

    async def stream(raw: bytes, context: Context) -> None:
        await admit(context)
        await method.unary_stream(raw, context)

    if method.response_streaming:
        return grpc.unary_stream_rpc_method_handler(stream)
    return grpc.unary_unary_rpc_method_handler(answer)
