"""Every method as data: its arguments → the call to send; an answer → its value. No I/O.

All that the two clients have in common is decided here, so that they only move messages.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import InvalidOperation
from functools import partial
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar

from google.protobuf.message import Message

from payment.v1 import payment_pb2 as pb
from payment_client._batch import CreatedPayments
from payment_client._errors import Internal, PaymentError, malformed_answer
from payment_client._policy import Failed, known_of_change
from payment_client._terms import REQUEST_ID_HEADER, Terms
from payment_client._types import (
    CallInfo,
    EventPage,
    Page,
    RefundPage,
    Watched,
)
from payment_client._wire import answers, requests

_REPLAYED_HEADER: Final = "idempotency-replayed"

FieldsP = ParamSpec("FieldsP")
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

    def value(
        self,
        answer: AnswerT | None,
        trailing: Iterable[tuple[str, str | bytes]],
        *,
        in_doubt: bool = False,  # noqa: ARG002 - an answer to one change leaves none
    ) -> ValueT:
        """What the answer says; Internal for one that the contract does not allow.

        None stands for bytes that were no message: grpcio logs those and goes on. `in_doubt`: an
        attempt before may have had its effect.
        """
        info = _call_info(trailing)
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


@dataclass(frozen=True, slots=True)
class Method(Generic[FieldsP, RequestT, AnswerT, ValueT]):
    """One method of the contract: what it is asked, and how its answer is read."""

    rpc: str
    request: Callable[FieldsP, RequestT]
    read: Callable[[AnswerT, CallInfo], ValueT]

    def call(
        self, terms: Terms, *args: FieldsP.args, **fields: FieldsP.kwargs
    ) -> Call[RequestT, AnswerT, ValueT]:
        return Call(self.rpc, self.request(*args, **fields), terms, self.read)


@dataclass(frozen=True, slots=True)
class Change(Generic[FieldsP, RequestT, AnswerT, ValueT]):
    """A method that changes something: its request has the idempotency key of the terms."""

    rpc: str
    request: Callable[Concatenate[str, FieldsP], RequestT]
    read: Callable[[AnswerT, CallInfo], ValueT]

    def call(
        self, terms: Terms, *args: FieldsP.args, **fields: FieldsP.kwargs
    ) -> Call[RequestT, AnswerT, ValueT]:
        request = self.request(terms.idempotency_key, *args, **fields)
        return Call(self.rpc, request, terms, self.read)


@dataclass(frozen=True, slots=True)
class BatchCall(
    Call[pb.BatchCreatePaymentsRequest, pb.BatchCreatePaymentsResponse, CreatedPayments]
):
    """The call for many creates: what became of each may be in doubt."""

    def value(
        self,
        answer: pb.BatchCreatePaymentsResponse | None,
        trailing: Iterable[tuple[str, str | bytes]],
        *,
        in_doubt: bool = False,
    ) -> CreatedPayments:
        created = Call.value(self, answer, trailing)
        results = (
            known_of_change(Failed(each), in_doubt=in_doubt)
            if isinstance(each, PaymentError)
            else each
            for each in created.results
        )
        return replace(created, results=tuple(results))


@dataclass(frozen=True, slots=True)
class Batch(Generic[FieldsP]):
    """The method with many creates in one: what became of each is read beside what it was."""

    rpc: str
    request: Callable[FieldsP, pb.BatchCreatePaymentsRequest]

    def call(self, terms: Terms, *args: FieldsP.args, **fields: FieldsP.kwargs) -> BatchCall:
        request = self.request(*args, **fields)
        return BatchCall(self.rpc, request, terms, partial(answers.created_payments, request))


@dataclass(frozen=True, slots=True)
class Listing(Generic[FieldsP, PageT, ItemT]):
    """A method that answers a page at a time."""

    rpc: str
    request: Callable[FieldsP, Message]
    read: Callable[[Any, CallInfo], PageT]
    items: Callable[[PageT], tuple[ItemT, ...]]

    def call(
        self, terms: Terms, *args: FieldsP.args, **fields: FieldsP.kwargs
    ) -> PageCall[PageT, ItemT]:
        return PageCall(self.rpc, self.request(*args, **fields), terms, self.read, self.items)


CREATE: Final = Change("CreatePayment", requests.create_request, answers.created_payment)
CREATE_MANY: Final = Batch("BatchCreatePayments", requests.create_many_request)
GET: Final = Method("GetPayment", requests.get_request, answers.got_payment)
LIST: Final = Listing(
    "ListPayments", requests.list_request, answers.page, lambda page: page.payments
)
PROCESS: Final = Change("ProcessPayment", requests.process_request, answers.processed_payment)
CAPTURE: Final = Change(
    "CapturePayment", requests.capture_request, answers.strictly_processed_payment
)
CANCEL: Final = Change("CancelPayment", requests.cancel_request, answers.strictly_processed_payment)
COMPLETE: Final = Change(
    "CompletePaymentAction", requests.complete_request, answers.strictly_processed_payment
)
REFUND: Final = Change("RefundPayment", requests.refund_request, answers.refunded_payment)
GET_REFUND: Final = Method("GetRefund", requests.get_refund_request, answers.got_refund)
REFUNDS: Final = Listing(
    "ListRefunds", requests.refunds_request, answers.refund_page, lambda page: page.refunds
)
EVENTS: Final = Listing(
    "ListPaymentEvents", requests.events_request, answers.event_page, lambda page: page.events
)
WATCH: Final = Method("WatchPayments", requests.watch_request, answers.watched)
HEALTH: Final = Method("HealthCheck", requests.health_request, answers.health)

WatchCall: TypeAlias = Call[pb.WatchPaymentsRequest, pb.WatchPaymentsResponse, Watched]


def _call_info(trailing: Iterable[tuple[str, str | bytes]]) -> CallInfo:
    request_id = replay = ""
    for name, value in trailing:
        if isinstance(value, bytes):
            continue
        if name == REQUEST_ID_HEADER:
            request_id = value
        elif name == _REPLAYED_HEADER:
            replay = value
    return answers.call_info(request_id, replay)
