"""What both clients do at the real service with holds, challenges, refunds and events."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from payment_client import (
    Action,
    AmountTooLarge,
    CaptureMethod,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidRequest,
    OperationKind,
    OperationStatus,
    Payment,
    PaymentNotFound,
    PaymentStatus,
    RefundNotFound,
    RefundStatus,
    VersionMismatch,
)

if TYPE_CHECKING:
    from conftest import Twin

NOBODYS = "019ab000-0000-7000-8000-000000000000"
SETTLE_LIMIT_SECONDS = 15
"""Many times what the sandbox and the service's workers need."""


async def held(twin: "Twin", **arguments: object) -> Payment:
    """A payment of 10.00 that is authorized."""
    created = await twin.create(capture_method=CaptureMethod.MANUAL, **arguments)
    return (await twin.process(created.payment_id)).payment


async def captured(twin: "Twin", **arguments: object) -> Payment:
    """A payment of 10.00 that is captured."""
    return (await twin.process((await twin.create(**arguments)).payment_id)).payment


async def challenged(twin: "Twin") -> Payment:
    """A payment whose customer has to act."""
    return await captured(twin, payment_method="card_3ds")


class TestCapture:
    async def test_all_that_is_held_is_taken(self, twin: "Twin") -> None:
        done = await twin.capture((await held(twin)).payment_id)
        assert done.payment.status is PaymentStatus.CAPTURED
        assert (done.operation.kind, done.operation.amount) == (
            OperationKind.CAPTURE,
            Decimal("10.00"),
        )

    async def test_it_was_processed_when_the_operation_was_settled(self, twin: "Twin") -> None:
        done = await twin.capture((await held(twin)).payment_id)
        assert done.processed_at == done.operation.settled_at

    async def test_a_part_leaves_the_rest_held(self, twin: "Twin") -> None:
        done = await twin.capture((await held(twin)).payment_id, amount="2.50")
        assert done.payment.status is PaymentStatus.PARTIALLY_CAPTURED
        assert done.payment.amount_capturable == Decimal("7.50")

    async def test_a_final_part_releases_the_rest(self, twin: "Twin") -> None:
        done = await twin.capture((await held(twin)).payment_id, amount="2.50", final=True)
        assert done.payment.status is PaymentStatus.CAPTURED
        assert done.payment.amount_voided == Decimal("7.50")

    async def test_nothing_is_taken_where_nothing_is_held(self, twin: "Twin") -> None:
        created = await twin.create()
        with pytest.raises(IllegalTransition) as caught:
            await twin.capture(created.payment_id)
        assert (caught.value.reason, caught.value.status) == (
            "NOT_AUTHORIZED",
            PaymentStatus.CREATED,
        )

    async def test_more_than_is_held_is_refused_with_the_limit(self, twin: "Twin") -> None:
        payment = await held(twin)
        with pytest.raises(AmountTooLarge) as caught:
            await twin.capture(payment.payment_id, amount="10.01")
        assert caught.value.limit == Decimal("10.00")

    async def test_the_same_key_captures_once(self, twin: "Twin") -> None:
        payment = await held(twin)
        first = await twin.capture(payment.payment_id, amount=1, idempotency_key="take")
        again = await twin.capture(payment.payment_id, amount="1.00", idempotency_key="take")
        assert again == first
        assert (first.call.replayed, again.call.replayed) == (False, True)

    async def test_the_same_key_for_another_amount_is_refused(self, twin: "Twin") -> None:
        payment = await held(twin)
        await twin.capture(payment.payment_id, amount=1, idempotency_key="take")
        with pytest.raises(IdempotencyKeyReused):
            await twin.capture(payment.payment_id, amount=2, idempotency_key="take")

    async def test_a_capture_that_fails_leaves_the_hold(self, twin: "Twin") -> None:
        done = await twin.capture(
            (await held(twin, payment_method="card_capture_fails")).payment_id
        )
        assert done.payment.status is PaymentStatus.AUTHORIZED
        assert done.operation.status is OperationStatus.FAILED
        assert done.operation.decline is not None

    async def test_a_stale_version_takes_nothing(self, twin: "Twin") -> None:
        payment = await held(twin)
        with pytest.raises(VersionMismatch):
            await twin.capture(payment.payment_id, expected_version=1)
        assert await twin.get(payment.payment_id) == payment


