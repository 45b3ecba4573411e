"""The clients that tests get: of a merchant of their own, for whatever runs their event loop."""

import asyncio
import json
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from payment_client import AsyncPaymentClient, Payment, PaymentClient, PaymentNotFound
from payment_server.testing import PaymentService, outcomes


def created(client: PaymentClient, payment_method: str = outcomes.APPROVED) -> Payment:
    return client.payments.create(
        amount="10.00", customer_id="cust123", payment_method=payment_method
    )


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_merchant_is_empty_at_first(payment_client: PaymentClient, time: str) -> None:
    assert list(payment_client.payments.list()) == []
    assert created(payment_client).version == 1, time


def test_both_clients_of_a_test_see_the_same(
    payment_client: PaymentClient, async_payment_client: AsyncPaymentClient
) -> None:
    payment = created(payment_client)

    async def look() -> Payment:
        async with async_payment_client as client:
            return await client.payments.get(payment.payment_id)

    assert asyncio.run(look()) == payment


def test_another_merchant_sees_nothing_of_it(
    payment_client: PaymentClient, payment_service: PaymentService
) -> None:
    payment = created(payment_client)
    with payment_service.client() as stranger, pytest.raises(PaymentNotFound):
        stranger.payments.get(payment.payment_id)


def test_the_same_merchant_by_another_client_sees_it(
    payment_client: PaymentClient, payment_service: PaymentService, payment_merchant: str
) -> None:
    payment = created(payment_client)
    with payment_service.client(merchant_id=payment_merchant, timeout_seconds=9) as another:
        assert another.payments.get(payment.payment_id) == payment


def test_http_sees_the_same_merchant(
    payment_client: PaymentClient, payment_service: PaymentService, payment_merchant: str
) -> None:
    payment = created(payment_client)
    connection = HTTPConnection(urlsplit(payment_service.http_url).netloc)
    with closing(connection):
        own = {"x-merchant-id": payment_merchant}
        connection.request("GET", f"/v1/payments/{payment.payment_id}", headers=own)
        assert json.load(connection.getresponse())["payment_id"] == payment.payment_id


def test_the_projects_settings_are_the_services(payment_client: PaymentClient) -> None:
    payment = created(payment_client, outcomes.CHALLENGE)
    waiting = payment_client.payments.process(payment.payment_id).payment
    assert waiting.next_action is not None
    left = waiting.next_action.expires_at - waiting.created_at
    assert left < timedelta(minutes=2)


@pytest.mark.asyncio
@pytest.mark.parametrize("time", ["first", "second"])
async def test_a_loop_of_pytest_asyncio_will_do(
    async_payment_client: AsyncPaymentClient, time: str
) -> None:
    assert [each async for each in async_payment_client.payments.list()] == []
    await async_payment_client.payments.create(amount="1", customer_id=time)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("time", ["first", "second"])
async def test_a_loop_of_anyio_will_do(async_payment_client: AsyncPaymentClient, time: str) -> None:
    assert [each async for each in async_payment_client.payments.list()] == []
    await async_payment_client.payments.create(amount="1", customer_id=time)


def test_a_loop_of_the_tests_own_will_do(async_payment_client: AsyncPaymentClient) -> None:
    async def pay() -> Payment:
        return await async_payment_client.payments.create(amount="1", customer_id="cust123")

    assert asyncio.run(pay()).amount == 1
