"""What `payments` makes of values and errors, without any process: JSON, text, sentences."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from rich.console import Console

import payment_client
from payment_client import (
    AmountTooLarge,
    CaptureMethod,
    Decline,
    DeclineAdvice,
    FieldViolation,
    IllegalTransition,
    Internal,
    InvalidRequest,
    NextAction,
    Operation,
    OperationKind,
    OperationStatus,
    OutcomeUnknown,
    Payment,
    PaymentError,
    PaymentStatus,
    ProcessedPayment,
    RateLimited,
    ResourceExhausted,
)
from payment_client._cli import as_json, as_text
from payment_client._cli.exits import Exit, exit_after, exit_of
from payment_client._cli.failures import failure_of

MOMENT: Final = datetime(2026, 11, 23, 8, 15, 0, 7000, tzinfo=UTC)
DECLINE: Final = Decline(
    code="insufficient_funds",
    network_code="51",
    advice=DeclineAdvice.LATER,
    retry_after=MOMENT,
    message="Your card has insufficient funds.",
)

ERRORS: Final = [
    each
    for each in vars(payment_client).values()
    if isinstance(each, type) and issubclass(each, PaymentError) and each is not PaymentError
]


def payment(**changes: Any) -> Payment:
    amounts = [each.name for each in dataclasses.fields(Payment) if each.name.startswith("amount")]
    fields: dict[str, Any] = dict.fromkeys(amounts, Decimal("0.00"))
    fields |= {"amount": Decimal("10.00"), "status": PaymentStatus.CREATED, "currency": "USD"}
    fields |= {"capture_method": CaptureMethod.AUTOMATIC, "metadata": {}, "allowed_actions": ()}
    fields |= dict.fromkeys(("payment_id", "merchant_id", "customer_id", "description"), "x")
    fields |= {"payment_method": "card", "decline": None, "next_action": None}
    fields |= {"attempts": 0, "version": 1, "created_at": MOMENT, "updated_at": MOMENT}
    fields |= {"authorization_expires_at": None, "expires_at": None}
    return Payment(**(fields | changes))


def operation(status: OperationStatus, decline: Decline | None = None) -> Operation:
    return Operation(
        operation_id="o",
        kind=OperationKind.CAPTURE,
        status=status,
        amount=Decimal("4.00"),
        decline=decline,
        created_at=MOMENT,
        settled_at=None,
    )


def shown(value: Payment | ProcessedPayment) -> str:
    return as_text.details(value).plain


class TestJson:
    def test_a_payment_has_all_of_its_fields_and_no_number_for_money(self) -> None:
        line = json.loads(as_json.line(payment(decline=DECLINE)))
        assert line.keys() == {each.name for each in dataclasses.fields(Payment)} - {"call"}
        assert (line["amount"], line["created_at"]) == ("10.00", "2026-11-23T08:15:00.007000Z")
        assert line["decline"]["retry_after"] == "2026-11-23T08:15:00.007000Z"

    def test_a_change_is_the_payment_with_what_was_done_beside_it(self) -> None:
        done = ProcessedPayment(
            payment=payment(), operation=operation(OperationStatus.PENDING), processed_at=MOMENT
        )
        line = json.loads(as_json.line(done, replayed=True))
        assert line.keys() - json.loads(as_json.line(payment())).keys() == {
            *("operation", "processed_at", "replayed")
        }
        assert line["operation"]["settled_at"] is None

    def test_amounts_are_written_out(self) -> None:
        assert json.loads(as_json.line(payment(amount=Decimal("1E+3"))))["amount"] == "1000"


class TestText:
    def test_what_is_not_there_is_left_out(self) -> None:
        assert "captured" not in shown(payment())
        assert "captured        10.00 USD" in shown(payment(amount_captured=Decimal("10.00")))

    def test_a_decline_tells_what_to_do_and_what_to_say(self) -> None:
        text = shown(payment(decline=DECLINE))
        assert "insufficient_funds (51), advice: later" in text
        assert "Your card has insufficient funds." in text
        assert "2026-11-23 08:15:00Z" in text

    def test_a_challenge_tells_where_to_send_the_customer(self) -> None:
        action = NextAction(type="challenge", url="https://bank.example", expires_at=MOMENT)
        assert "challenge at https://bank.example, until 2026" in shown(payment(next_action=action))

    def test_what_others_wrote_gives_the_terminal_no_orders(self) -> None:
        text = shown(payment(description="\x1b[2J[red]Stühle", metadata={"a": "\r\n"}))
        assert "\\x1b[2J[red]Stühle" in text
        assert "a=\\r\\n" in text

    def test_the_decline_of_a_step_is_told_beside_a_payment_that_goes_on(self) -> None:
        failed = operation(OperationStatus.FAILED, DECLINE)
        done = ProcessedPayment(payment=payment(), operation=failed, processed_at=MOMENT)
        assert "insufficient_funds" in shown(done)

    @pytest.mark.parametrize("width", [30, 60, 80, 120])
    def test_an_identifier_is_never_cut(self, width: int) -> None:
        identifier = "01a20a77-87b7-7424-a466-b7944d52bb5e"
        console = Console(width=width, color_system=None)
        with console.capture() as drawn:
            console.print(as_text.payments_table([payment(payment_id=identifier)], width))
        column = "".join(line.split(" ")[0] for line in drawn.get().splitlines()[1:])
        assert column.endswith(identifier)  # a narrow heading has several lines too


class TestExit:
    @pytest.mark.parametrize(
        "kind",
        [each for each in ERRORS if each is not Internal],
    )
    def test_only_what_is_the_services_fault_is_called_so(self, kind: type[PaymentError]) -> None:
        assert exit_of(kind("it went wrong")) is not Exit.SERVICE_FAULT

    def test_too_much_for_now_is_not_too_large_for_ever(self) -> None:
        assert exit_of(RateLimited("slow down", retryable=True)) is Exit.UNAVAILABLE
        assert exit_of(ResourceExhausted("64 KiB fit")) is Exit.INVALID

    @pytest.mark.parametrize("status", list(OperationStatus))
    def test_only_what_is_done_is_a_success(self, status: OperationStatus) -> None:
        is_done = status is OperationStatus.SUCCEEDED
        assert (exit_after(operation(status)) is Exit.DONE) == is_done


class TestFailure:
    @pytest.mark.parametrize(
        ("error", "hint"),
        [
            (AmountTooLarge("no", metadata={"limit": "5.00"}), "At most 5.00 is left."),
            (IllegalTransition("no", metadata={"allowed_actions": "a,b"}), "Possible now: a, b."),
            (OutcomeUnknown("no", idempotency_key="k-1"), "--idempotency-key k-1"),
            (RateLimited("no", retry_after=timedelta(seconds=1.5)), "It may work in 1.5 s."),
            (Internal("no", request_id="r-1"), "For the operators of the service: request r-1."),
        ],
    )
    def test_people_are_told_what_follows(self, error: PaymentError, hint: str) -> None:
        assert hint in failure_of(error).for_people()

    def test_each_violation_has_a_line(self) -> None:
        wrong = (FieldViolation(field="a", message="is b"), FieldViolation(field="c", message="d"))
        error = InvalidRequest("a is b; c d", title="It is wrong.", reason="R", violations=wrong)
        told = failure_of(error)
        assert told.for_people() == "payments: it is wrong (R)\n  a: is b\n  c: d"
        assert json.loads(told.for_programs())["message"] == "a is b; c d"

    def test_programs_are_told_all_in_one_line(self) -> None:
        error = RateLimited("no\nmore", reason="RATE_LIMITED", retry_after=timedelta(seconds=1))
        text = failure_of(error).for_programs()
        assert "\n" not in text
        told = json.loads(text)
        assert (told["reason"], told["retry_after_ms"]) == ("RATE_LIMITED", 1000)
