"""The sandbox's decline codes: a data file, compared with the published facts."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pytest

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
def declines() -> Mapping[str, Any]:
    """The data file, by codes."""
    text = (files("payment_server.processors") / "declines.toml").read_text(encoding="utf-8")
    entries: Mapping[str, Any] = tomllib.loads(text)["declines"]
    return entries


@pytest.mark.parametrize(("code", "network_code", "advice"), TABLE)
def test_a_code_has_its_network_code_and_advice(
    declines: Mapping[str, Any], code: str, network_code: str, advice: str
) -> None:
    entry = declines[code]
    assert (entry.get("network_code", ""), entry["advice"]) == (network_code, advice)


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