class TestCancel:
    async def test_a_hold_is_released(self, twin: "Twin") -> None:
        done = await twin.cancel((await held(twin)).payment_id)
        assert (done.payment.status, done.payment.amount_voided) == (
            PaymentStatus.CANCELED,
            Decimal("10.00"),
        )
        assert done.operation.kind is OperationKind.CANCEL

    async def test_the_rest_of_a_hold_is_released(self, twin: "Twin") -> None:
        payment = await held(twin)
        await twin.capture(payment.payment_id, amount="2.50")
        done = await twin.cancel(payment.payment_id)
        assert done.payment.status is PaymentStatus.CAPTURED
        assert done.payment.amount_captured == Decimal("2.50")

    async def test_the_same_key_cancels_once(self, twin: "Twin") -> None:
        payment = await held(twin)
        first = await twin.cancel(payment.payment_id, idempotency_key="stop")
        again = await twin.cancel(payment.payment_id, idempotency_key="stop")
        assert again == first
        assert again.call.replayed

    async def test_what_is_captured_cannot_be_canceled(self, twin: "Twin") -> None:
        payment = await captured(twin)
        with pytest.raises(IllegalTransition) as caught:
            await twin.cancel(payment.payment_id)
        assert caught.value.reason == "ALREADY_CAPTURED"


class TestComplete:
    async def test_a_challenge_says_what_to_do_until_when(self, twin: "Twin") -> None:
        created = await twin.create(payment_method="card_3ds")
        done = await twin.process(created.payment_id)
        action = done.payment.next_action
        assert done.payment.status is PaymentStatus.REQUIRES_ACTION
        assert done.operation.status is OperationStatus.REQUIRES_ACTION
        assert action is not None
        assert action.type == "challenge"
        assert action.expires_at > datetime.now(UTC)

    async def test_a_completed_challenge_goes_on_to_the_end(self, twin: "Twin") -> None:
        done = await twin.complete((await challenged(twin)).payment_id)
        assert (done.payment.status, done.payment.next_action) == (PaymentStatus.CAPTURED, None)
        assert done.operation.kind is OperationKind.COMPLETE

    async def test_a_refused_challenge_is_a_decline(self, twin: "Twin") -> None:
        done = await twin.complete((await challenged(twin)).payment_id, result="refused")
        assert done.payment.status is PaymentStatus.FAILED
        assert done.payment.decline is not None
        assert done.payment.decline.code == "authentication_failed"

    async def test_the_same_key_completes_once(self, twin: "Twin") -> None:
        payment = await challenged(twin)
        first = await twin.complete(payment.payment_id, idempotency_key="go-on")
        again = await twin.complete(payment.payment_id, idempotency_key="go-on")
        assert again == first
        assert again.call.replayed

    async def test_where_nothing_was_asked_nothing_is_completed(self, twin: "Twin") -> None:
        created = await twin.create()
        with pytest.raises(IllegalTransition) as caught:
            await twin.complete(created.payment_id)
        assert caught.value.reason == "ACTION_NOT_REQUIRED"

    async def test_a_result_that_the_processor_does_not_know_is_invalid(self, twin: "Twin") -> None:
        payment = await challenged(twin)
        with pytest.raises(InvalidRequest) as caught:
            await twin.complete(payment.payment_id, result="perhaps")
        assert caught.value.violations[0].field == "result"


class TestRefund:
    async def test_a_part_is_given_back(self, twin: "Twin") -> None:
        payment = await captured(twin)
        done = await twin.refund(payment.payment_id, amount="2.50", reason="one was broken")
        refund = done.refund
        assert done.payment.status is PaymentStatus.PARTIALLY_REFUNDED
        assert (refund.amount, refund.currency) == (Decimal("2.50"), "USD")
        assert (refund.status, refund.reason) == (RefundStatus.SUCCEEDED, "one was broken")
        assert refund.refund_id == done.operation.operation_id
        assert refund.payment_id == payment.payment_id

    async def test_all_is_given_back_without_an_amount(self, twin: "Twin") -> None:
        done = await twin.refund((await captured(twin)).payment_id)
        assert done.payment.status is PaymentStatus.REFUNDED

    async def test_a_refund_is_read_as_it_was_answered(self, twin: "Twin") -> None:
        done = await twin.refund((await captured(twin)).payment_id)
        assert await twin.get_refund(done.refund.refund_id) == done.refund

    async def test_the_same_key_refunds_once(self, twin: "Twin") -> None:
        payment = await captured(twin)
        first = await twin.refund(payment.payment_id, amount=1, idempotency_key="back")
        again = await twin.refund(payment.payment_id, amount=1, idempotency_key="back")
        assert again == first
        assert again.call.replayed
        assert (await twin.get(payment.payment_id)).amount_refunded == Decimal("1.00")

    async def test_more_than_was_captured_is_refused_with_the_limit(self, twin: "Twin") -> None:
        payment = await captured(twin)
        with pytest.raises(AmountTooLarge) as caught:
            await twin.refund(payment.payment_id, amount="10.01")
        assert (caught.value.reason, caught.value.limit) == (
            "AMOUNT_EXCEEDS_REFUNDABLE",
            Decimal("10.00"),
        )

    async def test_an_open_capture_makes_refunds_wait(self, twin: "Twin") -> None:
        payment = await held(twin)
        await twin.capture(payment.payment_id, amount=1)
        with pytest.raises(IllegalTransition) as caught:
            await twin.refund(payment.payment_id)
        assert caught.value.reason == "CAPTURE_NOT_FINAL"

    async def test_a_refund_that_takes_its_time_succeeds_later(self, twin: "Twin") -> None:
        payment = await captured(twin, payment_method="card_refund_pending")
        done = await twin.refund(payment.payment_id)
        assert done.refund.status is RefundStatus.PENDING
        assert done.payment.amount_refund_pending == Decimal("10.00")
        await becomes(twin, done.refund.refund_id, RefundStatus.SUCCEEDED)

    async def test_a_refund_that_had_succeeded_may_fail_later(self, twin: "Twin") -> None:
        payment = await captured(twin, payment_method="card_refund_late_fail")
        done = await twin.refund(payment.payment_id)
        assert done.refund.status is RefundStatus.SUCCEEDED
        await becomes(twin, done.refund.refund_id, RefundStatus.FAILED)
        assert (await twin.get_refund(done.refund.refund_id)).decline is not None

    async def test_an_unknown_refund_is_not_found(self, twin: "Twin") -> None:
        with pytest.raises(RefundNotFound) as caught:
            await twin.get_refund(NOBODYS)
        assert (caught.value.reason, caught.value.http_status) == ("REFUND_NOT_FOUND", 404)

    async def test_anothers_refund_is_not_found(self, twin: "Twin") -> None:
        done = await twin.refund((await captured(twin)).payment_id)
        with pytest.raises(RefundNotFound):
            await twin.get_refund(done.refund.refund_id, headers={"x-merchant-id": "somebody-else"})


