"""The steps of a payment's life as JSON over HTTP: process, capture, cancel, refund, complete."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from litestar import Controller, Response, post
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from payment_server.api.bodies import (
    ChangedBody,
    ProcessedBody,
    RefundedBody,
    changed_body,
    processed_body,
    refunded_body,
)
from payment_server.api.parameters import MERCHANT_AND_KEYS, problems, replayed
from payment_server.api.request_bodies import (
    CancelPaymentBody,
    CapturePaymentBody,
    CompleteActionBody,
    ProcessPaymentBody,
    RefundPaymentBody,
)
from payment_server.domain.idempotency import key_of
from payment_server.domain.operation import OperationStatus
from payment_server.payments import Caller, Outcome, Payments

Body = TypeVar("Body", bound=ChangedBody)
Wish = (
    ProcessPaymentBody
    | CapturePaymentBody
    | CancelPaymentBody
    | RefundPaymentBody
    | CompleteActionBody
)

_REFUSALS: Final = problems(400, 404, 409, 412, 413, 422, 500, 503)


class Step:
    """Who wants which payment moved on: all of a step but its wish."""

    def __init__(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
    ) -> None:
        self._payments = payments
        self._merchant_id = merchant_id
        self._keys = keys
        self._payment_id = payment_id

    async def taken(self, wish: Wish, told: Callable[[Outcome], Body]) -> Response[Body]:
        """The answer once the step is taken; raises what `Payments.change` does."""
        caller = Caller(self._merchant_id, key_of(wish.idempotency_key, *self._keys))
        outcome = await self._payments.change(caller, wish.command(self._payment_id))
        operation = outcome.operation
        is_pending = operation is not None and operation.status is OperationStatus.PENDING
        return Response(
            told(outcome),
            status_code=HTTP_202_ACCEPTED if is_pending else HTTP_200_OK,
            headers=replayed(outcome),
        )


_STEP: Final = {**MERCHANT_AND_KEYS, "step": Provide(Step, sync_to_thread=False)}


def _step(
    path: str, operation_id: str, summary: str, body: type[ChangedBody]
) -> Callable[[Any], HTTPRouteHandler]:
    """The handler of a step, documented."""
    outstanding = ResponseSpec(
        body, generate_examples=False, description="The outcome is outstanding"
    )
    return post(
        path,
        operation_id=operation_id,
        summary=summary,
        status_code=HTTP_200_OK,
        responses={HTTP_202_ACCEPTED: outstanding, **_REFUSALS},
    )


class StepsController(Controller):
    """What moves a payment on.

    A decline is a success: the operation has failed, and says why. 202: the outcome is not known
    yet, and the operation pending.
    """

    path = "/v1/payments/{payment_id:str}"
    tags = ("Payments",)
    dependencies = _STEP

    @_step("/process", "ProcessPayment", "Move a payment on", ProcessedBody)
    async def process(
        self, step: NamedDependency[Step], data: JSONBody[ProcessPaymentBody | None] = None
    ) -> Response[ProcessedBody]:
        """Runs a payment to its end, or authorizes, captures, cancels or refunds it.

        A decline is a success whose payment has the status failed. 202: the outcome is not known
        yet, and the operation pending.
        Errors: 400, 404, 409 (a reason per illegal step), 412 VERSION_MISMATCH, 422, 503.
        """
        return await step.taken(data or ProcessPaymentBody(), processed_body)

    @_step("/capture", "CapturePayment", "Capture what is held", ChangedBody)
    async def capture(
        self, step: NamedDependency[Step], data: JSONBody[CapturePaymentBody | None] = None
    ) -> Response[ChangedBody]:
        """Takes what is held, or a part of it; with `final`, what is left is released.

        202: the outcome is not known yet, and the operation pending.
        Errors: as ProcessPayment; 409 NOT_AUTHORIZED where nothing is held yet.
        """
        return await step.taken(data or CapturePaymentBody(), changed_body)

    @_step("/cancel", "CancelPayment", "Cancel a payment", ChangedBody)
    async def cancel(
        self, step: NamedDependency[Step], data: JSONBody[CancelPaymentBody | None] = None
    ) -> Response[ChangedBody]:
        """Ends a payment of which nothing is captured, or releases what is left of a hold.

        202: the outcome is not known yet, and the operation pending.
        Errors: as ProcessPayment.
        """
        return await step.taken(data or CancelPaymentBody(), changed_body)

    @_step("/refund", "RefundPayment", "Refund a payment", RefundedBody)
    async def refund(
        self, step: NamedDependency[Step], data: JSONBody[RefundPaymentBody | None] = None
    ) -> Response[RefundedBody]:
        """Gives back what was captured, or a part of it.

        A refund may be pending for days (202), and may fail after it had succeeded: its own status
        says so.
        Errors: as ProcessPayment.
        """
        return await step.taken(data or RefundPaymentBody(), refunded_body)

    @_step("/complete", "CompletePaymentAction", "Go on after the customer has acted", ChangedBody)
    async def complete(
        self, step: NamedDependency[Step], data: JSONBody[CompleteActionBody | None] = None
    ) -> Response[ChangedBody]:
        """Goes on with an authorization once the customer has done what `next_action` asked.

        A decline is a success whose payment has the status failed. 202: the outcome is not known
        yet, and the operation pending.
        Errors: as ProcessPayment; 409 ACTION_NOT_REQUIRED where nothing was asked.
        """
        return await step.taken(data or CompleteActionBody(), changed_body)
