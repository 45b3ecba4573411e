"""The REST door: each handler is one call of payment-client and the shape of its answer."""

import math
import re
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter

import payment_client
from payment_client import CallInfo, OperationStatus, PaymentStatus
from requestor_mock.bodies import check_body
from requestor_mock.caller import (
    Caller,
    IdempotencyKeyHeader,
    one_key,
    replay_headers,
    request_id_of,
)
from requestor_mock.errors import Problem, facts_of, problem
from requestor_mock.parameters import check_parameters, metadata_of
from requestor_mock.rest_bodies import (
    CancelPayment,
    CapturePayment,
    CompletePaymentAction,
    CreatePayment,
    EventsAnswer,
    PaymentAnswer,
    PaymentsAnswer,
    ProcessedAnswer,
    ProcessPayment,
    RefundAnswer,
    RefundedAnswer,
    RefundPayment,
    RefundsAnswer,
)
from requestor_mock.shapes import (
    Event,
    Operation,
    Payment,
    ProcessedPayment,
    Refund,
    known,
    shown,
    shown_refund,
)

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_SEGMENT: Final = re.compile(
    r"(?!(?:\D*\d){13})[A-Za-z0-9_.-]{0,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Of a path: an id of ours, or a word with too few digits to be a card number."""


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(Problem, description="RFC 9457", media_type=PROBLEM_MEDIA_TYPE)
        for status in statuses
    }


_PAGE: Final = frozenset({"page_size", "page_token"})
_FILTERS: Final = frozenset({"customer_id", "status", "created_from", "created_before", "metadata"})

_CHANGED: Final = (400, 404, 409, 412, 413, 422, 503)
"""How a change of a payment may fail."""

PaymentId = Annotated[str, PathParameter(description="The payment's id.")]
RefundId = Annotated[str, PathParameter(description="The refund's id.")]


