"""The bare echo: what grpc.aio costs when the service behind it does nothing.

Parses CreatePayment's request and serializes its answer, on uvloop; the same answer each time.
"""

import asyncio
import sys
from pathlib import Path

import grpc
import uvloop

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from scripts.bench.ready import write_ready

_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_NOW = "2026-01-01T00:00:00Z"
ANSWER = pb.CreatePaymentResponse(
    payment_id=_ID,
    status="created",
    created_at=_NOW,
    payment=pb.Payment(
        payment_id=_ID,
        merchant_id="default",
        customer_id="cust123",
        payment_method="card",
        capture_method=pb.CAPTURE_METHOD_AUTOMATIC,
        currency="USD",
        amount="10.00",
        status=pb.PAYMENT_STATUS_CREATED,
        amount_authorized="0.00",
        amount_captured="0.00",
        amount_capturable="0.00",
        amount_voided="0.00",
        amount_refunded="0.00",
        amount_refund_pending="0.00",
        amount_refundable="0.00",
        version=1,
        allowed_actions=["process", "authorize", "cancel"],
    ),
)


class Echo(payment_pb2_grpc.PaymentServiceServicer):
    async def CreatePayment(  # noqa: N802 - the contract's name
        self,
        _request: pb.CreatePaymentRequest,
        _context: "grpc.aio.ServicerContext[pb.CreatePaymentRequest, pb.CreatePaymentResponse]",
    ) -> pb.CreatePaymentResponse:
        return ANSWER


async def serve(ready_file: Path) -> None:
    server = grpc.aio.server()
    service = Echo()  # type: ignore[abstract]  # one of the contract's methods is all we need
    payment_pb2_grpc.add_PaymentServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    write_ready(ready_file, grpc_port=port)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
