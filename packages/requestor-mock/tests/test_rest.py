"""Payments over REST, from creation to refund."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from payment_client import OperationKind, OperationStatus
from requestor_mock.rest import status_code_of
from requestor_mock.shapes import Operation

Create = Callable[..., dict[str, Any]]


def act(rest: httpx.Client, payment: dict[str, Any], step: str, **body: Any) -> httpx.Response:
    return rest.post(f"/api/payments/{payment['payment_id']}/{step}", json=body or None)


def test_what_was_given_is_shown(create: Create) -> None:
    given = {"description": "two books", "metadata": {"order": "7"}, "capture_method": "manual"}
    assert create(**given).items() >= given.items()


def test_amounts_have_the_digits_of_their_currency(create: Create) -> None:
    shown = {code: create(amount="7", currency=code)["amount"] for code in ("USD", "JPY", "KWD")}
    assert shown == {"USD": "7.00", "JPY": "7", "KWD": "7.000"}


def test_process_captures(rest: httpx.Client, create: Create) -> None:
    answer = act(rest, create(), "process")
    told = answer.json()
    assert (answer.status_code, told["success"]) == (200, True)
    assert (told["data"]["status"], told["data"]["amount_captured"]) == ("captured", "10.00")
    assert told["operation"]["status"] == "succeeded"
    assert told["processed_at"].endswith("Z")


def test_process_authorizes_where_capture_is_manual(rest: httpx.Client, create: Create) -> None:
    told = act(rest, create(capture_method="manual"), "process").json()
    assert told["data"]["status"] == "authorized"


def test_process_takes_an_action(rest: httpx.Client, create: Create) -> None:
    told = act(rest, create(), "process", action="authorize").json()
    assert told["data"]["status"] == "authorized"


def test_capture_captures_what_is_held(rest: httpx.Client, create: Create) -> None:
    payment = create(capture_method="manual")
    act(rest, payment, "process")
    assert act(rest, payment, "capture").json()["data"]["status"] == "captured"


def test_cancel_cancels(rest: httpx.Client, create: Create) -> None:
    assert act(rest, create(), "cancel").json()["data"]["status"] == "canceled"


def test_refund_refunds(rest: httpx.Client, create: Create) -> None:
    payment = create()
    act(rest, payment, "process")
    told = act(rest, payment, "refund").json()
    assert (told["data"]["status"], told["data"]["amount_refunded"]) == ("refunded", "10.00")


def test_a_decline_is_a_success_with_a_failed_payment(rest: httpx.Client, create: Create) -> None:
    payment = create(payment_method="decline:insufficient_funds")
    answer = act(rest, payment, "process")
    told = answer.json()
    assert (answer.status_code, told["success"]) == (200, True)
    assert told["data"]["status"] == "failed"
    assert told["data"]["decline"]["code"] == "insufficient_funds"


def test_another_payment_method_can_be_tried_after_a_decline(
    rest: httpx.Client, create: Create
) -> None:
    payment = create(payment_method="decline:insufficient_funds")
    act(rest, payment, "process")
    told = act(rest, payment, "process", payment_method="card_visa").json()
    assert (told["data"]["status"], told["data"]["attempts"]) == ("captured", 2)


def test_the_list_has_the_newest_first(rest: httpx.Client, create: Create) -> None:
    made = [create()["payment_id"] for _ in range(3)]
    told = rest.get("/api/payments").json()
    assert [each["payment_id"] for each in told["data"]] == made[::-1]
    assert (told["success"], told["next_page_token"]) == (True, "")


def test_the_list_goes_on_at_its_token(rest: httpx.Client, create: Create) -> None:
    made = [create()["payment_id"] for _ in range(3)]
    first = rest.get("/api/payments", params={"page_size": 2}).json()
    token = first["next_page_token"]
    second = rest.get("/api/payments", params={"page_size": 2, "page_token": token}).json()
    assert [each["payment_id"] for each in first["data"] + second["data"]] == made[::-1]
    assert second["next_page_token"] == ""


def test_the_list_is_filtered(rest: httpx.Client, create: Create) -> None:
    wanted = create(customer_id="ann")
    create(customer_id="bob")
    act(rest, wanted, "cancel")
    create(customer_id="ann")
    filters = {"customer_id": "ann", "status": "canceled", "created_from": wanted["created_at"]}
    told = rest.get("/api/payments", params=filters).json()
    assert [each["payment_id"] for each in told["data"]] == [wanted["payment_id"]]


def test_the_list_is_filtered_by_metadata(rest: httpx.Client, create: Create) -> None:
    wanted = create(metadata={"order": "7", "note": ""})
    create(metadata={"order": "7"})
    create(metadata={"note": ""})
    told = rest.get("/api/payments", params={"metadata[order]": "7", "metadata[note]": ""}).json()
    assert [each["payment_id"] for each in told["data"]] == [wanted["payment_id"]]


def test_the_list_is_filtered_by_time(rest: httpx.Client, create: Create) -> None:
    made = [create() for _ in range(3)]
    times = {"created_from": made[1]["created_at"], "created_before": made[2]["created_at"]}
    told = rest.get("/api/payments", params=times).json()
    assert [each["payment_id"] for each in told["data"]] == [made[1]["payment_id"]]


@pytest.mark.parametrize("lists", ["", "/{payment_id}/refunds", "/{payment_id}/events"])
def test_a_page_of_size_zero_has_the_default(
    rest: httpx.Client, create: Create, lists: str
) -> None:
    path = f"/api/payments{lists.format_map(create())}"
    assert rest.get(path, params={"page_size": 0}).json() == rest.get(path).json()


def test_a_merchant_sees_its_own_payments_only(rest: httpx.Client, create: Create) -> None:
    payment = create()
    answer = rest.get(f"/api/payments/{payment['payment_id']}", headers={"X-Merchant-Id": "other"})
    assert (answer.status_code, answer.json()["reason"]) == (404, "PAYMENT_NOT_FOUND")


def test_the_callers_request_id_comes_back(rest: httpx.Client) -> None:
    answer = rest.get("/api/payments/nothing", headers={"X-Request-Id": "mine-1"})
    assert (answer.headers["x-request-id"], answer.json()["request_id"]) == ("mine-1", "mine-1")


@pytest.mark.parametrize("sent", [{}, {"X-Request-Id": "two words"}, {"X-Request-Id": "x" * 129}])
def test_every_answer_has_a_request_id(rest: httpx.Client, sent: dict[str, str]) -> None:
    answer = rest.get("/api/payments", headers=sent)
    assert len(answer.headers["x-request-id"]) == 36


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (OperationStatus.PENDING, 202),
        (OperationStatus.SUCCEEDED, 200),
        (OperationStatus.FAILED, 200),
    ],
)
def test_a_pending_operation_is_accepted(status: OperationStatus, expected: int) -> None:
    operation = Operation(
        operation_id="1",
        kind=OperationKind.CAPTURE,
        status=status,
        amount="10.00",
        decline=None,
        created_at="2026-01-01T00:00:00Z",
        settled_at=None,
    )
    assert status_code_of(operation) == expected


def test_a_call_without_operation_is_done() -> None:
    assert status_code_of(None) == 200
