"""ProcessPayment over gRPC: every action, and what each status refuses."""

import grpc
import pytest
from service_under_test import Servers, refusal

from payment.v1 import payment_pb2 as pb
from payment_server.domain.payment import REFUSALS, YES, Action, Status

MANUAL = {"capture_method": pb.CAPTURE_METHOD_MANUAL}


async def test_process_authorizes_and_captures_as_one_operation(servers: Servers) -> None:
    created = await servers.created()
    answer = await servers.process(created.payment_id)
    assert (answer.status, answer.payment.version) == ("captured", 3)
    assert answer.operation.kind == pb.OPERATION_KIND_AUTHORIZE
    assert answer.operation.status == pb.OPERATION_STATUS_SUCCEEDED
    assert answer.payment.amount_captured == "10.00"


async def test_the_empty_action_is_process(servers: Servers) -> None:
    created = await servers.created(**MANUAL)
    assert (await servers.process(created.payment_id, "")).status == "authorized"


async def test_capture_of_a_created_payment_is_one_operation_too(servers: Servers) -> None:
    created = await servers.created(**MANUAL)
    answer = await servers.process(created.payment_id, "capture")
    assert (answer.status, answer.payment.attempts) == ("captured", 1)
    assert answer.operation.kind == pb.OPERATION_KIND_AUTHORIZE


async def test_a_decline_is_a_successful_call(servers: Servers) -> None:
    created = await servers.created(payment_method="decline:insufficient_funds")
    answer = await servers.process(created.payment_id)
    assert answer.status == "failed"
    assert answer.payment.decline.code == "insufficient_funds"
    assert answer.payment.decline.network_code == "51"
    assert answer.payment.decline.advice == pb.DECLINE_ADVICE_LATER
    assert answer.operation.status == pb.OPERATION_STATUS_FAILED


async def test_a_new_attempt_may_name_another_method(servers: Servers) -> None:
    created = await servers.created(payment_method="decline:lost_card")
    await servers.process(created.payment_id)
    failed = await refusal(servers.process(created.payment_id))
    assert failed.reason == "PAYMENT_METHOD_REFUSED"
    answer = await servers.process(created.payment_id, payment_method="card_visa")
    assert (answer.status, answer.payment.payment_method) == ("captured", "card_visa")
    assert not answer.payment.HasField("decline")


async def test_authorize_capture_and_refund_in_steps(servers: Servers) -> None:
    payment_id = (await servers.created(amount="1000", currency="JPY")).payment_id
    assert (await servers.process(payment_id, "authorize")).payment.amount_capturable == "1000"
    part = await servers.process(payment_id, "capture", amount="300")
    assert (part.status, part.payment.amount_capturable) == ("partially_captured", "700")
    rest = await servers.process(payment_id, "cancel")
    assert (rest.status, rest.payment.amount_voided) == ("captured", "700")
    some = await servers.process(payment_id, "refund", amount="100")
    assert (some.status, some.payment.amount_refundable) == ("partially_refunded", "200")
    all_ = await servers.process(payment_id, "refund")
    assert (all_.status, all_.payment.amount_refunded) == ("refunded", "300")
    assert list(all_.payment.allowed_actions) == []


async def test_cancel_of_an_authorized_payment_releases_the_hold(servers: Servers) -> None:
    created = await servers.created()
    await servers.process(created.payment_id, "authorize")
    answer = await servers.process(created.payment_id, "cancel")
    assert (answer.status, answer.payment.amount_voided) == ("canceled", "10.00")


async def test_cancel_of_a_created_payment_needs_no_processor(servers: Servers) -> None:
    created = await servers.created()
    answer = await servers.process(created.payment_id, "cancel")
    assert (answer.status, answer.payment.version) == ("canceled", 2)


async def test_more_than_is_left_names_the_limit(servers: Servers) -> None:
    payment_id = (await servers.created()).payment_id
    await servers.process(payment_id, "authorize")
    failed = await refusal(servers.process(payment_id, "capture", amount="10.01"))
    assert failed.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failed.reason == "AMOUNT_EXCEEDS_CAPTURABLE"
    assert failed.metadata["limit"] == "10.00"
    await servers.process(payment_id, "capture")
    failed = await refusal(servers.process(payment_id, "refund", amount="10.01"))
    assert (failed.reason, failed.metadata["limit"]) == ("AMOUNT_EXCEEDS_REFUNDABLE", "10.00")


