"""The REST door: each handler is one call of payment-client and the shape of its answer."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter
from msgspec import Meta

from payment_client import (
    Action,
    CallInfo,
    CaptureMethod,
    FieldViolation,
    OperationStatus,
    PaymentStatus,
)
from requestor_mock.bodies import check_body, printable
from requestor_mock.caller import (
    Caller,
    IdempotencyKeyHeader,
    one_key,
    replay_headers,
    request_id_of,
)
from requestor_mock.errors import Problem, facts_of, fields_invalid, problem
from requestor_mock.shapes import Operation, Payment, ProcessedPayment, known, shown

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

_SEGMENT: Final = re.compile(
    r"(?!(?:\D*\d){13})[A-Za-z0-9_.-]{0,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Of a path: an id of ours, or a word with too few digits to be a card number."""


class CreatePayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new payment is made of."""

    amount: Annotated[str, Meta(description="Decimal string above zero.", examples=["10.00"])]
    customer_id: Annotated[str, Meta(description="1 to 255 characters.", examples=["cust123"])]
    currency: Annotated[str, Meta(description="ISO 4217 code.")] = "USD"
    payment_method: Annotated[str, Meta(description="A token; never a card number.")] = "card"
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    description: Annotated[str, Meta(description="At most 1,000 characters.")] = ""
    metadata: Annotated[dict[str, str], Meta(description="At most 50 entries of your own.")] = {}
    idempotency_key: Annotated[
        str | None, Meta(description="The same as the header Idempotency-Key.")
    ] = None


class ChangePayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to capture, cancel or refund a payment; everything is optional."""

    amount: Annotated[
        str | None, Meta(description="Capture or refund so much; default: all that is left.")
    ] = None
    payment_method: Annotated[str | None, Meta(description="A new attempt with another token.")] = (
        None
    )
    expected_version: Annotated[
        int | None, Meta(description="Only if the payment has this version.")
    ] = None
    idempotency_key: Annotated[
        str | None, Meta(description="The same as the header Idempotency-Key.")
    ] = None


class ProcessPayment(ChangePayment, frozen=True, kw_only=True):
    """How to process a payment; everything is optional."""

    action: Annotated[Action, Meta(description="What to do with it.")] = Action.PROCESS


class PaymentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One payment."""

    success: Literal[True] = True
    data: Payment


class PaymentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One page of payments, newest first."""

    success: Literal[True] = True
    data: list[Payment]
    next_page_token: Annotated[str, Meta(description="Empty on the last page.")]


class ProcessedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A payment after an action, and what was asked of the processor for it."""

    success: Literal[True] = True
    data: Payment
    operation: Operation | None
    processed_at: str


def _problems(*statuses: int) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(Problem, description="RFC 9457", media_type=PROBLEM_MEDIA_TYPE)
        for status in statuses
    }


PaymentId = Annotated[str, PathParameter(description="The payment's id.")]


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
    """Lists payments, newest first, a page at a time."""
    filters: dict[str, Any] = {
        "customer_id": customer_id,
        "status": status,
        "created_from": created_from,
        "created_before": created_before,
        "page_size": page_size,
        "page_token": page_token,
    }
    _check_filters(request, filters)
    pages = caller.client.payments.list(**filters, headers=caller.headers).pages()
    page = await anext(aiter(pages))
    return PaymentsAnswer(
        data=[shown(payment, Payment) for payment in page.payments],
        next_page_token=page.next_page_token,
    )


@post("/{payment_id:str}/process", summary="Process", responses=_problems(400, 404, 409, 412, 503))
async def process_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[ProcessPayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Runs the payment to its end by its capture method, or does what `action` says."""
    wanted = data or ProcessPayment()
    return await _change(caller, payment_id, wanted.action, wanted, idempotency_key)


@post("/{payment_id:str}/capture", summary="Capture", responses=_problems(400, 404, 409, 412, 503))
async def capture_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[ChangePayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Captures what is held; a created payment is authorized and captured."""
    return await _change(caller, payment_id, Action.CAPTURE, data, idempotency_key)


@post("/{payment_id:str}/cancel", summary="Cancel", responses=_problems(400, 404, 409, 412, 503))
async def cancel_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[ChangePayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Releases what is held."""
    return await _change(caller, payment_id, Action.CANCEL, data, idempotency_key)


@post("/{payment_id:str}/refund", summary="Refund", responses=_problems(400, 404, 409, 412, 503))
async def refund_payment(
    caller: NamedDependency[Caller],
    payment_id: PaymentId,
    data: JSONBody[ChangePayment | None] = None,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[ProcessedAnswer]:
    """Gives back what was captured."""
    return await _change(caller, payment_id, Action.REFUND, data, idempotency_key)


async def _change(
    caller: Caller,
    payment_id: str,
    action: Action,
    data: ChangePayment | None,
    idempotency_key: str | None,
) -> Response[ProcessedAnswer]:
    wanted = data or ChangePayment()
    processed = await caller.client.payments.process(
        payment_id,
        action,
        amount=wanted.amount,
        payment_method=wanted.payment_method,
        expected_version=wanted.expected_version,
        idempotency_key=one_key(idempotency_key, wanted.idempotency_key),
        headers=caller.headers,
    )
    told = shown(processed, ProcessedPayment)
    return _answer(
        ProcessedAnswer(
            data=told.payment, operation=told.operation, processed_at=told.processed_at
        ),
        processed.call,
        status_code=status_code_of(told.operation),
    )


def status_code_of(operation: Operation | None) -> int:
    """202 while the processor's answer is outstanding, else 200."""
    return 202 if operation and operation.status is OperationStatus.PENDING else 200


def _check_filters(request: Request[None, None, State], filters: dict[str, Any]) -> None:
    """Raises Refused for what the types cannot say."""
    found = [
        FieldViolation(field=printable(name), message="is not a parameter of this request")
        for name in request.query_params.keys() - filters.keys()
    ]
    if filters["status"] is PaymentStatus.UNKNOWN:
        found.append(FieldViolation(field="status", message="cannot be unknown"))
    found += [
        FieldViolation(field=name, message=flaw)
        for name in ("created_from", "created_before")
        if (flaw := _flaw_of_time(filters[name]))
    ]
    if found:
        raise fields_invalid(found)


def _flaw_of_time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.utcoffset() is None:
        return "needs an offset, such as Z"
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return "is out of range"
    return None


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
        refund_payment,
    ],
    before_request=check_body,
    tags=["Payments"],
)
