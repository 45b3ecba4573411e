"""A stand-in for payment-server, for what only a hand inside that could make it say."""

from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import NoReturn

import grpc
from google.rpc import error_details_pb2, status_pb2

from payment.v1.errors import DOMAIN, ERRORS


@contextmanager
def refusing(retry_after_ms: Mapping[str, int | None]) -> Iterator[str]:
    """Serves one that refuses every call with the reason that its merchant is called; gives its
    address."""
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[_Refuser(retry_after_ms)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class _Refuser(grpc.GenericRpcHandler):
    """`retry_after_ms` is said where there is one for the reason."""

    def __init__(self, retry_after_ms: Mapping[str, int | None]) -> None:
        self._retry_after_ms = retry_after_ms

    def service(self, _call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(self._refuse)

    def _refuse(self, _request: bytes, context: grpc.ServicerContext) -> NoReturn:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        row = ERRORS[metadata["x-merchant-id"].upper()]
        info = error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN)
        details = [info, error_details_pb2.RequestInfo(request_id=metadata["x-request-id"])]
        after_ms = self._retry_after_ms[row.reason]
        if after_ms is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(after_ms)
            details.append(retry)
        code = grpc.StatusCode[row.code]
        status = status_pb2.Status(code=code.value[0], message=row.title)
        for each in details:
            status.details.add().Pack(each)
        told = (("grpc-status-details-bin", status.SerializeToString()),)
        context.set_trailing_metadata(told)
        context.abort(code, row.title)
