"""The arguments of every public method → the call to send; an answer → its value. No I/O.

All that the two clients have in common is decided here, so that they only move messages.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from payment.v1 import payment_pb2 as pb
from payment_client._errors import Internal, malformed_answer
from payment_client._policy import REQUEST_ID_HEADER, Terms, terms_of_change, terms_of_read
from payment_client._settings import Settings
from payment_client._types import (
    CallInfo,
    CaptureMethod,
    Event,
    EventPage,
    Health,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
    Refund,
    RefundedPayment,
    RefundPage,
    Watched,
)
from payment_client._wire import answers, requests

_REPLAYED_HEADER: Final = "idempotency-replayed"

RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Message)
ValueT = TypeVar("ValueT")
PageT = TypeVar("PageT", bound=Page | RefundPage | EventPage)
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Call(Generic[RequestT, AnswerT, ValueT]):
    """One call, ready to be sent as often as its terms allow."""

    rpc: str
    """The method's name in the contract."""
    request: RequestT
    terms: Terms
    read: Callable[[AnswerT, CallInfo], ValueT]

    def value(self, answer: AnswerT | None, trailing: Iterable[tuple[str, str | bytes]]) -> ValueT:
        """What the answer says; Internal for one that the contract does not allow.

        None stands for bytes that were no message: grpcio logs those and goes on.
        """
        info = _call_info({name: value for name, value in trailing if isinstance(value, str)})
        if answer is None:
            raise self._malformed("bytes that are no message", info)
        try:
            return self.read(answer, info)
        except InvalidOperation as error:  # its own text is a list of classes
            raise self._malformed("an amount that is no number", info) from error
        except (OverflowError, ValueError) as error:
            raise self._malformed(str(error), info) from error

    def _malformed(self, what: str, info: CallInfo) -> Internal:
        return malformed_answer(what, info.request_id, self.terms.idempotency_key)


@dataclass(frozen=True, slots=True)
class PageCall(Call[Any, Any, PageT], Generic[PageT, ItemT]):
    """The call for one page of a list."""

    items: Callable[[PageT], tuple[ItemT, ...]]

    def after(self, page: PageT) -> "PageCall[PageT, ItemT] | None":
        """The call for the page behind this one; None behind the last.

        A token that leads back to itself would have a pager read the same page for ever.
        """
        if not page.next_page_token:
            return None
        if page.next_page_token == self.request.page_token:
            raise self._malformed("a page that is followed by itself", page.call)
        following = requests.next_page_request(self.request, page.next_page_token)
        return replace(self, request=following)


CreateCall: TypeAlias = Call[pb.CreatePaymentRequest, pb.CreatePaymentResponse, Payment]
GetCall: TypeAlias = Call[pb.GetPaymentRequest, pb.GetPaymentResponse, Payment]
ProcessCall: TypeAlias = Call[pb.ProcessPaymentRequest, pb.ProcessPaymentResponse, ProcessedPayment]
CaptureCall: TypeAlias = Call[pb.CapturePaymentRequest, pb.CapturePaymentResponse, ProcessedPayment]
CancelCall: TypeAlias = Call[pb.CancelPaymentRequest, pb.CancelPaymentResponse, ProcessedPayment]
CompleteCall: TypeAlias = Call[
    pb.CompletePaymentActionRequest, pb.CompletePaymentActionResponse, ProcessedPayment
]
RefundCall: TypeAlias = Call[pb.RefundPaymentRequest, pb.RefundPaymentResponse, RefundedPayment]
GetRefundCall: TypeAlias = Call[pb.GetRefundRequest, pb.GetRefundResponse, Refund]
WatchCall: TypeAlias = Call[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse, Watched]
HealthCall: TypeAlias = Call[pb.HealthCheckRequest, pb.HealthCheckResponse, Health]


