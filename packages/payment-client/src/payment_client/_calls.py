"""The arguments of every public method → the call to send; an answer → its value. No I/O.

All that the two clients have in common is decided here, so that they only move messages.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from payment.v1 import payment_pb2 as pb
from payment_client import _wire
from payment_client._errors import Internal, malformed_answer
from payment_client._policy import REQUEST_ID_HEADER, Terms, terms_of_change, terms_of_read
from payment_client._settings import Settings
from payment_client._types import (
    CallInfo,
    CaptureMethod,
    Health,
    Page,
    Payment,
    PaymentStatus,
    ProcessedPayment,
)

_REPLAYED_HEADER: Final = "idempotency-replayed"

RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Message)
ValueT = TypeVar("ValueT")


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
class ListCall(Call[pb.ListPaymentsRequest, pb.ListPaymentsResponse, Page]):
    """The call for one page of a list."""

    def after(self, page: Page) -> "ListCall | None":
        """The call for the page behind this one; None behind the last.

        A token that leads back to itself would have a pager read the same page for ever.
        """
        if not page.next_page_token:
            return None
        if page.next_page_token == self.request.page_token:
            raise self._malformed("a page that is followed by itself", page.call)
        return replace(self, request=_wire.next_list_request(self.request, page.next_page_token))


CreateCall: TypeAlias = Call[pb.CreatePaymentRequest, pb.CreatePaymentResponse, Payment]
GetCall: TypeAlias = Call[pb.GetPaymentRequest, pb.GetPaymentResponse, Payment]
ProcessCall: TypeAlias = Call[pb.ProcessPaymentRequest, pb.ProcessPaymentResponse, ProcessedPayment]
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
    idempotency_key: str | None,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> CreateCall:
    terms = terms_of_change(settings, timeout_seconds, headers, idempotency_key)
    request = _wire.create_request(
        amount=amount,
        currency=currency,
        customer_id=customer_id,
        payment_method=payment_method,
        capture_method=capture_method,
        description=description,
        metadata=metadata,
        idempotency_key=terms.idempotency_key,
    )
    return Call("CreatePayment", request, terms, _wire.created_payment)


def get_call(
    settings: Settings,
    payment_id: str,
    *,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
) -> GetCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    return Call("GetPayment", _wire.get_request(payment_id), terms, _wire.got_payment)


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
) -> ListCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    request = _wire.list_request(
        customer_id=customer_id,
        status=status,
        created_from=created_from,
        created_before=created_before,
        metadata=metadata,
        page_size=page_size,
        page_token=page_token,
    )
    return ListCall("ListPayments", request, terms, _wire.page)


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
    request = _wire.process_request(
        payment_id=payment_id,
        action=action,
        amount=amount,
        payment_method=payment_method,
        expected_version=expected_version,
        idempotency_key=terms.idempotency_key,
    )
    return Call("ProcessPayment", request, terms, _wire.processed_payment)


def health_call(
    settings: Settings, *, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> HealthCall:
    terms = terms_of_read(settings, timeout_seconds, headers)
    return Call("HealthCheck", _wire.health_request(), terms, _wire.health)


def _call_info(trailing: Mapping[str, str]) -> CallInfo:
    replay = trailing.get(_REPLAYED_HEADER, "")
    return CallInfo(
        request_id=trailing.get(REQUEST_ID_HEADER, ""),
        replayed=bool(replay),
        reconstructed=replay == "reconstructed",
    )