@post("/", summary="Create a payment", responses=_problems(400, 413, 422, 503))
async def create_payment(
    caller: NamedDependency[Caller],
    data: JSONBody[CreatePayment],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[PaymentAnswer]:
    """Records a payment; no money moves."""
    payment = await caller.client.payments.create(
        amount=data.amount,
        customer_id=data.customer_id,
        currency=data.currency,
        payment_method=data.payment_method,
        capture_method=known("capture_method", data.capture_method),
        description=data.description,
        metadata=data.metadata,
        expires_at=data.expires_at,
        idempotency_key=one_key(idempotency_key, data.idempotency_key),
        headers=caller.headers,
    )
    return _answer(PaymentAnswer(data=shown(payment, Payment)), payment.call, status_code=201)


@get("/{payment_id:str}", summary="Get a payment", responses=_problems(400, 404, 503))
async def get_payment(caller: NamedDependency[Caller], payment_id: PaymentId) -> PaymentAnswer:
    """Reads one payment as it is now."""
    payment = await caller.client.payments.get(payment_id, headers=caller.headers)
    return PaymentAnswer(data=shown(payment, Payment))


@get("/", summary="List payments", responses=_problems(400, 503))
async def list_payments(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
    customer_id: FromQuery[str | None] = None,
    status: FromQuery[PaymentStatus | None] = None,
    created_from: FromQuery[datetime | None] = None,
    created_before: FromQuery[datetime | None] = None,
    page_size: FromQuery[int | None] = None,
    page_token: FromQuery[str | None] = None,
) -> PaymentsAnswer:
    """Lists payments, newest first, a page at a time.

    `metadata[key]=value`, as often as wanted, lists only payments with these entries.
    """
    check_parameters(request, _FILTERS | _PAGE)
    pager = caller.client.payments.list(
        customer_id=customer_id,
        status=status,
        created_from=created_from,
        created_before=created_before,
        metadata=metadata_of(request),
        page_size=page_size or None,
        page_token=page_token,
        headers=caller.headers,
    )
    page = await anext(aiter(pager.pages()))
    return PaymentsAnswer(
        data=[shown(payment, Payment) for payment in page.payments],
        next_page_token=page.next_page_token,
    )


@post("/{payment_id:str}/process", summary="Process", responses=_problems(*_CHANGED))
async def process_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[ProcessPayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Runs the payment to its end by its capture method, or does what `action` says."""
    wanted = data or ProcessPayment()
    processed = await caller.client.payments.process(
        payment_id,
        wanted.action,
        amount=wanted.amount,
        payment_method=wanted.payment_method,
        **_terms(caller, wanted, idempotency_key),
    )
    return _processed(processed)


@post("/{payment_id:str}/capture", summary="Capture", responses=_problems(*_CHANGED))
async def capture_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[CapturePayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Captures what is held, or a part of it."""
    wanted = data or CapturePayment()
    processed = await caller.client.payments.capture(
        payment_id,
        amount=wanted.amount,
        final=wanted.final,
        **_terms(caller, wanted, idempotency_key),
    )
    return _processed(processed)


@post("/{payment_id:str}/cancel", summary="Cancel", responses=_problems(*_CHANGED))
async def cancel_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[CancelPayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Ends a payment of which nothing is captured, or releases what is left of a hold."""
    terms = _terms(caller, data or CancelPayment(), idempotency_key)
    return _processed(await caller.client.payments.cancel(payment_id, **terms))


@post("/{payment_id:str}/complete", summary="Complete", responses=_problems(*_CHANGED))
async def complete_payment_action(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[CompletePaymentAction | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Goes on once the customer has done what the payment's `next_action` asked."""
    wanted = data or CompletePaymentAction()
    processed = await caller.client.payments.complete(
        payment_id, result=wanted.result, **_terms(caller, wanted, idempotency_key)
    )
    return _processed(processed)


@post("/{payment_id:str}/refund", summary="Refund", responses=_problems(*_CHANGED))
async def refund_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[RefundPayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[RefundedAnswer]:
    """Gives back what was captured, or a part of it; the refund's own status says how far it is."""
    wanted = data or RefundPayment()
    refunded = await caller.client.payments.refund(
        payment_id,
        amount=wanted.amount,
        reason=wanted.reason,
        **_terms(caller, wanted, idempotency_key),
    )
    told = shown_refund(refunded)
    answer = RefundedAnswer(
        data=told.payment,
        operation=told.operation,
        refund=told.refund,
        processed_at=told.processed_at,
    )
    return _answer(answer, refunded.call, status_code=status_code_of(told.operation))


@get("/{payment_id:str}/refunds", summary="List refunds", responses=_problems(400, 404, 503))
async def list_refunds(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    page_size: FromQuery[int | None] = None,
    page_token: FromQuery[str | None] = None,
) -> RefundsAnswer:
    """Lists a payment's refunds, newest first, a page at a time."""
    check_parameters(request, _PAGE)
    pager = caller.client.payments.refunds(
        payment_id, page_size=page_size or None, page_token=page_token, headers=caller.headers
    )
    page = await anext(aiter(pager.pages()))
    return RefundsAnswer(
        data=[shown(refund, Refund) for refund in page.refunds],
        next_page_token=page.next_page_token,
    )


@get("/{payment_id:str}/events", summary="List events", responses=_problems(400, 404, 503))
async def list_events(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    page_size: FromQuery[int | None] = None,
    page_token: FromQuery[str | None] = None,
) -> EventsAnswer:
    """Lists what happened to a payment, oldest first, a page at a time."""
    check_parameters(request, _PAGE)
    pager = caller.client.payments.events(
        payment_id, page_size=page_size or None, page_token=page_token, headers=caller.headers
    )
    page = await anext(aiter(pager.pages()))
    return EventsAnswer(
        data=[shown(event, Event) for event in page.events],
        next_page_token=page.next_page_token,
    )


@get("/{refund_id:str}", summary="Get a refund", responses=_problems(400, 404, 503))
async def get_refund(caller: NamedDependency[Caller], refund_id: RefundId) -> RefundAnswer:
    """Reads one refund as it is now."""
    refund = await caller.client.payments.get_refund(refund_id, headers=caller.headers)
    return RefundAnswer(data=shown(refund, Refund))


def _terms(caller: Caller, wanted: CancelPayment, idempotency_key: str | None) -> dict[str, Any]:
    """What every change of a payment has beside its own words."""
    return {
        "expected_version": wanted.expected_version,
        "idempotency_key": one_key(idempotency_key, wanted.idempotency_key),
        "headers": caller.headers,
    }


def _processed(processed: payment_client.ProcessedPayment) -> Response[ProcessedAnswer]:
    told = shown(processed, ProcessedPayment)
    answer = ProcessedAnswer(
        data=told.payment, operation=told.operation, processed_at=told.processed_at
    )
    return _answer(answer, processed.call, status_code=status_code_of(told.operation))


def status_code_of(operation: Operation | None) -> int:
    """202 while the processor's answer is outstanding, else 200."""
    return 202 if operation and operation.status is OperationStatus.PENDING else 200


_Answer = TypeVar("_Answer")


def _answer(content: _Answer, call: CallInfo, status_code: int) -> Response[_Answer]:
    return Response(content, status_code=status_code, headers=replay_headers(call))


def _told(path: str) -> str:
    """The path that was asked for, but for what no path of ours has: it could be a card number."""
    segments = path.split("/")
    return "/".join(each if _SEGMENT.fullmatch(each) else "…" for each in segments)


def answer_with_problem(request: Request[Any, Any, State], error: Exception) -> Response[Problem]:
    """Litestar's handler of every exception that no other door takes."""
    facts = facts_of(error, request_id_of(request.scope))
    headers = dict(getattr(error, "headers", None) or {})
    if facts.retry_after_ms is not None:
        headers["retry-after"] = str(math.ceil(facts.retry_after_ms / 1000))
    return Response(
        problem(facts, instance=_told(request.url.path)),
        status_code=facts.http_status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


payments_router = Router(
    "/api/payments",
    route_handlers=[
        create_payment,
        get_payment,
        list_payments,
        process_payment,
        capture_payment,
        cancel_payment,
        complete_payment_action,
        refund_payment,
        list_refunds,
        list_events,
    ],
    before_request=check_body,
    tags=["Payments"],
)

refunds_router = Router("/api/refunds", route_handlers=[get_refund], tags=["Refunds"])
