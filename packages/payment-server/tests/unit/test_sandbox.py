"""The sandbox: what each token makes it answer, and the codes that it declines with."""

import asyncio
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pytest
from msgspec.structs import replace

from payment_server.domain.errors import InvalidRequest
from payment_server.domain.operation import APPROVED, Operation, OperationKind, OperationStatus
from payment_server.domain.payment import Payment
from payment_server.processors.sandbox import Sandbox

# Every code with its network code ("" where none is clear), by what a caller should do.
CODES = {
    "later": {
        "insufficient_funds": "51",
        "card_velocity_exceeded": "61",
        "withdrawal_count_limit_exceeded": "65",
        "processing_error": "96",
        "issuer_not_available": "91",
        "try_again_later": "",
        "reenter_transaction": "19",
    },
    "other": {
        "generic_decline": "",
        "do_not_honor": "05",
        "call_issuer": "01",
        "no_action_taken": "21",
        "transaction_not_allowed": "57",
        "not_permitted": "",
        "service_not_allowed": "",
        "security_violation": "63",
        "card_not_supported": "",
        "currency_not_supported": "",
        "risk_rejected": "",
        "authorization_expired": "",
    },
    "never": {
        "do_not_try_again": "",
        "revocation_of_authorization": "R1",
        "revocation_of_all_authorizations": "R3",
        "stop_payment_order": "R0",
        "lost_card": "41",
        "stolen_card": "43",
        "pickup_card": "04",
        "restricted_card": "62",
        "fraudulent": "59",
        "merchant_blacklist": "",
    },
    "fix": {
        "incorrect_number": "",
        "invalid_number": "14",
        "incorrect_cvc": "",
        "invalid_cvc": "N7",
        "invalid_expiry_month": "",
        "invalid_expiry_year": "",
        "expired_card": "54",
        "incorrect_zip": "",
        "invalid_account": "78",
        "invalid_amount": "13",
        "new_account_information_available": "",
        "incorrect_pin": "",
        "invalid_pin": "55",
        "pin_try_exceeded": "75",
        "offline_pin_required": "",
        "online_or_offline_pin_required": "",
        "testmode_decline": "",
    },
    "authenticate": {
        "authentication_required": "1A",
        "approve_with_id": "08",
        "authentication_failed": "",
    },
    "check": {
        "duplicate_transaction": "94",
        "processor_unknown": "",
    },
}
TABLE = [
    (code, network_code, advice)
    for advice, codes in CODES.items()
    for code, network_code in codes.items()
]


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture(scope="session")
def declines() -> Mapping[str, Any]:
    """The data file, by codes."""
    text = (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
    entries: Mapping[str, Any] = tomllib.loads(text)["declines"]
    return entries


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


@pytest.mark.parametrize(("code", "network_code", "advice"), TABLE)
async def test_a_code_declines_with_its_network_code_and_advice(
    sandbox: Sandbox, payment: Payment, code: str, network_code: str, advice: str
) -> None:
    token = sandbox.tokenize(f"decline:{code}")
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict.status is OperationStatus.FAILED
    assert verdict.decline is not None
    assert (verdict.decline.code, verdict.decline.network_code, verdict.decline.advice) == (
        *(code, network_code, advice),
    )


def test_there_are_no_other_codes(declines: Mapping[str, Any]) -> None:
    assert declines.keys() == {code for code, _, _ in TABLE}


@pytest.mark.parametrize("code", [code for code, _, _ in TABLE])
def test_a_decline_has_a_sentence_for_the_customer(declines: Mapping[str, Any], code: str) -> None:
    message = declines[code]["message"]
    assert message[0].isupper()
    assert message.endswith(".")


@pytest.mark.parametrize(
    "code", ["lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist"]
)
def test_a_thief_learns_nothing_from_the_message(declines: Mapping[str, Any], code: str) -> None:
    assert declines[code]["message"] == declines["generic_decline"]["message"]


CARDS = ["card", *(f"card_{brand}" for brand in ("visa", "mastercard", "amex", "discover"))]


@pytest.mark.parametrize("token", [*CARDS, "card_diners", "card_jcb", "card_unionpay"])
async def test_a_card_is_approved(sandbox: Sandbox, payment: Payment, token: str) -> None:
    assert sandbox.tokenize(token) == token
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict == APPROVED


@pytest.mark.parametrize("token", ["pm_1MtwBwLkdIwHu7ix28a3tqPa", "cardinal", "wallet", "CARD"])
async def test_a_token_of_somebody_else_is_approved(
    sandbox: Sandbox, payment: Payment, token: str
) -> None:
    assert sandbox.tokenize(token) == token
    verdict = await sandbox.authorize(payment, operation(payment, payment_method=token))
    assert verdict == APPROVED


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
}


@pytest.mark.parametrize(("number", "token"), ALIASES.items())
def test_a_published_number_becomes_a_token(sandbox: Sandbox, number: str, token: str) -> None:
    assert sandbox.tokenize(number) == token


@pytest.mark.parametrize("text", ["4242 4242 4242 4242", "4242-4242-4242-4242"])
def test_a_published_number_may_be_written_in_groups(sandbox: Sandbox, text: str) -> None:
    assert sandbox.tokenize(text) == "card_visa"


@pytest.mark.parametrize("token", [*CARDS, *(f"decline:{code}" for code, _, _ in TABLE)])
def test_a_token_stays_what_it_is(sandbox: Sandbox, token: str) -> None:
    assert sandbox.tokenize(sandbox.tokenize(token)) == token


@pytest.mark.parametrize(
    "token",
    [
        *("decline:", "decline:no_such_code", "decline:lost_card ", "decline:Lost_Card"),
        *("Decline:lost_card", "approve:now", "a:b", ":"),
        *("card_", "card_no_such_brand", "card_Visa"),
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


@pytest.mark.parametrize("kind", OperationKind)
async def test_every_call_takes_as_long_as_the_sandbox_is_told(
    payment: Payment, kind: OperationKind
) -> None:
    slow = Sandbox(latency_seconds=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await getattr(slow, kind)(payment, operation(payment, kind=kind))
