"""What the unit tests share: payments to start from, and the same random examples each time."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings
from msgspec.structs import replace
from unit.steps import CHALLENGED, approved, ask, declined, settled

from payment_server.domain.payment import Advice, CaptureMethod, Payment

# A test that fails only now and then helps nobody, and a slow machine is no fault of the code.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def payment() -> Payment:
    """10.00 USD, just created; frozen, so all tests may have the same one."""
    created_at = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
    return Payment(
        payment_id="019a206f-073f-73d0-bb2c-7581a22cc174",
        merchant_id="default",
        customer_id="cust123",
        payment_method="card",
        capture_method=CaptureMethod.AUTOMATIC,
        description="",
        metadata={"order": "77"},
        currency="USD",
        exponent=2,
        amount_minor=1000,
        created_at=created_at,
        updated_at=created_at,
    )


@pytest.fixture(scope="session")
def manual(payment: Payment) -> Payment:
    return replace(payment, capture_method=CaptureMethod.MANUAL)


@pytest.fixture(scope="session")
def challenged(payment: Payment) -> Payment:
    return settled(ask(payment, "process"), CHALLENGED).payment


@pytest.fixture(scope="session")
def authorized(manual: Payment) -> Payment:
    return approved(ask(manual, "process"))


@pytest.fixture(scope="session")
def partially_captured(authorized: Payment) -> Payment:
    """4.00 of 10.00."""
    return approved(ask(authorized, "capture", amount="4"))


@pytest.fixture(scope="session")
def captured(payment: Payment) -> Payment:
    return approved(ask(payment, "process"))


@pytest.fixture(scope="session")
def failed(payment: Payment) -> Payment:
    """Declined for good."""
    return settled(ask(payment, "process"), declined(Advice.NEVER)).payment