def create_call(
    settings: Settings,
    *,
    amount: Decimal | str | int,
    customer_id: str,
    currency: str,
    payment_method: str,
    capture_method: CaptureMethod,
    description: str,
    metadata: Mapping[str, str] | None,
    expires_at: datetime | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> CreateCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.create_request(
        amount=amount,
        currency=currency,
        customer_id=customer_id,
        payment_method=payment_method,
        capture_method=capture_method,
        description=description,
        metadata=metadata,
        expires_at=expires_at,
        idempotency_key=terms.idempotency_key,
    )
    return Call("CreatePayment", request, terms, answers.created_payment)


def get_call(
    settings: Settings,
    payment_id: str,
    *,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> GetCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    return Call("GetPayment", requests.get_request(payment_id), terms, answers.got_payment)


def list_call(
    settings: Settings,
    *,
    customer_id: str | None,
    status: PaymentStatus | None,
    created_from: datetime | None,
    created_before: datetime | None,
    metadata: Mapping[str, str] | None,
    page_size: int | None,
    page_token: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> PageCall[Page, Payment]:
    terms = terms_of_read(settings, timeout_seconds, headers)
    request = requests.list_request(
        customer_id=customer_id,
        status=status,
        created_from=created_from,
        created_before=created_before,
        metadata=metadata,
        page_size=page_size,
        page_token=page_token,
    )
    return PageCall("ListPayments", request, terms, answers.page, lambda page: page.payments)


def process_call(
    settings: Settings,
    payment_id: str,
    action: str,
    *,
    amount: Decimal | str | int | None,
    payment_method: str | None,
    expected_version: int | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> ProcessCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.process_request(
        payment_id=payment_id,
        action=action,
        amount=amount,
        payment_method=payment_method,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("ProcessPayment", request, terms, answers.processed_payment)


def capture_call(
    settings: Settings,
    payment_id: str,
    *,
    amount: Decimal | str | int | None,
    final: bool,
    expected_version: int | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> CaptureCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.capture_request(
        payment_id=payment_id,
        amount=amount,
        final=final,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("CapturePayment", request, terms, answers.strictly_processed_payment)


def cancel_call(
    settings: Settings,
    payment_id: str,
    *,
    expected_version: int | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> CancelCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.cancel_request(
        payment_id=payment_id,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("CancelPayment", request, terms, answers.strictly_processed_payment)


def complete_call(
    settings: Settings,
    payment_id: str,
    *,
    result: str,
    expected_version: int | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> CompleteCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.complete_request(
        payment_id=payment_id,
        result=result,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("CompletePaymentAction", request, terms, answers.strictly_processed_payment)


def refund_call(
    settings: Settings,
    payment_id: str,
    *,
    amount: Decimal | str | int | None,
    reason: str,
    expected_version: int | None,
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> RefundCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = requests.refund_request(
        payment_id=payment_id,
        amount=amount,
        reason=reason,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("RefundPayment", request, terms, answers.refunded_payment)


def get_refund_call(
    settings: Settings,
    refund_id: str,
    *,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> GetRefundCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    return Call("GetRefund", requests.get_refund_request(refund_id), terms, answers.got_refund)


def refunds_call(
    settings: Settings,
    payment_id: str,
    *,
    page_size: int | None,
    page_token: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> PageCall[RefundPage, Refund]:
    terms = terms_of_read(settings, timeout_seconds, headers)
    request = requests.refunds_request(
        payment_id=payment_id, page_size=page_size, page_token=page_token
    )
    return PageCall("ListRefunds", request, terms, answers.refund_page, lambda page: page.refunds)


def events_call(
    settings: Settings,
    payment_id: str,
    *,
    page_size: int | None,
    page_token: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> PageCall[EventPage, Event]:
    terms = terms_of_read(settings, timeout_seconds, headers)
    request = requests.events_request(
        payment_id=payment_id, page_size=page_size, page_token=page_token
    )
    return PageCall(
        "ListPaymentEvents", request, terms, answers.event_page, lambda page: page.events
    )


def watch_call(
    settings: Settings,
    *,
    payment_id: str | None,
    customer_id: str | None,
    cursor: str | None,
    from_beginning: bool,
    headers: Mapping[str, str] | None,
) -> WatchCall:
    """The call for the first stream of a watch; no stream is given the timeout of its terms."""
    request = requests.watch_request(
        payment_id=payment_id,
        customer_id=customer_id,
        cursor=cursor,
        from_beginning=from_beginning,
    )
    terms = terms_of_read(settings, None, headers)
    return Call("WatchPayments", request, terms, answers.watched)


def health_call(
    settings: Settings, *, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> HealthCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    return Call("HealthCheck", requests.health_request(), terms, answers.health)


def _call_info(trailing: Mapping[str, str]) -> CallInfo:
    replay = trailing.get(_REPLAYED_HEADER, "")
    return CallInfo(
        request_id=trailing.get(REQUEST_ID_HEADER, ""),
        replayed=bool(replay),
        reconstructed=replay == "reconstructed",
    )
