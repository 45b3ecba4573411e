"""The service as JSON over HTTP, below /v1/payments: the same use cases as on gRPC."""

import re
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from payment_server.api.bodies import (
    CreatePaymentBody,
    PageBody,
    PaymentBody,
    ProcessedBody,
    ProcessPaymentBody,
    page_body,
    payment_body,
    processed_body,
)
from payment_server.api.faults import Problem
from payment_server.domain import commands
from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.idempotency import Replay, key_of
from payment_server.domain.operation import OperationStatus
from payment_server.domain.payment import Status
from payment_server.payments import Caller, Outcome, Payments
from payment_server.reading import Reader

HttpRequest = Request[Any, Any, State]

_METADATA_FILTER: Final = re.compile(r"metadata\[(.+)\]")
_LIST_PARAMETERS: Final = frozenset(
    {"customer_id", "status", "created_from", "created_before", "page_size", "page_token"}
)


PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            Problem,
            generate_examples=False,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_MEDIA_TYPE,
        )
        for status in statuses
    }


def _merchant_id(
    merchant: Annotated[
        str,
        HeaderParameter(
            name="X-Merchant-Id", description='Whose payments, in the sandbox; "default" if absent.'
        ),
    ] = "",
) -> str:
    return commands.merchant_id(merchant)


def _keys(
    request: HttpRequest,
    key: Annotated[  # noqa: ARG001 - documented here, and read with its repetitions below
        str,
        HeaderParameter(
            name="Idempotency-Key",
            description="At most 255 printable ASCII characters; one key has one effect for ever.",
        ),
    ] = "",
) -> list[str]:
    keys: list[str] = request.headers.getall("idempotency-key", [])
    return keys


class PaymentsController(Controller):
    """Payments: create, read, list, and move on."""

    path = "/v1/payments"
    tags = ("Payments",)
    dependencies = {  # noqa: RUF012 - Litestar reads it from the class
        "merchant_id": Provide(_merchant_id, sync_to_thread=False),
        "keys": Provide(_keys, sync_to_thread=False),
    }

    @post(
        operation_id="CreatePayment",
        summary="Create a payment",
        responses=_problems(400, 413, 422, 500, 503),
    )
    async def create(
        self,
        payments: NamedDependency[Payments],
        merchant_id: NamedDependency[str],
        keys: NamedDependency[list[str]],
        data: JSONBody[CreatePaymentBody],
    ) -> Response[PaymentBody]:
        """Records a payment in the status created; no money moves.

        Errors: 400 FIELD_INVALID, CARD_DATA_REJECTED, MALFORMED_REQUEST; 413 MESSAGE_TOO_LARGE;
        422 IDEMPOTENCY_KEY_REUSED; 503.
        """
        caller = Caller(merchant_id, key_of(data.idempotency_key, *keys))
        outcome = await payments.create(caller, data.command())
        location = {"Location": f"{self.path}/{outcome.payment.payment_id}"}
        return Response(payment_body(outcome.payment), headers=_replayed(outcome) | location)

    @get(operation_id="ListPayments", summary="List payments", responses=_problems(400, 500, 503))
    async def list_page(  # one argument per documented query parameter
        self,
        request: HttpRequest,
        reader: NamedDependency[Reader],
        merchant_id: NamedDependency[str],
        customer_id: FromQuery[str] = "",
        status: FromQuery[Status | None] = None,
        created_from: FromQuery[datetime | None] = None,
        created_before: FromQuery[datetime | None] = None,
        page_size: FromQuery[int] = 0,
        page_token: FromQuery[str] = "",
    ) -> PageBody:
        """A merchant's payments, newest first, at most 1,000 a page (50 unless page_size says so).

        `metadata[key]=value`, as often as wanted, lists only payments with these entries.
        Errors: 400 FIELD_INVALID; 503.
        """
        wish = commands.list_payments(
            customer_id=customer_id,
            status=status,
            created_from=_aware("created_from", created_from),
            created_before=_aware("created_before", created_before),
            metadata=_metadata_filters(request),
            page_size=page_size,
            page_token=page_token,
        )
        return page_body(await reader.list_page(merchant_id, wish))

    @get(
        "/{payment_id:str}",
        operation_id="GetPayment",
        summary="Read a payment",
        responses=_problems(400, 404, 500, 503),
    )
    async def read(
        self,
        reader: NamedDependency[Reader],
        merchant_id: NamedDependency[str],
        payment_id: FromPath[str],
    ) -> PaymentBody:
        """Reads a payment as it is now.

        Errors: 404 PAYMENT_NOT_FOUND; 503.
        """
        payment_id = commands.get_payment(payment_id)
        return payment_body(await reader.get(merchant_id, payment_id))

    @post(
        "/{payment_id:str}/process",
        operation_id="ProcessPayment",
        summary="Move a payment on",
        status_code=HTTP_200_OK,
        responses={
            202: ResponseSpec(
                ProcessedBody, generate_examples=False, description="The outcome is outstanding"
            ),
            **_problems(400, 404, 409, 412, 413, 422, 500, 503),
        },
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
        operation = outcome.operation
        pending = operation is not None and operation.status is OperationStatus.PENDING
        return Response(
            processed_body(outcome),
            status_code=HTTP_202_ACCEPTED if pending else HTTP_200_OK,
            headers=_replayed(outcome),
        )


def _replayed(outcome: Outcome) -> dict[str, str]:
    return {} if outcome.replay is Replay.NO else {"Idempotency-Replayed": outcome.replay}


def _aware(field: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise InvalidRequest([Violation(field, "must name its offset from UTC, such as Z")])
    return moment


def _metadata_filters(request: HttpRequest) -> dict[str, str]:
    """The `metadata[key]` parameters; a parameter of no known name is a mistake worth telling."""
    entries, violations = {}, []
    for name, value in request.query_params.items():
        if match := _METADATA_FILTER.fullmatch(name):
            entries[match[1]] = value
        elif name not in _LIST_PARAMETERS:
            told = name if commands.is_tellable(name) else ""
            violations.append(Violation(told, "is no parameter of this list"))
    if violations:
        raise InvalidRequest(violations)
    return entries
