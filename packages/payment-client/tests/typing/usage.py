"""Never run: code of a user of the client, which `mypy --strict` must accept as it stands."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type

from payment_client import (
    Action,
    AmountTooLarge,
    AsyncPaymentClient,
    AsyncPaymentPager,
    CallInfo,
    CaptureMethod,
    Decline,
    FieldViolation,
    Health,
    IllegalTransition,
    InvalidRequest,
    Operation,
    Page,
    Payment,
    PaymentClient,
    PaymentError,
    PaymentPager,
    PaymentStatus,
    ProcessedPayment,
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
        assert_type(client.payments.get(payment.payment_id), Payment)
        assert_type(client.payments.process(payment.payment_id, "capture"), ProcessedPayment)
        assert_type(client.payments.process(payment.payment_id, Action.REFUND), ProcessedPayment)
        pager = client.payments.list(status=PaymentStatus.CREATED, created_from=datetime.now(UTC))
        assert_type(pager, PaymentPager)
        assert_type([each.amount for each in pager], list[Decimal])
        assert_type(list(pager.pages()), list[Page])
        assert_type(client.health(), Health)


async def asynchronous() -> None:
    async with AsyncPaymentClient() as client:
        assert_type(client, AsyncPaymentClient)
        payment = await client.payments.create(amount=10, customer_id="cust123")
        assert_type(payment, Payment)
        assert_type(await client.payments.get(payment.payment_id), Payment)
        assert_type(await client.payments.process(payment.payment_id), ProcessedPayment)
        pager = client.payments.list()
        assert_type(pager, AsyncPaymentPager)
        assert_type([each.amount async for each in pager], list[Decimal])
        assert_type([page async for page in pager.pages()], list[Page])
        assert_type(await client.health(), Health)


def values(processed: ProcessedPayment) -> None:
    payment = processed.payment
    assert_type(payment.metadata, Mapping[str, str])
    assert_type(payment.decline, Decline | None)
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
