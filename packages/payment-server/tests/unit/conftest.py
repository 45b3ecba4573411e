"""What the unit tests share: one payment to start from, and the same random examples each time."""

from datetime import UTC, datetime

import pytest
from hypothesis import settings

from payment_server.domain.payment import CaptureMethod, Payment

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
