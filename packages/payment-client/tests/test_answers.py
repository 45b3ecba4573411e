"""`payment_client._wire.answers`: messages to values, of this service and of newer ones."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from payment.v1 import payment_pb2 as pb
from payment_client import (
    CallInfo,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    NextAction,
    OperationKind,
    OperationStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from payment_client._wire import answers

CALL = CallInfo(request_id="r-1")
MOMENT = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 5, 31, tzinfo=UTC)


def answered(**changes: Any) -> Payment:
    zero = "0.00"
    fields: dict[str, Any] = {
        "payment_id": "p-1",
        "currency": "USD",
        "amount": "10.00",
        "status": pb.PAYMENT_STATUS_CREATED,
        "capture_method": pb.CAPTURE_METHOD_MANUAL,
        "amount_authorized": zero,
        "amount_captured": zero,
        "amount_capturable": zero,
        "amount_voided": zero,
        "amount_refunded": zero,
        "amount_refund_pending": zero,
        "amount_refundable": zero,
    }
    message = pb.Payment(**(fields | changes))
    return answers.got_payment(pb.GetPaymentResponse(payment=message), CALL)


def test_an_amount_keeps_its_exponent() -> None:
    assert str(answered(amount="10.00").amount) == "10.00"


def test_times_come_back_aware_and_in_utc() -> None:
    moment = datetime(2026, 11, 23, 5, 30, 0, 123456, tzinfo=UTC)
    payment = answered(created_at=moment)
    assert (payment.created_at, payment.created_at.tzinfo) == (moment, UTC)


def test_the_lists_of_a_payment_come_back_immutable() -> None:
    assert answered(allowed_actions=["process", "cancel"]).allowed_actions == ("process", "cancel")


def test_a_status_of_a_newer_service_is_unknown() -> None:
    assert answered(status=99).status is PaymentStatus.UNKNOWN


def test_a_capture_method_of_a_newer_service_is_unknown() -> None:
    assert answered(capture_method=99).capture_method is CaptureMethod.UNKNOWN


def test_a_payment_that_was_not_declined_has_no_decline() -> None:
    assert answered().decline is None


def test_a_decline_comes_back_whole() -> None:
    until = datetime(2026, 12, 1, tzinfo=UTC)
    message = pb.Decline(code="x", network_code="51", advice=99, message="m", retry_after=until)  # type: ignore[arg-type]
    assert answered(decline=message).decline == Decline(
        code="x",
        network_code="51",
        advice=DeclineAdvice.UNKNOWN,
        retry_after=until,
        message="m",
    )


def test_a_pending_operation_is_not_settled() -> None:
    answer = pb.ProcessPaymentResponse(processed_at="2026-11-23T05:30:00.5Z")
    answer.payment.MergeFrom(payment_message())
    answer.operation.MergeFrom(
        pb.Operation(
            kind=pb.OPERATION_KIND_CAPTURE, status=pb.OPERATION_STATUS_PENDING, amount="1.00"
        )
    )
    operation = answers.processed_payment(answer, CALL).operation
    assert (operation.kind, operation.status) == (OperationKind.CAPTURE, OperationStatus.PENDING)
    assert operation.settled_at is None


@pytest.mark.parametrize(
    "kind", [pb.CapturePaymentResponse, pb.CancelPaymentResponse, pb.CompletePaymentActionResponse]
)
def test_a_settled_operation_was_processed_when_it_was_settled(kind: Any) -> None:
    answer = kind(payment=payment_message(), operation=operation_message(settled_at=LATER))
    assert answers.strictly_processed_payment(answer, CALL).processed_at == LATER


def test_a_pending_operation_was_processed_when_it_was_asked_for() -> None:
    answer = pb.CapturePaymentResponse(payment=payment_message(), operation=operation_message())
    assert answers.strictly_processed_payment(answer, CALL).processed_at == MOMENT


def test_an_operation_that_waits_for_the_customer_says_so() -> None:
    waiting = operation_message(
        kind=pb.OPERATION_KIND_COMPLETE, status=pb.OPERATION_STATUS_REQUIRES_ACTION
    )
    answer = pb.CompletePaymentActionResponse(payment=payment_message(), operation=waiting)
    operation = answers.strictly_processed_payment(answer, CALL).operation
    assert operation.kind is OperationKind.COMPLETE
    assert operation.status is OperationStatus.REQUIRES_ACTION


def test_a_refund_comes_back_whole() -> None:
    message = refund_message(status=pb.REFUND_STATUS_FAILED, decline=pb.Decline(code="x"))
    decline = Decline(
        code="x", network_code="", advice=DeclineAdvice.UNKNOWN, retry_after=None, message=""
    )
    assert answers.got_refund(pb.GetRefundResponse(refund=message), CALL) == Refund(
        refund_id="r-1",
        payment_id="p-1",
        amount=Decimal("2.50"),
        currency="USD",
        status=RefundStatus.FAILED,
        reason="broken",
        decline=decline,
        created_at=MOMENT,
        updated_at=LATER,
    )


def test_a_refund_status_of_a_newer_service_is_unknown() -> None:
    answer = pb.GetRefundResponse(refund=refund_message(status=99))
    assert answers.got_refund(answer, CALL).status is RefundStatus.UNKNOWN


def test_a_refunded_payment_has_its_refund() -> None:
    answer = pb.RefundPaymentResponse(
        payment=payment_message(), operation=operation_message(), refund=refund_message()
    )
    done = answers.refunded_payment(answer, CALL)
    assert (done.refund.refund_id, done.payment.call, done.refund.call) == ("r-1", CALL, CALL)


def test_a_page_of_refunds_says_what_follows() -> None:
    answer = pb.ListRefundsResponse(refunds=[refund_message()], next_page_token="behind")
    page = answers.refund_page(answer, CALL)
    assert (len(page.refunds), page.next_page_token) == (1, "behind")


def test_an_event_comes_back_with_the_payment_after_it() -> None:
    page = answers.event_page(pb.ListPaymentEventsResponse(events=[event_message()]), CALL)
    event = page.events[0]
    assert (event.event_id, event.payment_id, event.version) == ("e-1", "p-1", 2)
    assert (event.type, event.occurred_at) == ("payment.captured", MOMENT)
    assert event.payment.amount_captured == Decimal("0.00")


def test_a_step_of_a_watch_may_have_no_event() -> None:
    step = answers.watched(pb.WatchPaymentsResponse(cursor="c-1"), CALL)
    assert (step.event, step.cursor) == (None, "c-1")


def test_a_step_of_a_watch_without_a_cursor_is_against_the_contract() -> None:
    with pytest.raises(ValueError, match="without a cursor"):
        answers.watched(pb.WatchPaymentsResponse(event=event_message()), CALL)


def test_what_the_customer_has_to_do_comes_back_whole() -> None:
    action = pb.NextAction(type="challenge", url="https://example.com/1", expires_at=MOMENT)  # type: ignore[arg-type]
    assert answered(next_action=action).next_action == NextAction(
        type="challenge", url="https://example.com/1", expires_at=MOMENT
    )


def test_a_payment_without_deadlines_and_actions_has_none() -> None:
    payment = answered()
    assert payment.next_action is None
    assert (payment.authorization_expires_at, payment.expires_at) == (None, None)


def test_the_deadlines_of_a_payment_come_back_aware() -> None:
    payment = answered(authorization_expires_at=MOMENT, expires_at=LATER)
    assert (payment.authorization_expires_at, payment.expires_at) == (MOMENT, LATER)


def test_a_written_time_comes_back_aware() -> None:
    answer = pb.HealthCheckResponse(status="healthy", timestamp="2026-11-23T05:30:00.5Z")
    checked_at = answers.health(answer, CALL).checked_at
    assert checked_at == datetime(2026, 11, 23, 5, 30, 0, 500000, tzinfo=UTC)


def test_every_value_carries_how_its_answer_came_about() -> None:
    assert answered().call is CALL


def payment_message() -> pb.Payment:
    names = [
        field.name for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
    ]
    return pb.Payment(**dict.fromkeys(names, "0.00"))  # type: ignore[arg-type]


def operation_message(**changes: Any) -> pb.Operation:
    fields: dict[str, Any] = {"amount": "1.00", "created_at": MOMENT}
    return pb.Operation(**(fields | changes))


def refund_message(**changes: Any) -> pb.Refund:
    fields: dict[str, Any] = {
        "refund_id": "r-1",
        "payment_id": "p-1",
        "amount": "2.50",
        "currency": "USD",
        "status": pb.REFUND_STATUS_PENDING,
        "reason": "broken",
        "created_at": MOMENT,
        "updated_at": LATER,
    }
    return pb.Refund(**(fields | changes))


def event_message() -> pb.Event:
    return pb.Event(
        event_id="e-1",
        payment_id="p-1",
        version=2,
        type="payment.captured",
        occurred_at=MOMENT,  # type: ignore[arg-type]
        payment=payment_message(),
    )