async def becomes(twin: "Twin", refund_id: str, status: RefundStatus) -> None:
    """Returns when the refund has the status."""
    give_up = time.monotonic() + SETTLE_LIMIT_SECONDS
    while (await twin.get_refund(refund_id)).status is not status:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


class TestRefunds:
    async def test_all_pages_have_all_refunds_newest_first(self, twin: "Twin") -> None:
        payment = await captured(twin)
        done = [await twin.refund(payment.payment_id, amount=1) for _ in range(3)]
        expected = [each.refund for each in reversed(done)]
        assert await twin.refunds(payment.payment_id, page_size=2) == expected

    async def test_a_payment_without_refunds_has_none(self, twin: "Twin") -> None:
        assert await twin.refunds((await captured(twin)).payment_id) == []

    async def test_of_an_unknown_payment_there_are_none_to_list(self, twin: "Twin") -> None:
        with pytest.raises(PaymentNotFound):
            await twin.refunds(NOBODYS)


class TestEvents:
    async def test_every_change_has_its_event_with_the_payment_after_it(self, twin: "Twin") -> None:
        created = await twin.create(capture_method=CaptureMethod.MANUAL)
        await twin.process(created.payment_id)
        done = await twin.process(created.payment_id, Action.CAPTURE)
        events = await twin.events(created.payment_id)
        assert [event.type for event in events] == [
            "payment.created",
            "payment.authorization_started",
            "payment.authorized",
            "payment.capture_started",
            "payment.captured",
        ]
        assert [event.version for event in events] == [1, 2, 3, 4, 5]
        assert (events[0].payment, events[-1].payment) == (created, done.payment)

    async def test_all_pages_have_all_events_oldest_first(self, twin: "Twin") -> None:
        payment = await captured(twin)
        events = await twin.events(payment.payment_id, page_size=1)
        assert events == await twin.events(payment.payment_id)
        assert [event.version for event in events] == list(range(1, payment.version + 1))

    async def test_of_an_unknown_payment_there_are_none_to_list(self, twin: "Twin") -> None:
        with pytest.raises(PaymentNotFound):
            await twin.events(NOBODYS)


class TestDeadlines:
    async def test_a_deadline_comes_back(self, twin: "Twin") -> None:
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
        assert (await twin.create(expires_at=until)).expires_at == until

    async def test_a_deadline_that_has_passed_ends_the_payment(self, twin: "Twin") -> None:
        payment = await twin.create(expires_at=datetime.now(UTC) - timedelta(days=1))
        with pytest.raises(IllegalTransition) as caught:
            await twin.process(payment.payment_id)
        assert caught.value.reason == "PAYMENT_EXPIRED"

    async def test_a_hold_says_when_it_lapses(self, twin: "Twin") -> None:
        payment = await held(twin)
        assert payment.authorization_expires_at is not None
        assert payment.authorization_expires_at > datetime.now(UTC)

    async def test_what_holds_nothing_does_not_lapse(self, twin: "Twin") -> None:
        assert (await captured(twin)).authorization_expires_at is None


async def test_an_authorization_that_is_not_known_yet_is_found_out(twin: "Twin") -> None:
    created = await twin.create(payment_method="card_timeout")
    done = await twin.process(created.payment_id)
    assert done.payment.status is PaymentStatus.PROCESSING
    assert (done.operation.status, done.operation.settled_at) == (OperationStatus.PENDING, None)
    give_up = time.monotonic() + SETTLE_LIMIT_SECONDS
    while (await twin.get(created.payment_id)).status is not PaymentStatus.CAPTURED:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)
