"""The sandbox: what each token makes it answer."""

import asyncio
import tomllib
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from payment_server.domain.errors import InvalidRequest
from payment_server.domain.operation import (
    APPROVED,
    UNKNOWN,
    Operation,
    OperationKind,
    OperationStatus,
    Verdict,
)
from payment_server.domain.payment import Advice, Decline, Payment
from payment_server.processors.sandbox import Sandbox, Token

HOLD, CHALLENGE, SETTLING = timedelta(days=3), timedelta(minutes=4), timedelta(seconds=5)


def sandbox_at(payment: Payment, age: timedelta) -> Sandbox:
    """A sandbox for whose clock an operation of the payment's creation has that age."""
    return Sandbox(
        settle_seconds=SETTLING.total_seconds(),
        hold_seconds=HOLD.total_seconds(),
        challenge_seconds=CHALLENGE.total_seconds(),
        clock=lambda: payment.created_at + age,
    )


@pytest.fixture(scope="session")
def sandbox(payment: Payment) -> Sandbox:
    return sandbox_at(payment, timedelta(0))


def held_until(payment: Payment) -> Verdict:
    return Verdict(status=OperationStatus.SUCCEEDED, expires_at=payment.created_at + HOLD)


def code_of(verdict: Verdict | None) -> str | None:
    """The code of a decline; None for what is none."""
    return verdict.decline.code if verdict is not None and verdict.decline is not None else None


def operation(payment: Payment, **fields: Any) -> Operation:
    authorization = Operation(
        operation_id="an operation",
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=OperationKind.AUTHORIZE,
        amount_minor=payment.amount_minor,
        payment_method="card",
        created_at=payment.created_at,
    )
    return replace(authorization, **fields)


