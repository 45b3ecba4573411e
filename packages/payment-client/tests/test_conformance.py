"""What both clients do at the real service: one suite, each test at each client."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from payment_client import (
    Action,
    AmountTooLarge,
    CaptureMethod,
    CardDataRejected,
    Decline,
    DeclineAdvice,
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidRequest,
    OperationKind,
    OperationStatus,
    PaymentClient,
    PaymentNotFound,
    PaymentStatus,
    ResourceExhausted,
    VersionMismatch,
)

if TYPE_CHECKING:
    from conftest import Twin


class TestCreate:
    async def test_a_new_payment_is_created_and_nothing_has_moved(self, twin: "Twin") -> None:
        payment = await twin.create(amount="10.00")
        assert payment.status is PaymentStatus.CREATED
        assert (payment.amount, payment.amount_authorized) == (Decimal("10.00"), Decimal("0.00"))
        assert (payment.version, payment.attempts, payment.decline) == (1, 0, None)

    async def test_what_is_told_comes_back(self, twin: "Twin", merchant_id: str) -> None:
        payment = await twin.create(
            amount=Decimal("1.5"),
            currency="eur",
            customer_id="cust-ä",
            payment_method="card_visa",
            capture_method=CaptureMethod.MANUAL,
            description="Two tickets",
            metadata={"order": "42"},
        )
        assert payment.merchant_id == merchant_id
        assert (str(payment.amount), payment.currency) == ("1.50", "EUR")
        assert (payment.customer_id, payment.payment_method) == ("cust-ä", "card_visa")
        assert payment.capture_method is CaptureMethod.MANUAL
        assert (payment.description, payment.metadata) == ("Two tickets", {"order": "42"})

    async def test_defaults_are_dollars_by_card_captured_at_once(self, twin: "Twin") -> None:
        payment = await twin.create()
        assert (payment.currency, payment.payment_method) == ("USD", "card")
        assert payment.capture_method is CaptureMethod.AUTOMATIC

    @pytest.mark.parametrize(
        ("currency", "amount", "shown"),
        [("JPY", 1000, "1000"), ("KWD", "1", "1.000"), ("USD", Decimal("1E+1"), "10.00")],
    )
    async def test_an_amount_has_all_decimals_of_its_currency(
        self, twin: "Twin", currency: str, amount: Decimal | str | int, shown: str
    ) -> None:
        assert str((await twin.create(amount=amount, currency=currency)).amount) == shown

    async def test_times_are_aware_and_of_now(self, twin: "Twin") -> None:
        payment = await twin.create()
        assert payment.created_at.tzinfo is UTC
        assert abs(datetime.now(UTC) - payment.created_at) < timedelta(minutes=1)

    async def test_all_that_is_wrong_is_told_at_once(self, twin: "Twin") -> None:
        with pytest.raises(InvalidRequest) as caught:
            await twin.create(amount="-1", customer_id="", currency="XXX")
        fields = {violation.field for violation in caught.value.violations}
        assert fields == {"amount", "customer_id", "currency"}

    @pytest.mark.parametrize("amount", ["0", "1.005", "1e5", "", Decimal("NaN"), -1, " 1"])
    async def test_what_is_no_amount_is_refused(
        self, twin: "Twin", amount: Decimal | str | int
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await twin.create(amount=amount)
        assert caught.value.violations[0].field == "amount"

    async def test_a_float_is_refused_before_it_is_sent(self, twin: "Twin") -> None:
        with pytest.raises(TypeError, match="never a float"):
            await twin.create(amount=10.0)

    async def test_card_data_is_refused_and_not_repeated(self, twin: "Twin") -> None:
        with pytest.raises(CardDataRejected) as caught:
            await twin.create(description="my card is 4539578763621486")
        assert caught.value.violations[0].field == "description"
        assert "4539578763621486" not in str(caught.value)

    async def test_a_request_beyond_all_limits_is_refused(self, twin: "Twin") -> None:
        with pytest.raises((ResourceExhausted, InvalidRequest)):
            await twin.create(description="x" * 100_000)


class TestGet:
    async def test_a_payment_is_read_as_it_was_created(self, twin: "Twin") -> None:
        payment = await twin.create()
        assert await twin.get(payment.payment_id) == payment

    async def test_an_unknown_payment_is_not_found(self, twin: "Twin") -> None:
        with pytest.raises(PaymentNotFound) as caught:
            await twin.get("019ab000-0000-7000-8000-000000000000")
        error = caught.value
        facts = (error.reason, error.code, error.http_status, error.retryable)
        assert facts == ("PAYMENT_NOT_FOUND", "NOT_FOUND", 404, False)

    async def test_anothers_payment_is_not_found(self, twin: "Twin") -> None:
        payment = await twin.create()
        with pytest.raises(PaymentNotFound):
            await twin.get(payment.payment_id, headers={"x-merchant-id": "somebody-else"})

    async def test_the_callers_request_id_comes_back(self, twin: "Twin") -> None:
        payment = await twin.create(headers={"x-request-id": "r-1"})
        assert payment.call.request_id == "r-1"

    async def test_an_error_has_a_request_id_to_ask_with(self, twin: "Twin") -> None:
        with pytest.raises(PaymentNotFound) as caught:
            await twin.get("019ab000-0000-7000-8000-000000000000")
        assert caught.value.request_id


class TestProcess:
    async def test_a_payment_runs_to_its_end(self, twin: "Twin") -> None:
        done = await twin.process((await twin.create(amount="10.00")).payment_id)
        payment, operation = done.payment, done.operation
        assert (payment.status, payment.attempts) == (PaymentStatus.CAPTURED, 1)
        assert payment.amount_captured == payment.amount_refundable == Decimal("10.00")
        assert (operation.kind, operation.amount) == (OperationKind.AUTHORIZE, Decimal("10.00"))
        assert operation.status is OperationStatus.SUCCEEDED
        assert operation.settled_at is not None
        assert abs(done.processed_at - operation.settled_at) < timedelta(milliseconds=1)

    async def test_a_hold_is_captured_later(self, twin: "Twin") -> None:
        created = await twin.create(amount="10.00", capture_method=CaptureMethod.MANUAL)
        held = (await twin.process(created.payment_id)).payment
        assert (held.status, held.amount_capturable) == (PaymentStatus.AUTHORIZED, Decimal("10.00"))
        taken = (await twin.process(created.payment_id, Action.CAPTURE)).payment
        assert (taken.status, taken.amount_captured) == (PaymentStatus.CAPTURED, Decimal("10.00"))

    async def test_a_created_payment_is_canceled(self, twin: "Twin") -> None:
        created = await twin.create()
        canceled = (await twin.process(created.payment_id, "cancel")).payment
        assert (canceled.status, canceled.allowed_actions) == (PaymentStatus.CANCELED, ())

    async def test_a_capture_is_refunded(self, twin: "Twin") -> None:
        created = await twin.create(amount="10.00")
        await twin.process(created.payment_id)
        refunded = (await twin.process(created.payment_id, Action.REFUND)).payment
        assert refunded.status is PaymentStatus.REFUNDED
        assert refunded.amount_refunded == Decimal("10.00")

    async def test_a_part_is_refunded(self, twin: "Twin") -> None:
        created = await twin.create(amount="10.00")
        await twin.process(created.payment_id)
        part = Decimal("2.50")
        refunded = (await twin.process(created.payment_id, Action.REFUND, amount=part)).payment
        assert (refunded.status, refunded.amount_refundable) == (
            PaymentStatus.PARTIALLY_REFUNDED,
            Decimal("7.50"),
        )

    async def test_a_decline_is_an_answer(self, twin: "Twin") -> None:
        created = await twin.create(payment_method="decline:insufficient_funds")
        done = await twin.process(created.payment_id)
        decline = done.payment.decline
        assert done.payment.status is PaymentStatus.FAILED
        assert isinstance(decline, Decline)
        assert (decline.code, decline.network_code) == ("insufficient_funds", "51")
        assert decline.advice is DeclineAdvice.LATER
        assert decline.message
        assert (done.operation.status, done.operation.decline) == (OperationStatus.FAILED, decline)

    async def test_a_new_attempt_may_name_another_payment_method(self, twin: "Twin") -> None:
        created = await twin.create(payment_method="decline:stolen_card")
        await twin.process(created.payment_id)
        again = (await twin.process(created.payment_id, payment_method="card_visa")).payment
        assert (again.status, again.payment_method) == (PaymentStatus.CAPTURED, "card_visa")

    async def test_an_illegal_transition_says_what_is_legal(self, twin: "Twin") -> None:
        created = await twin.create()
        await twin.process(created.payment_id)
        with pytest.raises(IllegalTransition) as caught:
            await twin.process(created.payment_id, Action.CAPTURE)
        error = caught.value
        assert (error.reason, error.http_status) == ("ALREADY_CAPTURED", 409)
        assert (error.status, error.allowed_actions) == (PaymentStatus.CAPTURED, ("refund",))

    async def test_more_than_is_left_is_refused_with_the_limit(self, twin: "Twin") -> None:
        created = await twin.create(amount="10.00")
        await twin.process(created.payment_id)
        with pytest.raises(AmountTooLarge) as caught:
            await twin.process(created.payment_id, Action.REFUND, amount="10.01")
        assert (caught.value.reason, caught.value.limit) == (
            "AMOUNT_EXCEEDS_REFUNDABLE",
            Decimal("10.00"),
        )

    async def test_a_stale_version_changes_nothing(self, twin: "Twin") -> None:
        created = await twin.create()
        done = await twin.process(created.payment_id)
        with pytest.raises(VersionMismatch):
            await twin.process(created.payment_id, Action.REFUND, expected_version=created.version)
        assert await twin.get(created.payment_id) == done.payment

    async def test_the_version_that_was_read_is_enough(self, twin: "Twin") -> None:
        created = await twin.create()
        done = await twin.process(created.payment_id, expected_version=created.version)
        assert done.payment.version > created.version

    async def test_an_unknown_action_is_refused(self, twin: "Twin") -> None:
        created = await twin.create()
        with pytest.raises(InvalidRequest) as caught:
            await twin.process(created.payment_id, "explode")
        assert caught.value.violations[0].field == "action"

    async def test_an_unknown_payment_is_not_found(self, twin: "Twin") -> None:
        with pytest.raises(PaymentNotFound):
            await twin.process("019ab000-0000-7000-8000-000000000000")


class TestIdempotency:
    async def test_the_same_key_creates_once(self, twin: "Twin") -> None:
        first = await twin.create(amount="10", idempotency_key="order-42")
        again = await twin.create(amount="10.00", idempotency_key="order-42")
        assert again == first
        assert (first.call.replayed, again.call.replayed) == (False, True)

    async def test_the_same_key_among_the_headers_creates_once(self, twin: "Twin") -> None:
        first = await twin.create(idempotency_key="order-42")
        again = await twin.create(headers={"Idempotency-Key": "order-42"})
        assert again == first

    async def test_calls_without_a_key_are_each_their_own(self, twin: "Twin") -> None:
        first, second = await twin.create(), await twin.create()
        assert first.payment_id != second.payment_id

    async def test_the_same_key_processes_once(self, twin: "Twin") -> None:
        created = await twin.create()
        first = await twin.process(created.payment_id, idempotency_key="take-42")
        again = await twin.process(created.payment_id, idempotency_key="take-42")
        assert again == first
        assert again.call.replayed

    async def test_the_same_key_for_something_else_is_refused(self, twin: "Twin") -> None:
        await twin.create(amount="10.00", idempotency_key="order-42")
        with pytest.raises(IdempotencyKeyReused) as caught:
            await twin.create(amount="11.00", idempotency_key="order-42")
        assert (caught.value.http_status, caught.value.idempotency_key) == (422, "order-42")

    async def test_calls_at_the_same_time_with_one_key_get_one_payment(
        self, connect: "Callable[..., Twin]", service: str, merchant_id: str
    ) -> None:
        twins = [connect(service, merchant_id=merchant_id, timeout_seconds=20) for _ in range(3)]
        payments = await asyncio.gather(
            *(twin.create(idempotency_key="order-42") for twin in twins for _ in range(5))
        )
        assert len({payment.payment_id for payment in payments}) == 1


def test_one_blocking_client_serves_many_threads(service: str, merchant_id: str) -> None:
    with (
        PaymentClient(service, merchant_id=merchant_id, timeout_seconds=20) as client,
        ThreadPoolExecutor(16) as threads,
    ):

        def create(order: int) -> str:
            return client.payments.create(
                amount="10.00", customer_id="cust123", idempotency_key=f"order-{order % 10}"
            ).payment_id

        assert len(set(threads.map(create, range(100)))) == 10


class TestList:
    async def test_a_merchant_without_payments_has_one_empty_page(self, twin: "Twin") -> None:
        pages = await twin.pages()
        assert [(page.payments, page.next_page_token) for page in pages] == [((), "")]

    async def test_all_pages_have_all_payments_newest_first(self, twin: "Twin") -> None:
        created = [await twin.create() for _ in range(5)]
        assert await twin.list_all(page_size=2) == created[::-1]

    async def test_pages_are_as_large_as_asked_for(self, twin: "Twin") -> None:
        for _ in range(5):
            await twin.create()
        assert [len(page.payments) for page in await twin.pages(page_size=2)] == [2, 2, 1]

    async def test_a_list_goes_on_where_a_page_ended(self, twin: "Twin") -> None:
        created = [await twin.create() for _ in range(3)]
        first, *_ = await twin.pages(page_size=1)
        assert await twin.list_all(page_token=first.next_page_token) == created[1::-1]

    async def test_filters_must_all_match(self, twin: "Twin") -> None:
        wanted = await twin.create(customer_id="cust-1", metadata={"order": "1", "shop": "a"})
        await twin.create(customer_id="cust-1", metadata={"order": "2"})
        await twin.create(customer_id="cust-2", metadata={"order": "1"})
        found = await twin.list_all(customer_id="cust-1", metadata={"order": "1"})
        assert found == [wanted]

    async def test_a_status_is_a_filter(self, twin: "Twin") -> None:
        created, other = await twin.create(), await twin.create()
        captured = (await twin.process(other.payment_id)).payment
        assert await twin.list_all(status=PaymentStatus.CAPTURED) == [captured]
        assert await twin.list_all(status=PaymentStatus.CREATED) == [created]

    async def test_times_are_filters_from_on_and_before(self, twin: "Twin") -> None:
        first, second = await twin.create(), await twin.create()
        assert await twin.list_all(created_from=second.created_at) == [second]
        assert await twin.list_all(created_before=second.created_at) == [first]

    async def test_anothers_payments_are_not_listed(self, twin: "Twin") -> None:
        await twin.create()
        nobody = f"nobody-{uuid.uuid4().hex}"
        assert await twin.list_all(headers={"x-merchant-id": nobody}) == []

    @pytest.mark.parametrize(
        ("field", "value"), [("page_size", 0), ("page_size", -1), ("page_token", "nonsense")]
    )
    async def test_what_is_no_page_is_refused(
        self, twin: "Twin", field: str, value: int | str
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await twin.list_all(**{field: value})
        assert caught.value.violations[0].field == field


class TestHealth:
    async def test_a_service_with_its_database_is_healthy(self, twin: "Twin") -> None:
        health = await twin.health()
        assert health.healthy
        assert abs(datetime.now(UTC) - health.checked_at) < timedelta(minutes=1)
