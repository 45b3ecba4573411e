"""The orders under test, at the real service, as a merchant of the test's own."""

import pytest
from order_service import Orders

from payment_client import AsyncPaymentClient


@pytest.fixture
def orders(async_payment_client: AsyncPaymentClient) -> Orders:
    return Orders(async_payment_client.payments)