CODES = tomllib.loads(
    (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
)["declines"]


@pytest.mark.parametrize("code", CODES)
async def test_a_card_is_declined_with_the_code_it_names(
    sandbox: Sandbox, payment: Payment, code: str
) -> None:
    token = sandbox.tokenize(f"decline:{code}")
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict.status is OperationStatus.FAILED
    assert verdict.decline == Decline(
        code=code,
        network_code=CODES[code].get("network_code", ""),
        advice=Advice(CODES[code]["advice"]),
        message=CODES[code]["message"],
    )


CARDS = ["card", *(f"card_{brand}" for brand in ("visa", "mastercard", "amex", "discover"))]


@pytest.mark.parametrize("token", [*CARDS, "card_diners", "card_jcb", "card_unionpay"])
async def test_a_card_is_approved(sandbox: Sandbox, payment: Payment, token: str) -> None:
    assert sandbox.tokenize(token) == token
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict == held_until(payment)


@pytest.mark.parametrize("token", ["pm_1MtwBwLkdIwHu7ix28a3tqPa", "cardinal", "wallet", "CARD"])
async def test_a_token_of_somebody_else_is_approved(
    sandbox: Sandbox, payment: Payment, token: str
) -> None:
    assert sandbox.tokenize(token) == token
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict == held_until(payment)


@pytest.mark.parametrize("token", ["card", "card_by_amount"])
async def test_what_is_captured_at_once_is_not_held(
    sandbox: Sandbox, payment: Payment, token: str
) -> None:
    asked = operation(payment, payment_method=token, captures=True)
    assert await sandbox.authorize(payment, asked) == APPROVED


# What the last two digits of an amount stand for, as the networks number their answers.
BY_AMOUNT = {
    1: "call_issuer",
    4: "pickup_card",
    5: "do_not_honor",
    13: "invalid_amount",
    14: "invalid_number",
    41: "lost_card",
    43: "stolen_card",
    51: "insufficient_funds",
    54: "expired_card",
    55: "invalid_pin",
    57: "transaction_not_allowed",
    59: "fraudulent",
    61: "card_velocity_exceeded",
    62: "restricted_card",
    63: "security_violation",
    65: "withdrawal_count_limit_exceeded",
    75: "pin_try_exceeded",
    91: "issuer_not_available",
    94: "duplicate_transaction",
    96: "processing_error",
}


@pytest.mark.parametrize("digits", range(100))
async def test_the_last_two_digits_of_an_amount_decide(
    sandbox: Sandbox, payment: Payment, digits: int
) -> None:
    for amount in (digits, 77_000 + digits):
        asked = operation(payment, payment_method="card_by_amount", amount_minor=amount)
        assert code_of(await sandbox.authorize(payment, asked)) == BY_AMOUNT.get(digits)


async def test_an_ordinary_card_is_not_declined_by_its_amount(
    sandbox: Sandbox, payment: Payment
) -> None:
    asked = operation(payment, amount_minor=1051)
    assert await sandbox.authorize(payment, asked) == held_until(payment)


@pytest.mark.parametrize("captures", [False, True])
async def test_a_challenge_is_asked_for(sandbox: Sandbox, payment: Payment, captures: bool) -> None:
    asked = operation(payment, payment_method="card_3ds", captures=captures)
    assert await sandbox.authorize(payment, asked) == Verdict(
        status=OperationStatus.REQUIRES_ACTION, expires_at=payment.created_at + CHALLENGE
    )


def completion(payment: Payment, result: str, **fields: Any) -> Operation:
    fields = {"payment_method": "card_3ds", **fields}
    return operation(payment, kind=OperationKind.COMPLETE, words=result, **fields)


async def test_a_challenge_that_is_met_is_approved(sandbox: Sandbox, payment: Payment) -> None:
    met = completion(payment, sandbox.read_result("approved"))
    assert await sandbox.complete(payment, met) == held_until(payment)
    met_and_captured = replace(met, captures=True)
    assert await sandbox.complete(payment, met_and_captured) == APPROVED


async def test_a_challenge_that_is_refused_fails_the_authentication(
    sandbox: Sandbox, payment: Payment
) -> None:
    refused = completion(payment, sandbox.read_result("refused"))
    assert code_of(await sandbox.complete(payment, refused)) == "authentication_failed"


def test_no_result_of_a_challenge_means_that_it_is_met(sandbox: Sandbox) -> None:
    assert sandbox.read_result("") == sandbox.read_result("approved")


@pytest.mark.parametrize("result", ["Approved", "refused ", "no", "true", "authenticated"])
def test_a_result_that_the_sandbox_does_not_know_is_refused(sandbox: Sandbox, result: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sandbox.read_result(result)
    assert [each.field for each in caught.value.violations] == ["result"]


@pytest.mark.parametrize("captures", [False, True])
async def test_a_card_that_times_out_never_answers_and_is_found_approved(
    sandbox: Sandbox, payment: Payment, captures: bool
) -> None:
    asked = operation(payment, payment_method="card_timeout", captures=captures)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await sandbox.authorize(payment, asked)
    found = await sandbox.look_up(payment, asked)
    assert found == (APPROVED if captures else held_until(payment))


async def test_a_card_whose_captures_fail_is_authorized(sandbox: Sandbox, payment: Payment) -> None:
    asked = operation(payment, payment_method="card_capture_fails")
    assert await sandbox.authorize(payment, asked) == held_until(payment)


async def test_a_card_whose_captures_fail_is_not_captured(
    sandbox: Sandbox, payment: Payment
) -> None:
    token = "card_capture_fails"
    capture = operation(payment, kind=OperationKind.CAPTURE, payment_method=token)
    assert code_of(await sandbox.capture(payment, capture)) == "processing_error"
    at_once = operation(payment, payment_method=token, captures=True)
    assert code_of(await sandbox.authorize(payment, at_once)) == "processing_error"


def refund(payment: Payment, token: str) -> Operation:
    return operation(payment, kind=OperationKind.REFUND, payment_method=token)


async def test_a_pending_refund_succeeds_when_it_is_old_enough(payment: Payment) -> None:
    asked = refund(payment, "card_refund_pending")
    young = sandbox_at(payment, SETTLING - timedelta(milliseconds=1))
    assert await young.refund(payment, asked) == UNKNOWN
    assert await young.look_up(payment, asked) == UNKNOWN
    assert await sandbox_at(payment, SETTLING).look_up(payment, asked) == APPROVED


async def test_a_late_failing_refund_succeeds_and_fails_when_it_is_old_enough(
    payment: Payment,
) -> None:
    asked = refund(payment, "card_refund_late_fail")
    stands = Verdict(status=OperationStatus.SUCCEEDED, recheck_at=payment.created_at + SETTLING)
    young = sandbox_at(payment, SETTLING - timedelta(milliseconds=1))
    assert await young.refund(payment, asked) == stands
    assert await young.look_up(payment, asked) == stands
    old = sandbox_at(payment, SETTLING)
    assert code_of(await old.look_up(payment, asked)) == "invalid_account"


@pytest.mark.parametrize("token", ["card_refund_pending", "card_refund_late_fail"])
async def test_a_refund_that_is_asked_again_later_is_answered_as_the_first_time(
    payment: Payment, token: str
) -> None:
    asked = refund(payment, token)
    first = await sandbox_at(payment, timedelta(0)).refund(payment, asked)
    assert await sandbox_at(payment, 2 * SETTLING).refund(payment, asked) == first


@pytest.mark.parametrize("token", ["card_refund_pending", "card_refund_late_fail"])
async def test_a_card_whose_refunds_are_odd_is_an_ordinary_one_otherwise(
    sandbox: Sandbox, payment: Payment, token: str
) -> None:
    asked = operation(payment, payment_method=token)
    assert await sandbox.authorize(payment, asked) == held_until(payment)
    assert await sandbox.capture(payment, asked) == APPROVED


ALIASES = {
    **dict.fromkeys(("4242424242424242", "4000056655665556"), "card_visa"),
    **dict.fromkeys(("5555555555554444", "2223003122003222"), "card_mastercard"),
    **dict.fromkeys(("5200828282828210", "5105105105105100"), "card_mastercard"),
    **dict.fromkeys(("378282246310005", "371449635398431"), "card_amex"),
    "6011111111111117": "card_discover",
    "4000000000000002": "decline:generic_decline",
    "4000000000009995": "decline:insufficient_funds",
    "4000000000009987": "decline:lost_card",
    "4000000000009979": "decline:stolen_card",
    "4000000000000069": "decline:expired_card",
    "4000000000000127": "decline:incorrect_cvc",
    "4000000000000119": "decline:processing_error",
    **dict.fromkeys(("4000002500003155", "4000002760003184", "4000000000003220"), "card_3ds"),
    "4000000000007726": "card_refund_pending",
    "4000000000005126": "card_refund_late_fail",
}


@pytest.mark.parametrize(("number", "token"), ALIASES.items())
def test_a_published_number_becomes_a_token(sandbox: Sandbox, number: str, token: str) -> None:
    assert sandbox.tokenize(number) == token


@pytest.mark.parametrize("text", ["4242 4242 4242 4242", "4242-4242-4242-4242"])
def test_a_published_number_may_be_written_in_groups(sandbox: Sandbox, text: str) -> None:
    assert sandbox.tokenize(text) == "card_visa"


@pytest.mark.parametrize("token", [*CARDS, *Token, *(f"decline:{code}" for code in CODES)])
def test_a_token_stays_what_it_is(sandbox: Sandbox, token: str) -> None:
    assert sandbox.tokenize(sandbox.tokenize(token)) == token


@pytest.mark.parametrize(
    "token",
    [
        *("decline:", "decline:no_such_code", "decline:lost_card ", "decline:Lost_Card"),
        *("Decline:lost_card", "approve:now", "a:b", ":"),
        *("card_", "card_no_such_brand", "card_Visa", "card_3DS", "card_refund"),
    ],
)
def test_a_rule_that_the_sandbox_does_not_have_is_refused(sandbox: Sandbox, token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sandbox.tokenize(token)
    assert [each.field for each in caught.value.violations] == ["payment_method"]


@pytest.mark.parametrize("kind", ["capture", "cancel", "refund"])
async def test_only_an_authorization_is_declined(
    sandbox: Sandbox, payment: Payment, kind: str
) -> None:
    asked = operation(payment, kind=OperationKind(kind), payment_method="decline:lost_card")
    assert await getattr(sandbox, kind)(payment, asked) == APPROVED


async def test_the_same_operation_gets_the_same_verdict(sandbox: Sandbox, payment: Payment) -> None:
    asked = operation(payment, payment_method="decline:do_not_honor")
    assert await sandbox.authorize(payment, asked) == await sandbox.authorize(payment, asked)


async def test_the_sandbox_remembers_no_operation(sandbox: Sandbox, payment: Payment) -> None:
    asked = operation(payment)
    await sandbox.authorize(payment, asked)
    assert await sandbox.look_up(payment, asked) is None


async def test_a_new_attempt_follows_its_own_token(sandbox: Sandbox, payment: Payment) -> None:
    challenged = replace(payment, payment_method="card_3ds")
    again = operation(challenged, payment_method="decline:lost_card")
    assert code_of(await sandbox.authorize(challenged, again)) == "lost_card"


@pytest.mark.parametrize("kind", OperationKind)
async def test_every_call_takes_as_long_as_the_sandbox_is_told(
    payment: Payment, kind: OperationKind
) -> None:
    slow = Sandbox(latency_seconds=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await getattr(slow, kind)(payment, operation(payment, kind=kind))
