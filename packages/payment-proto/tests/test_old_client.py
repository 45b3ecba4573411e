"""Clients compiled from the first contract work on, byte for byte, against the service of today."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from payment.v1 import payment_pb2

if TYPE_CHECKING:
    from conftest import OldContract

Call = Callable[..., Any]
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)


@pytest.fixture
def call(old_contract: "OldContract", service: str) -> Call:
    """Calls a method of the running service with the old client."""
    return lambda method, **fields: old_contract.call(service, method, **fields)


@pytest.fixture
def payment_id(call: Call) -> str:
    """A payment that was just created."""
    created = call(
        "CreatePayment",
        amount="10.00",
        currency="USD",
        customer_id="cust123",
        payment_method="card",
        metadata={"order": "42"},
    )
    assert isinstance(created.payment_id, str)
    return created.payment_id


def test_every_old_field_has_its_name_number_and_type(old_contract: "OldContract") -> None:
    today = payment_pb2.DESCRIPTOR.services_by_name["PaymentService"]
    for method in old_contract.service.methods:
        for side in ("input_type", "output_type"):
            old = getattr(method, side)
            new = getattr(today.methods_by_name[method.name], side)
            assert old.full_name == new.full_name
            assert facts(old.fields) <= facts(new.fields)


def facts(fields: Any) -> set[tuple[object, ...]]:
    return {(field.name, field.number, field.type, field.is_repeated) for field in fields}


def test_create_says_id_status_and_time(call: Call) -> None:
    created = call("CreatePayment", amount="10.00", customer_id="cust123")
    assert created.payment_id
    assert created.status == "created"
    assert UTC_TIME.fullmatch(created.created_at)


def test_what_was_created_reads_back(call: Call, payment_id: str) -> None:
    read = call("GetPayment", payment_id=payment_id)
    assert read.payment_id == payment_id
    assert (read.amount, read.currency, read.status) == ("10.00", "USD", "created")
    assert UTC_TIME.fullmatch(read.created_at)


def test_capture_takes_the_money(call: Call, payment_id: str) -> None:
    captured = call("ProcessPayment", payment_id=payment_id, action="capture")
    assert (captured.payment_id, captured.status) == (payment_id, "captured")
    assert UTC_TIME.fullmatch(captured.processed_at)


def test_refund_gives_it_back(call: Call, payment_id: str) -> None:
    call("ProcessPayment", payment_id=payment_id, action="capture")
    refunded = call("ProcessPayment", payment_id=payment_id, action="refund")
    assert refunded.status == "refunded"
    assert call("GetPayment", payment_id=payment_id).status == "refunded"


def test_an_empty_action_runs_the_payment_to_its_end(call: Call, payment_id: str) -> None:
    assert call("ProcessPayment", payment_id=payment_id).status == "captured"


def test_the_service_is_healthy(call: Call) -> None:
    health = call("HealthCheck")
    assert health.status == "healthy"
    assert UTC_TIME.fullmatch(health.timestamp)


def test_a_bad_amount_is_an_invalid_argument(call: Call) -> None:
    refused = refusal(call, "CreatePayment", amount="-1", customer_id="cust123")
    assert refused is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_action_is_an_invalid_argument(call: Call, payment_id: str) -> None:
    refused = refusal(call, "ProcessPayment", payment_id=payment_id, action="fly")
    assert refused is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_payment_is_not_found(call: Call) -> None:
    unknown = "019ab000-0000-7000-8000-000000000000"
    assert refusal(call, "GetPayment", payment_id=unknown) is grpc.StatusCode.NOT_FOUND


def test_a_refund_before_any_capture_is_a_failed_precondition(call: Call, payment_id: str) -> None:
    refused = refusal(call, "ProcessPayment", payment_id=payment_id, action="refund")
    assert refused is grpc.StatusCode.FAILED_PRECONDITION


def refusal(call: Call, method: str, **fields: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call(method, **fields)
    error: Any = caught.value
    code = error.code()
    assert isinstance(code, grpc.StatusCode)
    return code
