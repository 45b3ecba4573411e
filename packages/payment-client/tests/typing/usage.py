"""Never run: code of a user of the client, which `mypy --strict` must accept as it stands."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type

from payment_client import (
    Action,
    AmountTooLarge,
    AsyncEventPager,
    AsyncPaymentClient,
    AsyncPaymentPager,
    AsyncPaymentWatcher,
    AsyncRefundPager,
    CallInfo,
    CaptureMethod,
    CreatedPayments,
    Decline,
    Event,
    EventPage,
    EventPager,
    FieldViolation,
    Health,
    IllegalTransition,
    InvalidRequest,
    NewPayment,
    NextAction,
    Operation,
    OutcomeUnknown,
    Page,
    Payment,
    PaymentClient,
    PaymentError,
    PaymentPager,
    PaymentStatus,
    PaymentWatcher,
    ProcessedPayment,
    Refund,
    RefundedPayment,
    RefundPage,
    RefundPager,
    Tls,
)


def blocking() -> None:
    with PaymentClient("127.0.0.1:50051", merchant_id="shop-1", timeout_seconds=2) as client:
        assert_type(client, PaymentClient)
        payment = client.payments.create(
            amount=Decimal("10.00"),
            customer_id="cust123",
            capture_method=CaptureMethod.MANUAL,
            metadata={"order": "42"},
            headers={"x-request-id": "r-1"},
        )
        assert_type(payment, Payment)
        done = client.payments.create_many([NewPayment(amount=10, customer_id="cust123")])
        assert_type(done, CreatedPayments)
        assert_type(done.results, tuple[Payment | PaymentError, ...])
        assert_type(done.payments, tuple[Payment, ...])
        assert_type(done.errors, tuple[PaymentError, ...])
        assert_type(client.payments.get(payment.payment_id), Payment)
        assert_type(client.payments.process(payment.payment_id, "capture"), ProcessedPayment)
        assert_type(client.payments.process(payment.payment_id, Action.REFUND), ProcessedPayment)
        assert_type(client.payments.capture(payment.payment_id, final=True), ProcessedPayment)
        assert_type(client.payments.cancel(payment.payment_id), ProcessedPayment)
        assert_type(client.payments.complete(payment.payment_id, result=""), ProcessedPayment)
        refunded = client.payments.refund(payment.payment_id, amount="2.50", reason="broken")
        assert_type(refunded, RefundedPayment)
        assert_type(client.payments.get_refund(refunded.refund.refund_id), Refund)
        pager = client.payments.list(status=PaymentStatus.CREATED, created_from=datetime.now(UTC))
        assert_type(pager, PaymentPager)
        assert_type([each.amount for each in pager], list[Decimal])
        assert_type(list(pager.pages()), list[Page])
        refunds = client.payments.refunds(payment.payment_id, page_size=10)
        assert_type(refunds, RefundPager)
        assert_type(list(refunds), list[Refund])
        assert_type(list(refunds.pages()), list[RefundPage])
        events = client.payments.events(payment.payment_id)
        assert_type(events, EventPager)
        assert_type(list(events.pages()), list[EventPage])
        with client.payments.watch(customer_id="cust123", patience_seconds=10) as watcher:
            assert_type(watcher, PaymentWatcher)
            assert_type(next(watcher), Event)
            assert_type(watcher.cursor, str)
        assert_type(client.health(), Health)


def configured() -> None:
    tls = Tls(root_certificates=b"...")
    client = PaymentClient("10.0.0.1:50051,10.0.0.2:50051", api_key="sk_1", tls=tls)
    try:
        client.payments.create(amount="10.00", customer_id="cust123", idempotency_key="order-42")
    except OutcomeUnknown as error:
        assert_type(error.idempotency_key, str)
    finally:
        client.close()


async def asynchronous() -> None:
    async with AsyncPaymentClient() as client:
        assert_type(client, AsyncPaymentClient)
        payment = await client.payments.create(amount=10, customer_id="cust123")
        assert_type(payment, Payment)
        new = (NewPayment(amount=each, customer_id="cust123") for each in range(1, 3))
        assert_type(await client.payments.create_many(new), CreatedPayments)
        assert_type(await client.payments.get(payment.payment_id), Payment)
        assert_type(await client.payments.process(payment.payment_id), ProcessedPayment)
        pager = client.payments.list()
        assert_type(pager, AsyncPaymentPager)
        assert_type([each.amount async for each in pager], list[Decimal])
        assert_type([page async for page in pager.pages()], list[Page])
        assert_type(await client.payments.refund(payment.payment_id), RefundedPayment)
        refunds = client.payments.refunds(payment.payment_id)
        assert_type(refunds, AsyncRefundPager)
        assert_type([each async for each in refunds], list[Refund])
        events = client.payments.events(payment.payment_id)
        assert_type(events, AsyncEventPager)
        assert_type([page async for page in events.pages()], list[EventPage])
        async with client.payments.watch(from_beginning=True) as watcher:
            assert_type(watcher, AsyncPaymentWatcher)
            assert_type([event async for event in watcher], list[Event])
        assert_type(await client.health(), Health)


def values(processed: ProcessedPayment) -> None:
    payment = processed.payment
    assert_type(payment.metadata, Mapping[str, str])
    assert_type(payment.decline, Decline | None)
    assert_type(payment.next_action, NextAction | None)
    assert_type(payment.expires_at, datetime | None)
    assert_type(payment.allowed_actions, tuple[str, ...])
    assert_type(payment.created_at, datetime)
    assert_type(payment.call, CallInfo)
    assert_type(processed.operation, Operation)
    assert_type(processed.operation.settled_at, datetime | None)


def errors(error: PaymentError) -> None:
    assert_type(error.retry_after, timedelta | None)
    assert_type(error.metadata, Mapping[str, str])
    if isinstance(error, InvalidRequest):
        assert_type(error.violations, tuple[FieldViolation, ...])
    if isinstance(error, AmountTooLarge):
        assert_type(error.limit, Decimal | None)
    if isinstance(error, IllegalTransition):
        assert_type(error.status, PaymentStatus | None)
