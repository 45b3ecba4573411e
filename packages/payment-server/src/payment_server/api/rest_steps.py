"""The steps of a payment's life as JSON over HTTP: process, capture, cancel, refund, complete."""

from typing import Final, TypeVar

from litestar import Controller, Response, post
from litestar.di import NamedDependency
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

_REFUSALS: Final = problems(400, 404, 409, 412, 413, 422, 500, 503)


def _responses(body: type[ChangedBody]) -> dict[int, ResponseSpec]:
    outstanding = ResponseSpec(
        body, generate_examples=False, description="The outcome is outstanding"
    )
    return {HTTP_202_ACCEPTED: outstanding, **_REFUSALS}


class StepsController(Controller):
    """What moves a payment on.

    A decline is a success: the operation has failed, and says why. 202: the outcome is not known
    yet, and the operation pending.
    """

    path = "/v1/payments/{payment_id:str}"
    tags = ("Payments",)
    dependencies = MERCHANT_AND_KEYS

    @post(
        "/process",
        operation_id="ProcessPayment",
        summary="Move a payment on",
        status_code=HTTP_200_OK,
        responses=_responses(ProcessedBody),
    )
    async def process(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
        data: JSONBody[ProcessPaymentBody | None] = None,
    ) -> Response[ProcessedBody]:
        """Runs a payment to its end, or authorizes, captures, cancels or refunds it.

        A decline is a success whose payment has the status failed. 202: the outcome is not known
        yet, and the operation pending.
        Errors: 400, 404, 409 (a reason per illegal step), 412 VERSION_MISMATCH, 422, 503.
        """
        wish = data or ProcessPaymentBody()
        caller = Caller(merchant_id, key_of(wish.idempotency_key, *keys))
        outcome = await payments.change(caller, wish.command(payment_id))
        return _answer(outcome, processed_body(outcome))

    @post(
        "/capture",
        operation_id="CapturePayment",
        summary="Capture what is held",
        status_code=HTTP_200_OK,
        responses=_responses(ChangedBody),
    )
    async def capture(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
        data: JSONBody[CapturePaymentBody | None] = None,
    ) -> Response[ChangedBody]:
        """Takes what is held, or a part of it; with `final`, what is left is released.

        202: the outcome is not known yet, and the operation pending.
        Errors: as ProcessPayment; 409 NOT_AUTHORIZED where nothing is held yet.
        """
        wish = data or CapturePaymentBody()
        caller = Caller(merchant_id, key_of(wish.idempotency_key, *keys))
        outcome = await payments.change(caller, wish.command(payment_id))
        return _answer(outcome, changed_body(outcome))

    @post(
        "/cancel",
        operation_id="CancelPayment",
        summary="Cancel a payment",
        status_code=HTTP_200_OK,
        responses=_responses(ChangedBody),
    )
    async def cancel(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
        data: JSONBody[CancelPaymentBody | None] = None,
    ) -> Response[ChangedBody]:
        """Ends a payment of which nothing is captured, or releases what is left of a hold.

        202: the outcome is not known yet, and the operation pending.
        Errors: as ProcessPayment.
        """
        wish = data or CancelPaymentBody()
        caller = Caller(merchant_id, key_of(wish.idempotency_key, *keys))
        outcome = await payments.change(caller, wish.command(payment_id))
        return _answer(outcome, changed_body(outcome))

    @post(
        "/refund",
        operation_id="RefundPayment",
        summary="Refund a payment",
        status_code=HTTP_200_OK,
        responses=_responses(RefundedBody),
    )
    async def refund(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
        data: JSONBody[RefundPaymentBody | None] = None,
    ) -> Response[RefundedBody]:
        """Gives back what was captured, or a part of it.

        A refund may be pending for days (202), and may fail after it had succeeded: its own status
        says so.
        Errors: as ProcessPayment.
        """
        wish = data or RefundPaymentBody()
        caller = Caller(merchant_id, key_of(wish.idempotency_key, *keys))
        outcome = await payments.change(caller, wish.command(payment_id))
        return _answer(outcome, refunded_body(outcome))

    @post(
        "/complete",
        operation_id="CompletePaymentAction",
        summary="Go on after the customer has acted",
        status_code=HTTP_200_OK,
        responses=_responses(ChangedBody),
    )
    async def complete(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        payment_id: FromPath[str],
        data: JSONBody[CompleteActionBody | None] = None,
    ) -> Response[ChangedBody]:
        """Goes on with an authorization once the customer has done what `next_action` asked.

        A decline is a success whose payment has the status failed. 202: the outcome is not known
        yet, and the operation pending.
        Errors: as ProcessPayment; 409 ACTION_NOT_REQUIRED where nothing was asked.
        """
        wish = data or CompleteActionBody()
        caller = Caller(merchant_id, key_of(wish.idempotency_key, *keys))
        outcome = await payments.change(caller, wish.command(payment_id))
        return _answer(outcome, changed_body(outcome))


def _answer(outcome: Outcome, body: Body) -> Response[Body]:
    operation = outcome.operation
    is_pending = operation is not None and operation.status is OperationStatus.PENDING
    return Response(
        body,
        status_code=HTTP_202_ACCEPTED if is_pending else HTTP_200_OK,
        headers=replayed(outcome),
    )
