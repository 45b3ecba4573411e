"""Payments and refunds as JSON over HTTP, created and read: the same use cases as on gRPC."""

from datetime import datetime
from typing import Final

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from payment_server.api.bodies import (
    EventsBody,
    PageBody,
    PaymentBody,
    RefundBody,
    RefundsBody,
    events_body,
    page_body,
    payment_body,
    refund_body,
    refunds_body,
)
from payment_server.api.intake import check_query, metadata_keys
from payment_server.api.parameters import (
    MERCHANT,
    MERCHANT_AND_KEYS,
    HttpRequest,
    problems,
    replayed,
)
from payment_server.api.request_bodies import CreatePaymentBody
from payment_server.domain import commands
from payment_server.domain.idempotency import key_of
from payment_server.domain.payment import Status
from payment_server.payments import Caller, Payments
from payment_server.reading import Reader

_PAGE_PARAMETERS: Final = {"page_size", "page_token"}
_TIMES: Final = {"created_from", "created_before"}
_LIST_PARAMETERS: Final = {"customer_id", "status", *_TIMES, *_PAGE_PARAMETERS}


class PaymentsController(Controller):
    """Payments: create, read, list, and what belongs to one."""

    path = "/v1/payments"
    tags = ("Payments",)
    dependencies = MERCHANT_AND_KEYS

    @post(
        operation_id="CreatePayment",
        summary="Create a payment",
        responses=problems(400, 413, 422, 500, 503),
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
        return Response(payment_body(outcome.payment), headers=replayed(outcome) | location)

    @get(operation_id="ListPayments", summary="List payments", responses=problems(400, 500, 503))
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
        keys = metadata_keys(request)
        check_query(request, {*_LIST_PARAMETERS, *keys}, times=_TIMES)
        wish = commands.list_payments(
            customer_id=customer_id,
            status=status,
            created_from=created_from,
            created_before=created_before,
            metadata={key: request.query_params[name] for name, key in keys.items()},
            page_size=page_size,
            page_token=page_token,
        )
        return page_body(await reader.list_page(merchant_id, wish))

    @get(
        "/{payment_id:str}",
        operation_id="GetPayment",
        summary="Read a payment",
        responses=problems(400, 404, 500, 503),
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

    @get(
        "/{payment_id:str}/refunds",
        operation_id="ListRefunds",
        summary="List a payment's refunds",
        responses=problems(400, 404, 500, 503),
    )
    async def list_refunds(
        self,
        request: HttpRequest,
        reader: NamedDependency[Reader],
        merchant_id: NamedDependency[str],
        payment_id: FromPath[str],
        page_size: FromQuery[int] = 0,
        page_token: FromQuery[str] = "",
    ) -> RefundsBody:
        """A payment's refunds, newest first, at most 1,000 a page (50 unless page_size says so).

        Errors: 400 FIELD_INVALID; 404 PAYMENT_NOT_FOUND; 503.
        """
        check_query(request, _PAGE_PARAMETERS)
        wish = commands.list_of_payment(
            "refunds", payment_id=payment_id, page_size=page_size, page_token=page_token
        )
        return refunds_body(await reader.list_refunds(merchant_id, wish))

    @get(
        "/{payment_id:str}/events",
        operation_id="ListPaymentEvents",
        summary="List a payment's events",
        responses=problems(400, 404, 500, 503),
    )
    async def list_events(
        self,
        request: HttpRequest,
        reader: NamedDependency[Reader],
        merchant_id: NamedDependency[str],
        payment_id: FromPath[str],
        page_size: FromQuery[int] = 0,
        page_token: FromQuery[str] = "",
    ) -> EventsBody:
        """A payment's events, oldest first, at most 1,000 a page (50 unless page_size says so).

        Errors: 400 FIELD_INVALID; 404 PAYMENT_NOT_FOUND; 503.
        """
        check_query(request, _PAGE_PARAMETERS)
        wish = commands.list_of_payment(
            "events", payment_id=payment_id, page_size=page_size, page_token=page_token
        )
        return events_body(await reader.list_events(merchant_id, wish))


class RefundsController(Controller):
    """Refunds by their own ids."""

    path = "/v1/refunds"
    tags = ("Refunds",)
    dependencies = MERCHANT

    @get(
        "/{refund_id:str}",
        operation_id="GetRefund",
        summary="Read a refund",
        responses=problems(400, 404, 500, 503),
    )
    async def read(
        self,
        reader: NamedDependency[Reader],
        merchant_id: NamedDependency[str],
        refund_id: FromPath[str],
    ) -> RefundBody:
        """Reads a refund as it is now.

        Errors: 404 REFUND_NOT_FOUND; 503.
        """
        refund_id = commands.get_refund(refund_id)
        return refund_body(await reader.get_refund(merchant_id, refund_id))
