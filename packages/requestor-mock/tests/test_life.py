"""The whole life of a payment, step by strict step, told alike through both doors."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

SETTLING_LIMIT_SECONDS = 20
"""The sandbox takes 0.3 s and a worker looks about once a second."""
POLL_SECONDS = 0.1

PAYMENT = """paymentId status allowedActions amountCaptured amountCapturable amountVoided
  amountRefunded amountRefundPending amountRefundable nextAction { type url expiresAt }
  authorizationExpiresAt expiresAt decline { code }"""
OPERATION = "operationId kind status amount"
REFUND = "refundId paymentId amount currency status reason decline { code } createdAt updatedAt"
EVENT = "eventId paymentId version type occurredAt payment { status version }"
MUTATIONS = {
    "process": "processPayment",
    "capture": "capturePayment",
    "cancel": "cancelPayment",
    "complete": "completePaymentAction",
    "refund": "refundPayment",
}
LISTS = {"refunds": REFUND, "events": EVENT}

Create = Callable[..., dict[str, Any]]
Ask = Callable[..., httpx.Response]


def snake(value: Any) -> Any:
    """A value of GraphQL with the names that REST has."""
    if isinstance(value, dict):
        return {
            re.sub("([A-Z])", r"_\1", name).lower(): snake(each) for name, each in value.items()
        }
    return [snake(each) for each in value] if isinstance(value, list) else value


class Rest:
    """The REST door."""

    def __init__(self, rest: httpx.Client, ask: Ask) -> None:
        self.rest = rest

    def act(self, payment_id: str, step: str, **terms: Any) -> dict[str, Any]:
        """Does a step; returns payment, operation and refund."""
        answer = self.rest.post(f"/api/payments/{payment_id}/{step}", json=terms or None)
        assert answer.status_code in {200, 202}, answer.text
        told = answer.json()
        return {"payment": told["data"], **told}

    def read(self, payment_id: str) -> dict[str, Any]:
        """The payment."""
        told: dict[str, Any] = self.rest.get(f"/api/payments/{payment_id}").json()["data"]
        return told

    def refund(self, refund_id: str) -> dict[str, Any]:
        """The refund."""
        told: dict[str, Any] = self.rest.get(f"/api/refunds/{refund_id}").json()["data"]
        return told

    def page(
        self, payment_id: str, what: str, size: int, after: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of refunds or events, and where the next one starts."""
        parameters = {"page_size": size} | ({"page_token": after} if after else {})
        answer = self.rest.get(f"/api/payments/{payment_id}/{what}", params=parameters)
        told = answer.json()
        return told["data"], told["next_page_token"] or None


