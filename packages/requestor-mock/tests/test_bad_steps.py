"""Steps that a payment's status or amounts forbid, through both doors from one table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

CARD = "4539578763621486"
PROCESS = """
mutation($id: String!, $action: Action!, $amount: String, $method: String, $version: Int) {
  processPayment(paymentId: $id, action: $action, amount: $amount, paymentMethod: $method,
                 expectedVersion: $version) { processedAt }
}
"""

Create = Callable[..., dict[str, Any]]
Post = Callable[[str, object], httpx.Response]
Told = Callable[[httpx.Response], tuple[Any, ...]]


@dataclass(frozen=True)
class Step:
    """What is asked of a payment that was made and moved on before."""

    action: str
    expected: tuple[Any, ...]
    made: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Each a verb, and after a space the amount, if any."""
    body: dict[str, Any] = field(default_factory=dict)


def refusal(reason: str, status: str, actions: str, **metadata: str) -> tuple[Any, ...]:
    facts = {"status": status, "allowed_actions": actions, **metadata}
    return (reason, "FAILED_PRECONDITION", 409, [], facts)


def invalid(*fields: str) -> tuple[Any, ...]:
    return ("FIELD_INVALID", "INVALID_ARGUMENT", 400, list(fields), {})


def stale(expected: str) -> tuple[Any, ...]:
    return ("VERSION_MISMATCH", "ABORTED", 412, [], {"expected_version": expected, "version": "1"})


MANUAL = {"capture_method": "manual"}
CHALLENGED = {"payment_method": "card_3ds"}
STEP_ROWS = {
    "a refund before any capture": Step(
        "refund",
        refusal("NOT_CAPTURED", "created", "process,authorize,cancel"),
    ),
    "a second authorization": Step(
        "process",
        refusal("ALREADY_AUTHORIZED", "authorized", "capture,cancel"),
        MANUAL,
        ("process",),
    ),
    "a second capture": Step(
        "capture", refusal("ALREADY_CAPTURED", "captured", "refund"), before=("process",)
    ),
    "a cancellation after the capture": Step(
        "cancel", refusal("ALREADY_CAPTURED", "captured", "refund"), before=("process",)
    ),
    "anything after the cancellation": Step(
        "process", refusal("PAYMENT_CANCELED", "canceled", ""), before=("cancel",)
    ),
    "a second refund": Step(
        "refund", refusal("ALREADY_REFUNDED", "refunded", ""), before=("process", "refund")
    ),
    "the refused method again": Step(
        "process",
        refusal("PAYMENT_METHOD_REFUSED", "failed", "process,authorize,cancel"),
        {"payment_method": "decline:stolen_card"},
        ("process",),
    ),
    "a capture of more than is held": Step(
        "capture",
        refusal("AMOUNT_EXCEEDS_CAPTURABLE", "authorized", "capture,cancel", limit="10.00"),
        MANUAL,
        ("process",),
        {"amount": "10.01"},
    ),
    "a refund of more than was captured": Step(
        "refund",
        refusal("AMOUNT_EXCEEDS_REFUNDABLE", "captured", "refund", limit="10.00"),
        {},
        ("process",),
        {"amount": "10.01"},
    ),
    "a stale version": Step(
        "process",
        ("VERSION_MISMATCH", "ABORTED", 412, [], {"expected_version": "7", "version": "1"}),
        body={"expected_version": 7},
    ),
    "a version below zero": Step(
        "process", invalid("expected_version"), body={"expected_version": -1}
    ),
    "a version that no payment has": Step(
        "process", invalid("expected_version"), body={"expected_version": 0}
    ),
    "an empty amount, which is not all that is left": Step(
        "capture", invalid("amount"), MANUAL, ("process",), {"amount": ""}
    ),
    "an amount where none belongs": Step("cancel", invalid("amount"), body={"amount": "1.00"}),
    "an amount that is no amount": Step("refund", invalid("amount"), body={"amount": "1e5"}),
    "an amount that is a number": Step("refund", invalid("amount"), body={"amount": 1}),
    "a payment method where none belongs": Step(
        "refund", invalid("payment_method"), body={"payment_method": "card"}
    ),
    "a card number": Step(
        "process",
        ("CARD_DATA_REJECTED", "INVALID_ARGUMENT", 400, ["payment_method"], {}),
        body={"payment_method": CARD},
    ),
}


