"""Keys, what a request means, and the answers that are kept with a key."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from payment_server.domain import commands
from payment_server.domain.commands import ChangePayment, CreatePayment
from payment_server.domain.errors import InvalidRequest
from payment_server.domain.idempotency import (
    FINGERPRINT_VERSION,
    Answer,
    decode_answer,
    encode_answer,
    fingerprint,
    key_of,
)
from payment_server.domain.operation import Operation, OperationKind, OperationStatus
from payment_server.domain.payment import Advice, CaptureMethod, Decline, Payment, Status

AN_ID = "019a206f-073f-73d0-bb2c-7581a22cc174"
ANOTHER_ID = "019a206f-073f-73d0-bb2c-7581a22cc175"


def creation(**fields: Any) -> CreatePayment:
    words = {
        "amount": "10.00",
        "currency": "USD",
        "customer_id": "cust123",
        "payment_method": "card",
        "metadata": {"order": "77", "shop": "north"},
    }
    return commands.create_payment(**{**words, **fields})


def step(**fields: Any) -> ChangePayment:
    return commands.process_payment(
        **{"payment_id": AN_ID, "action": "refund", "amount": "2.50", **fields}
    )


@pytest.mark.parametrize(
    "key", ["k", "a b", "~!@#$%^&*()", "x" * 255, AN_ID], ids=lambda key: key[:20]
)
def test_a_key_is_printable_ascii_of_up_to_255_characters(key: str) -> None:
    assert key_of(key) == key


@pytest.mark.parametrize("given", [("k", ""), ("", "k"), ("k", "k"), ("", "k", "k")], ids=str)
def test_a_key_may_come_in_one_place_or_in_several(given: tuple[str, ...]) -> None:
    assert key_of(*given) == "k"


@pytest.mark.parametrize("given", [(), ("",), ("", "")], ids=str)
def test_without_a_key_there_is_none(given: tuple[str, ...]) -> None:
    assert key_of(*given) is None


BAD_KEYS = {
    "too long": "x" * 256,
    "nul": "a\x00",
    "line feed": "a\n",
    "tab": "a\tb",
    "delete": "a\x7f",
    "letter beyond ASCII": "schlüssel",
    "full-width": "\uff4b",
    "lone surrogate": "\ud800",
}


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest, match="printable ASCII"):
        key_of(key, "")


@pytest.mark.parametrize("given", [("k", "K"), ("k", "k "), ("k", "k", "l")], ids=str)
def test_keys_that_differ_are_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        key_of(*given)
    assert [each.field for each in caught.value.violations] == ["idempotency_key"]


@pytest.mark.parametrize(
    "spelling",
    [
        {"amount": "10"},
        {"amount": "10.0"},
        {"currency": "usd"},
        {"currency": ""},
        {"payment_method": ""},
        {"description": ""},
        {"metadata": {"shop": "north", "order": "77"}},
        {"capture_method": CaptureMethod.AUTOMATIC},
    ],
    ids=str,
)
def test_another_spelling_of_a_creation_means_the_same(spelling: Mapping[str, Any]) -> None:
    assert fingerprint(creation(**spelling)) == fingerprint(creation())


@pytest.mark.parametrize("spelling", [{"amount": "2.5"}, {"amount": "2.500"}], ids=str)
def test_another_spelling_of_a_part_means_the_same(spelling: Mapping[str, Any]) -> None:
    assert fingerprint(step(**spelling)) == fingerprint(step())


def test_the_empty_action_means_process() -> None:
    assert fingerprint(step(action="", amount="")) == fingerprint(step(action="process", amount=""))


@pytest.mark.parametrize(
    ("process", "strict"),
    [
        (step(), commands.refund_payment(payment_id=AN_ID, amount="2.5")),
        (step(action="cancel", amount=""), commands.cancel_payment(payment_id=AN_ID)),
    ],
    ids=["refund", "cancel"],
)
def test_process_means_the_same_as_the_call_that_it_forwards_to(
    process: ChangePayment, strict: ChangePayment
) -> None:
    assert fingerprint(process) == fingerprint(strict)


@pytest.mark.parametrize(
    "spelling",
    [
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2027, 1, 1, 0, 0, 0, 999, tzinfo=UTC),
        datetime(2027, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    ],
    ids=str,
)
def test_another_spelling_of_a_deadline_means_the_same(spelling: datetime) -> None:
    expected = fingerprint(creation(expires_at=datetime(2027, 1, 1, tzinfo=UTC)))
    assert fingerprint(creation(expires_at=spelling)) == expected


def test_the_expected_version_is_no_part_of_the_meaning() -> None:
    assert fingerprint(step(expected_version=7)) == fingerprint(step())


CREATIONS = (
    creation(),
    creation(amount="10.01"),
    creation(currency="EUR"),
    creation(currency="KWD"),
    creation(currency="JPY", amount="1000"),
    creation(customer_id="cust124"),
    creation(payment_method="card_visa"),
    creation(capture_method=CaptureMethod.MANUAL),
    creation(description="two tickets"),
    creation(metadata={}),
    creation(metadata={"order": "77"}),
    creation(metadata={"order": "north", "shop": "77"}),
    creation(metadata={"order": "77", "shop": "north", "gift": ""}),
    creation(expires_at=datetime(2027, 1, 1, tzinfo=UTC)),
    creation(expires_at=datetime(2027, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)),
)
STEPS = (
    step(),
    step(payment_id=ANOTHER_ID),
    step(action="capture"),
    step(action="process", amount=""),
    step(action="authorize", amount=""),
    step(action="cancel", amount=""),
    step(amount="2.51"),
    step(amount="25"),
    step(amount=""),
    step(action="process", amount="", payment_method="card"),
    step(action="process", amount="", payment_method="card_visa"),
    commands.capture_payment(payment_id=AN_ID, amount="2.50"),
    commands.capture_payment(payment_id=AN_ID, amount="2.50", final=True),
    commands.capture_payment(payment_id=AN_ID),
    commands.refund_payment(payment_id=AN_ID, amount="2.50", reason="torn"),
    commands.refund_payment(payment_id=AN_ID, amount="2.50", reason="Torn"),
    commands.complete_payment_action(payment_id=AN_ID),
    commands.complete_payment_action(payment_id=AN_ID, result="torn"),
)


@pytest.mark.parametrize(
    ("one", "other"),
    [*combinations(CREATIONS, 2), *combinations(STEPS, 2), (CREATIONS[0], STEPS[0])],
)
def test_whatever_differs_in_meaning_differs_in_its_fingerprint(
    one: CreatePayment | ChangePayment, other: CreatePayment | ChangePayment
) -> None:
    assert fingerprint(one) != fingerprint(other)


# Stored keys are compared with these for ever: whoever has to change one has to raise the version.


def test_version_1_of_the_fingerprint_is_what_is_made() -> None:
    assert FINGERPRINT_VERSION == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (creation(), "350afdfa56fc52b6a46c364e7517bdc5f764727323492909a593dbe6fab1fc17"),
        (
            creation(capture_method=CaptureMethod.MANUAL, description="two tickets", metadata={}),
            "09ca0e581522ad89945ef0e8c016a610046e07501fe319f049d78c10035eb442",
        ),
        (step(), "da2da42f1fdf1e38544a9e62ba09d89fb300c92b03f332a5db8e3fd8d93b82de"),
        (
            step(action="", amount="", payment_method="card_visa"),
            "8f2f53fa7c76e26e50138c8a20866c036d0d6e0e6f90e4f4bdf19cdc8b3e0e11",
        ),
        (
            step(action="capture"),
            "6f1f2eaf9eae8fd77564c9de487816fb7a986c8f11910db702d32c055610da32",
        ),
        (
            step(action="capture", amount="", payment_method="card_visa"),
            "1b6b89dde945cde009ab1c51f42247c5e3f8d821d20bb4407bfd013ebc100877",
        ),
        (
            step(action="authorize", amount=""),
            "80a51784d9c921906c8c3e43f1d0b0d36137f33f684ebb709ffd1cd9a5244cea",
        ),
        (
            commands.cancel_payment(payment_id=AN_ID),
            "15fec0a3041749c0a3c3a322f4d058a4caf4318585f4903c8a0b6720bd2c2376",
        ),
        (
            commands.refund_payment(payment_id=AN_ID),
            "a3b66fc84d272fdd5384935eb9ab118e0001a28cca0fa9c0fbc5795100056293",
        ),
    ],
    ids=[
        *("creation", "creation with all fields", "refund", "new attempt", "capture"),
        *("capture that authorizes", "authorization", "cancellation", "whole refund"),
    ],
)
def test_version_1_of_the_fingerprint_does_not_change(
    command: CreatePayment | ChangePayment, expected: str
) -> None:
    assert fingerprint(command).hex() == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            creation(expires_at=datetime(2027, 1, 1, tzinfo=UTC)),
            "1caaa36055b8f6349c1dd47ddff0497f2152a9f1c786f257361f8ba1d86e4c1a",
        ),
        (
            commands.capture_payment(payment_id=AN_ID, amount="2.50", final=True),
            "ea6919a7944f45b1f271b6242038a20cd841d4f56fcfca43d1ee159380f4281e",
        ),
        (
            commands.refund_payment(payment_id=AN_ID, amount="2.50", reason="torn"),
            "afdbce7e04233215c45b1ec3a8d867814143a378344f8adf5a5ce456829da9f2",
        ),
        (
            commands.complete_payment_action(payment_id=AN_ID, result="approved"),
            "4da100e16f37e06497f2fd05d3f9e2c8359713d08e16320ccad4735f3ca9b114",
        ),
    ],
    ids=["deadline", "final capture", "refund with a reason", "completion"],
)
def test_neither_do_fingerprints_of_what_can_be_said_since_the_second_release(
    command: CreatePayment | ChangePayment, expected: str
) -> None:
    assert fingerprint(command).hex() == expected


DECLINE = Decline(
    code="insufficient_funds",
    advice=Advice.LATER,
    message="Your card has insufficient funds.",
    network_code="51",
    retry_after=datetime(2026, 12, 1, tzinfo=UTC),
)


@pytest.fixture(scope="session")
def operation(payment: Payment) -> Operation:
    return Operation(
        operation_id=ANOTHER_ID,
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        kind=OperationKind.AUTHORIZE,
        amount_minor=1000,
        payment_method="card",
        captures=True,
        status=OperationStatus.FAILED,
        decline=DECLINE,
        idempotency_key="k",
        created_at=payment.created_at,
        settled_at=payment.updated_at,
    )


def test_an_answer_is_read_back_as_it_was_given(payment: Payment, operation: Operation) -> None:
    failed = replace(payment, status=Status.FAILED, decline=DECLINE, attempts=1, version=3)
    answer = Answer(failed, operation)
    assert decode_answer(encode_answer(answer)) == answer


def test_an_answer_without_an_operation_is_read_back(payment: Payment) -> None:
    answer = Answer(replace(payment, description='é😀\u2028"\\'))
    assert decode_answer(encode_answer(answer)) == answer


def test_a_stored_answer_says_which_format_it_has(payment: Payment) -> None:
    assert msgspec.json.decode(encode_answer(Answer(payment)))["format_version"] == 1


def test_an_answer_of_the_first_release_is_read(payment: Payment, operation: Operation) -> None:
    """As it was stored before payments had challenges and deadlines."""
    text = """{"format_version":1,"answer":{"payment":{
      "payment_id":"019a206f-073f-73d0-bb2c-7581a22cc174","merchant_id":"default",
      "customer_id":"cust123","payment_method":"card","capture_method":"automatic",
      "description":"","metadata":{"order":"77"},"currency":"USD","exponent":2,
      "amount_minor":1000,"status":"failed","authorized_minor":0,"captured_minor":0,
      "capture_pending_minor":0,"voided_minor":0,"void_pending_minor":0,"refunded_minor":0,
      "refund_pending_minor":0,"decline":{"code":"insufficient_funds","advice":"later",
      "message":"Your card has insufficient funds.","network_code":"51",
      "retry_after":"2026-12-01T00:00:00Z"},"attempts":1,"version":3,
      "created_at":"2026-11-23T08:15:00Z","updated_at":"2026-11-23T08:15:00Z"},
      "operation":{"operation_id":"019a206f-073f-73d0-bb2c-7581a22cc175",
      "payment_id":"019a206f-073f-73d0-bb2c-7581a22cc174","merchant_id":"default",
      "kind":"authorize","amount_minor":1000,"payment_method":"card","captures":true,
      "status":"failed","decline":{"code":"insufficient_funds","advice":"later",
      "message":"Your card has insufficient funds.","network_code":"51",
      "retry_after":"2026-12-01T00:00:00Z"},"idempotency_key":"k",
      "created_at":"2026-11-23T08:15:00Z","settled_at":"2026-11-23T08:15:00Z"}}}"""
    failed = replace(payment, status=Status.FAILED, decline=DECLINE, attempts=1, version=3)
    assert decode_answer(text) == Answer(failed, operation)


def test_an_answer_of_a_format_to_come_is_refused(payment: Payment) -> None:
    text = encode_answer(Answer(payment)).replace('"format_version":1', '"format_version":2')
    with pytest.raises(msgspec.ValidationError):
        decode_answer(text)


@pytest.mark.parametrize("text", ["{}", '{"format_version": 1}', '{"answer": {}}', "[]", "null"])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_answer(text)
