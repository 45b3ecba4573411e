"""Batches as JSON over HTTP: one request, with an answer or a problem for each of its items."""

from functools import cache
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta

from payment_server.api.batch import BATCH_LIMIT_BYTES, check_batch, create_each, replay_of
from payment_server.api.bodies import PaymentBody, payment_body
from payment_server.api.faults import Problem, describe, problem
from payment_server.api.gate import Gate
from payment_server.api.intake import item_of
from payment_server.api.parameters import MERCHANT, HttpRequest, problems, reference_to
from payment_server.api.request_bodies import BatchCreatePaymentsBody, CreatePaymentBody
from payment_server.api.rpc import REQUEST_LIMIT_BYTES
from payment_server.domain.commands import CreatePayment
from payment_server.domain.errors import MessageTooLarge
from payment_server.domain.idempotency import Replay, key_of
from payment_server.payments import Caller, Outcome, Payments

PATH: Final = "/v1/payments/batch"


class CreatedBody(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is recorded, and what Idempotency-Replayed would say of it."""

    success: bool = True
    data: PaymentBody
    replayed: str


_CREATED: Final = {
    "type": "object",
    "required": ["success", "data", "replayed"],
    "properties": {
        "success": {"type": "boolean", "const": True},
        "data": reference_to("PaymentBody"),
        "replayed": {"type": "string", "enum": ["", Replay.YES, Replay.RECONSTRUCTED]},
    },
}
"""CreatedBody, documented here: of a choice of structs, msgspec describes those with text tags."""


class BatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each item, in their order."""

    success: bool = True
    results: Annotated[
        list[Any],  # CreatedBody | Problem
        Meta(
            description="What became of each request, in their order.",
            extra_json_schema={"extra": {"items": {"oneOf": [_CREATED, reference_to("Problem")]}}},
        ),
    ]


class BatchController(Controller):
    """Many requests in one."""

    path = PATH
    tags = ("Payments",)
    dependencies = MERCHANT

    @post(
        operation_id="BatchCreatePayments",
        summary="Create up to 1,000 payments",
        status_code=HTTP_200_OK,
        request_max_body_size=BATCH_LIMIT_BYTES,
        responses=problems(400, 413, 500, 503),
    )
    async def create(
        self,
        request: HttpRequest,
        payments: NamedDependency[Payments],
        gate: NamedDependency[Gate],
        merchant_id: NamedDependency[str],
        data: JSONBody[BatchCreatePaymentsBody],
    ) -> BatchBody:
        """Records each as CreatePayment would, and says what became of each, in their order.

        It is not atomic: what is refused has no effect on the others. The same batch sent again
        finishes what is missing, as each payment has an idempotency key of its own.
        Errors, of the call as a whole: 400 FIELD_INVALID (none, more than 1,000, or a header
        Idempotency-Key), MALFORMED_REQUEST; 413 MESSAGE_TOO_LARGE (more than 1 MiB); 503.
        """
        check_batch(data.requests, request.headers.getall("idempotency-key", []))

        def wish(item: object) -> tuple[Caller, CreatePayment]:
            if len(msgspec.json.encode(item)) > REQUEST_LIMIT_BYTES:
                raise MessageTooLarge(REQUEST_LIMIT_BYTES)
            body = item_of(item, CreatePaymentBody)
            return Caller(merchant_id, key_of(body.idempotency_key)), body.command()

        @cache  # what many items share is described, and where it is a bug logged, once
        def failure(error: Exception) -> Problem:
            return problem(describe(error, request.state.request_id), PATH)

        def tell(outcome: Outcome | Exception) -> CreatedBody | Problem:
            if isinstance(outcome, Exception):
                return failure(outcome)
            return CreatedBody(data=payment_body(outcome.payment), replayed=replay_of(outcome))

        return BatchBody(
            results=await create_each(payments, gate, merchant_id, data.requests, wish, tell)
        )