class GraphQL:
    """The GraphQL door."""

    def __init__(self, rest: httpx.Client, ask: Ask) -> None:
        self.ask = ask

    def told(self, document: str, **variables: Any) -> Any:
        answer = self.ask(document, variables).json()
        assert "errors" not in answer, answer
        return snake(answer["data"]["told"])

    def act(self, payment_id: str, step: str, **terms: Any) -> dict[str, Any]:
        """Does a step; returns payment, operation and refund."""
        arguments = "".join(f", {name}: {json_of(value)}" for name, value in terms.items())
        more = f"refund {{ {REFUND} }}" if step == "refund" else ""
        told: dict[str, Any] = self.told(
            f"""mutation($id: String!) {{ told: {MUTATIONS[step]}(paymentId: $id{arguments}) {{
              processedAt payment {{ {PAYMENT} }} operation {{ {OPERATION} }} {more} }} }}""",
            id=payment_id,
        )
        return told

    def read(self, payment_id: str) -> dict[str, Any]:
        """The payment."""
        document = f"query($id: String!) {{ told: payment(paymentId: $id) {{ {PAYMENT} }} }}"
        told: dict[str, Any] = self.told(document, id=payment_id)
        return told

    def refund(self, refund_id: str) -> dict[str, Any]:
        """The refund."""
        document = f"query($id: String!) {{ told: refund(refundId: $id) {{ {REFUND} }} }}"
        told: dict[str, Any] = self.told(document, id=refund_id)
        return told

    def page(
        self, payment_id: str, what: str, size: int, after: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of refunds or events, and where the next one starts."""
        told = self.told(
            f"""query($id: String!, $size: Int!, $after: String) {{ told: payment(paymentId: $id) {{
              {what}(first: $size, after: $after) {{
                edges {{ node {{ {LISTS[what]} }} }}
                pageInfo {{ hasNextPage endCursor }} }} }} }}""",
            id=payment_id,
            size=size,
            after=after,
        )[what]
        assert told["page_info"]["has_next_page"] == (told["page_info"]["end_cursor"] is not None)
        return [edge["node"] for edge in told["edges"]], told["page_info"]["end_cursor"]


def json_of(value: object) -> str:
    """A literal of GraphQL: what these tests pass is spelled as in JSON."""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


@pytest.fixture(params=[Rest, GraphQL])
def door(request: pytest.FixtureRequest, rest: httpx.Client, ask: Ask) -> Any:
    """Either door."""
    return request.param(rest, ask)


@pytest.fixture
def started(door: Any, create: Create) -> Callable[..., str]:
    """Creates and processes a payment of 10.00; returns its id."""

    def start(**fields: Any) -> str:
        payment_id: str = create(**fields)["payment_id"]
        door.act(payment_id, "process")
        return payment_id

    return start


Started = Callable[..., str]
MANUAL = {"capture_method": "manual"}


def test_a_hold_says_when_it_lapses(door: Any, started: Started) -> None:
    payment = door.read(started(**MANUAL))
    assert payment["status"] == "authorized"
    assert payment["authorization_expires_at"].endswith("Z")


def test_a_part_is_captured_and_more_may_follow(door: Any, started: Started) -> None:
    told = door.act(started(**MANUAL), "capture", amount="4.00")
    assert told["payment"]["status"] == "partially_captured"
    assert told["payment"]["amount_capturable"] == "6.00"
    assert (told["operation"]["kind"], told["operation"]["amount"]) == ("capture", "4.00")
    assert told["processed_at"].endswith("Z")


def test_a_final_capture_releases_the_rest(door: Any, started: Started) -> None:
    told = door.act(started(**MANUAL), "capture", amount="4.00", final=True)
    assert told["payment"]["status"] == "captured"
    assert told["payment"]["amount_voided"] == "6.00"


def test_a_cancellation_releases_what_is_held(door: Any, started: Started) -> None:
    told = door.act(started(**MANUAL), "cancel")
    assert (told["payment"]["status"], told["payment"]["amount_voided"]) == ("canceled", "10.00")


def test_a_challenge_says_what_the_customer_has_to_do(door: Any, create: Create) -> None:
    payment_id = create(payment_method="card_3ds")["payment_id"]
    told = door.act(payment_id, "process")
    assert told["payment"]["status"] == told["operation"]["status"] == "requires_action"
    assert told["payment"]["allowed_actions"] == ["cancel", "complete"]
    action = told["payment"]["next_action"]
    assert (action["type"], action["url"]) == ("challenge", "")
    assert action["expires_at"].endswith("Z")


@pytest.mark.parametrize("terms", [{}, {"result": "approved"}])
def test_a_challenge_that_is_met_goes_on(
    door: Any, started: Started, terms: dict[str, str]
) -> None:
    told = door.act(started(payment_method="card_3ds"), "complete", **terms)
    assert told["payment"]["status"] == "captured"
    assert told["payment"]["next_action"] is None
    assert told["operation"]["kind"] == "complete"


def test_a_challenge_that_is_refused_is_a_decline(door: Any, started: Started) -> None:
    told = door.act(started(payment_method="card_3ds"), "complete", result="refused")
    assert told["payment"]["status"] == "failed"
    assert told["payment"]["decline"]["code"] == "authentication_failed"


def test_a_refund_can_be_read_by_its_id(door: Any, started: Started) -> None:
    payment_id = started()
    told = door.act(payment_id, "refund", amount="2.50", reason="one of the books")
    refund = told["refund"]
    assert door.refund(refund["refund_id"]) == refund
    assert refund["refund_id"] == told["operation"]["operation_id"]
    assert refund["payment_id"] == payment_id
    assert (refund["amount"], refund["currency"]) == ("2.50", "USD")
    assert (refund["status"], refund["reason"]) == ("succeeded", "one of the books")
    assert told["payment"]["amount_refundable"] == "7.50"


def test_refunds_are_listed_newest_first_a_page_at_a_time(door: Any, started: Started) -> None:
    payment_id = started()
    made = [
        door.act(payment_id, "refund", amount=amount)["refund"]
        for amount in ("1.00", "2.00", "3.00")
    ]
    first, token = door.page(payment_id, "refunds", 2)
    second, end = door.page(payment_id, "refunds", 2, token)
    assert first + second == made[::-1]
    assert end is None


def test_events_are_listed_oldest_first_a_page_at_a_time(door: Any, started: Started) -> None:
    payment_id = started(**MANUAL)
    door.act(payment_id, "cancel")
    first, token = door.page(payment_id, "events", 3)
    second, end = door.page(payment_id, "events", 3, token)
    events = first + second
    assert end is None
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in events] == [
        "payment.created",
        "payment.authorization_started",
        "payment.authorized",
        "payment.cancel_started",
        "payment.canceled",
    ]
    assert [event["payment"]["version"] for event in events] == [1, 2, 3, 4, 5]
    assert {event["payment_id"] for event in events} == {payment_id}


def settled(door: Any, refund_id: str, status: str) -> dict[str, Any]:
    """The refund once it has this status."""
    give_up = time.monotonic() + SETTLING_LIMIT_SECONDS
    while (refund := door.refund(refund_id))["status"] != status:
        assert time.monotonic() < give_up, refund
        time.sleep(POLL_SECONDS)
    return dict(refund)


def test_a_refund_may_take_its_time(door: Any, started: Started) -> None:
    told = door.act(started(payment_method="card_refund_pending"), "refund", amount="4.00")
    assert told["refund"]["status"] == told["operation"]["status"] == "pending"
    assert told["payment"]["amount_refund_pending"] == "4.00"
    settled(door, told["refund"]["refund_id"], "succeeded")


def test_a_refund_may_fail_after_it_had_succeeded(door: Any, started: Started) -> None:
    payment_id = started(payment_method="card_refund_late_fail")
    told = door.act(payment_id, "refund")
    assert told["refund"]["status"] == "succeeded"
    assert settled(door, told["refund"]["refund_id"], "failed")["decline"] is not None
    assert door.read(payment_id)["status"] == "captured"


def test_a_pending_refund_is_accepted(rest: httpx.Client, create: Create) -> None:
    payment_id = create(payment_method="card_refund_pending")["payment_id"]
    rest.post(f"/api/payments/{payment_id}/process")
    assert rest.post(f"/api/payments/{payment_id}/refund").status_code == 202


def test_a_refund_replays(rest: httpx.Client, create: Create) -> None:
    payment_id = create()["payment_id"]
    rest.post(f"/api/payments/{payment_id}/process")
    path, key = f"/api/payments/{payment_id}/refund", {"Idempotency-Key": "k"}
    first, second = (rest.post(path, headers=key) for _ in range(2))
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"


def test_a_refund_replays_through_the_other_door(
    rest: httpx.Client, ask: Ask, create: Create
) -> None:
    payment_id = create()["payment_id"]
    rest.post(f"/api/payments/{payment_id}/process")
    terms = {"amount": "1", "reason": "why", "idempotency_key": "k"}
    by_rest = rest.post(f"/api/payments/{payment_id}/refund", json=terms).json()
    document = f"""mutation($id: String!) {{
      told: refundPayment(paymentId: $id, amount: "1.00", reason: "why", idempotencyKey: "k") {{
        processedAt refund {{ {REFUND} }} }} }}"""
    answer = ask(document, {"id": payment_id})
    assert answer.headers["idempotency-replayed"] == "true"
    told = snake(answer.json()["data"]["told"])
    assert told == {"processed_at": by_rest["processed_at"], "refund": by_rest["refund"]}


@pytest.mark.parametrize("expires_at", ["2126-01-01T00:00:00Z", "2126-01-01T02:00:00+02:00"])
def test_a_payment_may_have_a_deadline(create: Create, ask: Ask, expires_at: str) -> None:
    document = """mutation($at: String) { createPayment(payload: {
      amount: "1", customerId: "a", expiresAt: $at}) { expiresAt } }"""
    by_graphql = ask(document, {"at": expires_at}).json()["data"]["createPayment"]["expiresAt"]
    by_rest = create(expires_at=expires_at)["expires_at"]
    assert by_graphql == by_rest == "2126-01-01T00:00:00.000Z"