STRICT_ROWS = {
    "a capture of nothing that is held": Step(
        "capture", refusal("NOT_AUTHORIZED", "created", "process,authorize,cancel")
    ),
    "a capture before the customer has acted": Step(
        "capture",
        refusal("PAYMENT_REQUIRES_ACTION", "requires_action", "cancel,complete"),
        CHALLENGED,
        ("process",),
    ),
    "a completion that nobody asked for": Step(
        "complete", refusal("ACTION_NOT_REQUIRED", "created", "process,authorize,cancel")
    ),
    "a completion after the authorization": Step(
        "complete",
        refusal("ALREADY_AUTHORIZED", "authorized", "capture,cancel"),
        MANUAL,
        ("process",),
    ),
    "a completion with a result that says nothing": Step(
        "complete", invalid("result"), CHALLENGED, ("process",), {"result": "perhaps"}
    ),
    "a refund while more may be captured": Step(
        "refund",
        refusal("CAPTURE_NOT_FINAL", "partially_captured", "capture,cancel"),
        MANUAL,
        ("process", "capture 4.00"),
    ),
    "a capture of more than is left": Step(
        "capture",
        refusal("AMOUNT_EXCEEDS_CAPTURABLE", "partially_captured", "capture,cancel", limit="6.00"),
        MANUAL,
        ("process", "capture 4.00"),
        {"amount": "6.01"},
    ),
    "a refund of more than is left": Step(
        "refund",
        refusal("AMOUNT_EXCEEDS_REFUNDABLE", "partially_refunded", "refund", limit="6.00"),
        {},
        ("process", "refund 4.00"),
        {"amount": "6.01"},
    ),
    "a refund for a reason too long": Step(
        "refund", invalid("reason"), {}, ("process",), {"reason": "x" * 256}
    ),
    "a refund of an empty amount, which is not all that is left": Step(
        "refund", invalid("amount"), {}, ("process",), {"amount": ""}
    ),
    "a capture with a stale version": Step(
        "capture", stale("2"), MANUAL, (), {"expected_version": 2}
    ),
    "a cancellation with a stale version": Step(
        "cancel", stale("2"), {}, (), {"expected_version": 2}
    ),
    "a refund with a stale version": Step("refund", stale("2"), {}, (), {"expected_version": 2}),
    "a completion with a stale version": Step(
        "complete", stale("2"), {}, (), {"expected_version": 2}
    ),
}


BOTH_ROWS = STEP_ROWS | STRICT_ROWS


def prepared(rest: httpx.Client, create: Create, step: Step) -> str:
    payment_id: str = create(**step.made)["payment_id"]
    for action in step.before:
        verb, _, amount = action.partition(" ")
        body = {"amount": amount} if amount else None
        assert rest.post(f"/api/payments/{payment_id}/{verb}", json=body).status_code == 200
    return payment_id


@pytest.mark.parametrize("step", BOTH_ROWS.values(), ids=BOTH_ROWS)
def test_rest_refuses_a_step(
    post: Post, told: Told, rest: httpx.Client, create: Create, step: Step
) -> None:
    payment_id = prepared(rest, create, step)
    answer = post(f"/api/payments/{payment_id}/{step.action}", step.body)
    assert told(answer) == step.expected


@pytest.mark.parametrize("step", STEP_ROWS.values(), ids=STEP_ROWS)
def test_graphql_refuses_a_step_of_process_payment(
    post: Post, told: Told, rest: httpx.Client, create: Create, step: Step
) -> None:
    variables = {
        "id": prepared(rest, create, step),
        "action": step.action,
        "amount": step.body.get("amount"),
        "method": step.body.get("payment_method"),
        "version": step.body.get("expected_version"),
    }
    answer = post("/graphql", {"query": PROCESS, "variables": variables})
    assert told(answer) == step.expected


MUTATIONS = {
    "capture": "capturePayment",
    "cancel": "cancelPayment",
    "complete": "completePaymentAction",
    "refund": "refundPayment",
}
ARGUMENTS = {
    "amount": ("amount", "String"),
    "reason": ("reason", "String"),
    "result": ("result", "String"),
    "expected_version": ("expectedVersion", "Int"),
}


@pytest.mark.parametrize("step", STRICT_ROWS.values(), ids=STRICT_ROWS)
def test_graphql_refuses_a_strict_step(
    post: Post, told: Told, rest: httpx.Client, create: Create, step: Step
) -> None:
    given = [ARGUMENTS[name] for name in step.body]
    declared = "".join(f", ${name}: {kind}" for name, kind in given)
    passed = "".join(f", {name}: ${name}" for name, _ in given)
    document = f"""mutation($id: String!{declared}) {{
      {MUTATIONS[step.action]}(paymentId: $id{passed}) {{ processedAt }}
    }}"""
    variables = {ARGUMENTS[name][0]: value for name, value in step.body.items()}
    variables["id"] = prepared(rest, create, step)
    answer = post("/graphql", {"query": document, "variables": variables})
    assert told(answer) == step.expected
