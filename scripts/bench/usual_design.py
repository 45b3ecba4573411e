"""The usual design: what most teams would build for CreatePayment, and build well.

grpc.aio on uvloop, the generated servicer, an asyncpg pool of ten with prepared statements, and
one transaction per call that records the key, the payment and its event. The rows and the answer
are the service's. Nothing here is slow on purpose; whoever can make it faster within the design is
welcome to.
"""

import asyncio
import hashlib
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import grpc
import uuid_utils
import uvloop

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from scripts.bench.ready import write_ready

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[pb.CreatePaymentRequest, pb.CreatePaymentResponse]

POOL_SIZE = 10
MERCHANT = "default"

SCHEMA = """
CREATE TABLE IF NOT EXISTS payments (
  merchant_id text NOT NULL, payment_id uuid NOT NULL, customer_id text NOT NULL,
  payment_method text NOT NULL, amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL, status text NOT NULL, metadata jsonb NOT NULL, version bigint NOT NULL,
  created_at timestamptz NOT NULL, PRIMARY KEY (merchant_id, payment_id));
CREATE INDEX IF NOT EXISTS payments_by_customer
  ON payments (merchant_id, customer_id, payment_id);
CREATE TABLE IF NOT EXISTS events (
  merchant_id text NOT NULL, payment_id uuid NOT NULL, version bigint NOT NULL,
  event_id uuid NOT NULL, type text NOT NULL, snapshot json NOT NULL,
  occurred_at timestamptz NOT NULL, PRIMARY KEY (merchant_id, payment_id, version));
CREATE TABLE IF NOT EXISTS idempotency (
  merchant_id text NOT NULL, idempotency_key text NOT NULL, fingerprint bytea NOT NULL,
  payment_id uuid NOT NULL, answer json NOT NULL, created_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, idempotency_key));
"""
CLAIM = """
INSERT INTO idempotency VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (merchant_id, idempotency_key) DO NOTHING RETURNING payment_id
"""
FIND = "SELECT fingerprint, answer FROM idempotency WHERE merchant_id = $1 AND idempotency_key = $2"
PAYMENT = "INSERT INTO payments VALUES ($1, $2, $3, $4, $5, $6, 'created', $7, 1, $8)"
EVENT = "INSERT INTO events VALUES ($1, $2, 1, $3, 'payment.created', $4, $5)"


class Payments(payment_pb2_grpc.PaymentServiceServicer):
    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def CreatePayment(  # noqa: N802 - the contract's name
        self, request: pb.CreatePaymentRequest, context: "Context"
    ) -> pb.CreatePaymentResponse:
        amount = await self._amount(request, context)
        now = datetime.now(UTC)
        payment = {
            "payment_id": str(uuid_utils.uuid7()),
            "merchant_id": MERCHANT,
            "customer_id": request.customer_id,
            "payment_method": request.payment_method or "card",
            "currency": request.currency.upper() or "USD",
            "amount": f"{amount:.2f}",
            "metadata": dict(request.metadata),
            "version": 1,
        }
        answer = await self._record(request, context, payment, int(amount * 100), now)
        created = pb.Payment(**answer, status=pb.PAYMENT_STATUS_CREATED)
        created.created_at.FromDatetime(now)
        return pb.CreatePaymentResponse(
            payment_id=created.payment_id,
            status="created",
            created_at=now.isoformat(),
            payment=created,
        )

    async def _amount(self, request: pb.CreatePaymentRequest, context: "Context") -> Decimal:
        try:
            amount = Decimal(request.amount)
        except InvalidOperation:
            amount = Decimal(0)
        if amount <= 0 or not request.customer_id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "amount and customer_id")
        return amount

    async def _record(
        self,
        request: pb.CreatePaymentRequest,
        context: "Context",
        payment: dict[str, Any],
        amount_minor: int,
        now: datetime,
    ) -> dict[str, Any]:
        """The payment, or the one that the key was bound to before."""
        fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        key, payment_id, snapshot = request.idempotency_key, payment["payment_id"], _json(payment)
        async with self._pool.acquire() as connection, connection.transaction():
            claimed = await connection.fetchval(
                CLAIM, MERCHANT, key, fingerprint, payment_id, snapshot, now
            )
            if claimed is None:
                bound = await connection.fetchrow(FIND, MERCHANT, key)
                if bound is None or bound["fingerprint"] != fingerprint:
                    await context.abort(grpc.StatusCode.ALREADY_EXISTS, "the key was used before")
                replayed: dict[str, Any] = json.loads(bound["answer"])
                return replayed
            await connection.execute(
                PAYMENT,
                *(MERCHANT, payment_id, request.customer_id, payment["payment_method"]),
                *(amount_minor, payment["currency"], _json(payment["metadata"]), now),
            )
            event_id = str(uuid_utils.uuid7())
            await connection.execute(EVENT, MERCHANT, payment_id, event_id, snapshot, now)
        return payment


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def serve(database_url: str, ready_file: Path) -> None:
    async with asyncpg.create_pool(database_url, min_size=POOL_SIZE, max_size=POOL_SIZE) as pool:
        await pool.execute(SCHEMA)
        server = grpc.aio.server()
        service = Payments(pool)  # type: ignore[abstract]  # one of the contract's methods is all we need
        payment_pb2_grpc.add_PaymentServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        write_ready(ready_file, grpc_port=port)
        await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], Path(sys.argv[2])))