STEPS_TO = {
    Status.CREATED: (),
    Status.REQUIRES_ACTION: (("process", ""),),
    Status.AUTHORIZED: (("authorize", ""),),
    Status.PARTIALLY_CAPTURED: (("authorize", ""), ("capture", "1")),
    Status.CAPTURED: (("process", ""),),
    Status.PARTIALLY_REFUNDED: (("process", ""), ("refund", "1")),
    Status.REFUNDED: (("process", ""), ("refund", "")),
    Status.FAILED: (("process", ""),),
    Status.CANCELED: (("cancel", ""),),
}


@pytest.mark.parametrize("status", STEPS_TO)
async def test_every_refused_cell_has_its_reason(servers: Servers, status: Status) -> None:
    methods = {Status.FAILED: "decline:do_not_honor", Status.REQUIRES_ACTION: "card_3ds"}
    method = methods.get(status, "card")
    payment_id = (await servers.created(payment_method=method)).payment_id
    for action, amount in STEPS_TO[status]:
        await servers.process(payment_id, action, amount=amount)
    for action in Action:
        if REFUSALS[status, action] == YES:
            continue
        failed = await refusal(servers.ask(payment_id, action))
        assert failed.code is grpc.StatusCode.FAILED_PRECONDITION
        assert failed.reason == REFUSALS[status, action]
        assert failed.metadata["status"] == status
        assert "PreconditionFailure" in failed.details
    read = await servers.stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))
    assert read.status == status


async def test_a_stale_version_is_refused_before_the_status(servers: Servers) -> None:
    created = await servers.created()
    await servers.process(created.payment_id)
    failed = await refusal(servers.process(created.payment_id, expected_version=1))
    assert (failed.code, failed.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert failed.metadata == {"expected_version": "1", "version": "3"}


async def test_the_same_key_gives_the_first_answer_after_the_payment_moved_on(
    servers: Servers,
) -> None:
    created = await servers.created()
    first = await servers.process(created.payment_id, idempotency_key="k")
    await servers.process(created.payment_id, "refund")
    assert await servers.process(created.payment_id, "process", idempotency_key="k") == first


async def test_a_key_of_another_action_is_refused(servers: Servers) -> None:
    created = await servers.created()
    await servers.process(created.payment_id, idempotency_key="k")
    failed = await refusal(servers.process(created.payment_id, "refund", idempotency_key="k"))
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_key_of_a_creation_is_refused(servers: Servers) -> None:
    created = await servers.created(idempotency_key="k")
    failed = await refusal(servers.process(created.payment_id, idempotency_key="k"))
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_refusal_does_not_bind_its_key(servers: Servers) -> None:
    created = await servers.created()
    await refusal(servers.process(created.payment_id, "refund", idempotency_key="k"))
    await servers.process(created.payment_id)
    assert (
        await servers.process(created.payment_id, "refund", idempotency_key="k")
    ).status == "refunded"


async def test_a_decline_binds_its_key(servers: Servers) -> None:
    created = await servers.created(payment_method="decline:processing_error")
    first = await servers.process(created.payment_id, idempotency_key="k")
    assert await servers.process(created.payment_id, idempotency_key="k") == first


async def test_another_merchants_payment_does_not_exist(servers: Servers) -> None:
    created = await servers.created()
    failed = await refusal(
        servers.process(created.payment_id, metadata=(("x-merchant-id", "other"),))
    )
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")


async def test_the_spelling_of_an_id_does_not_change_a_keys_meaning(servers: Servers) -> None:
    created = await servers.created()
    first = await servers.process(created.payment_id, idempotency_key="k")
    assert await servers.process(created.payment_id.upper(), idempotency_key="k") == first


async def test_two_keys_in_the_metadata_are_refused(servers: Servers) -> None:
    created = await servers.created()
    keys = (("idempotency-key", "a"), ("idempotency-key", "b"))
    failed = await refusal(servers.process(created.payment_id, metadata=keys))
    assert failed.fields == ["idempotency_key"]
