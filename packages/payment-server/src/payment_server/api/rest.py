"""The service as JSON over HTTP, below /v1/payments: the same use cases as on gRPC."""

import re
from datetime import datetime
from typing import Any, Final

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
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
from payment_server.domain import commands
from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.idempotency import Replay, key_of
from payment_server.domain.operation import OperationStatus
from payment_server.domain.payment import Status
from payment_server.payments import Caller, Outcome, Payments

HttpRequest = Request[Any, Any, State]

_METADATA_FILTER: Final = re.compile(r"metadata\[(.+)\]")
_LIST_PARAMETERS: Final = frozenset(
    {"customer_id", "status", "created_from", "created_before", "page_size", "page_token"}
)


class PaymentsController(Controller):
    """Payments: create, read, list, and move on."""

    path = "/v1/payments"
    tags = ("Payments",)

    @post(operation_id="CreatePayment", summary="Create a payment")
    async def create(
        self,
        request: HttpRequest,
        payments: NamedDependency[Payments],
        data: JSONBody[CreatePaymentBody],
    ) -> Response[PaymentBody]:
        """Records a payment in the status created; no money moves.

        Errors: 400 FIELD_INVALID, CARD_DATA_REJECTED, MALFORMED_REQUEST; 413 MESSAGE_TOO_LARGE;
        422 IDEMPOTENCY_KEY_REUSED; 503.
        """
        caller = _caller(request, key=data.idempotency_key)
        outcome = await payments.create(caller, data.command())
        location = {"Location": f"{self.path}/{outcome.payment.payment_id}"}
        return Response(payment_body(outcome.payment), headers=_replayed(outcome) | location)

    @get(operation_id="ListPayments", summary="List payments")
    async def list_page(  # one argument per documented query parameter
        self,
        request: HttpRequest,
        payments: NamedDependency[Payments],
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
        return page_body(await payments.list_page(_caller(request), wish))

    @get("/{payment_id:str}", operation_id="GetPayment", summary="Read a payment")
    async def read(
        self, request: HttpRequest, payments: NamedDependency[Payments], payment_id: FromPath[str]
    ) -> PaymentBody:
        """Reads a payment as it is now.

        Errors: 404 PAYMENT_NOT_FOUND; 503.
        """
        payment_id = commands.get_payment(payment_id)
        return payment_body(await payments.get(_caller(request), payment_id))

    @post(
        "/{payment_id:str}/process",
        operation_id="ProcessPayment",
        summary="Move a payment on",
        status_code=HTTP_200_OK,
    )
    async def process(
        self,
        request: HttpRequest,
        payments: NamedDependency[Payments],
        payment_id: FromPath[str],
        data: JSONBody[ProcessPaymentBody | None] = None,
    ) -> Response[ProcessedBody]:
        """Runs a payment to its end, or authorizes, captures, cancels or refunds it.

        A decline is a success whose payment has the status failed. 202: the outcome is not known
        yet, and the operation pending.
        Errors: 400, 404, 409 (a reason per illegal step), 412 VERSION_MISMATCH, 422, 503.
        """
        wish = data or ProcessPaymentBody()
        caller = _caller(request, key=wish.idempotency_key)
        outcome = await payments.process(caller, wish.command(payment_id))
        operation = outcome.operation
        pending = operation is not None and operation.status is OperationStatus.PENDING
        return Response(
            processed_body(outcome),
            status_code=HTTP_202_ACCEPTED if pending else HTTP_200_OK,
            headers=_replayed(outcome),
        )


def _caller(request: HttpRequest, *, key: str = "") -> Caller:
    """Who asks. Raises InvalidRequest for a bad merchant or key, or two keys that differ."""
    return Caller(
        merchant_id=commands.merchant_id(request.headers.get("x-merchant-id", "")),
        idempotency_key=key_of(key, *request.headers.getall("idempotency-key", [])),
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
