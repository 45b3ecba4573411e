"""Rate limits on the wire: what counts as a call of a merchant, on both gRPC servers and on /v1."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from service_under_test import Servers, Start, refusal
from valkey import Valkey

from payment.v1 import payment_pb2 as pb
from payment_server import limits

pytestmark = pytest.mark.usefixtures("transport")

FIVE = {"PAYMENT_RATE_LIMIT_PER_SECOND": "1", "PAYMENT_RATE_LIMIT_BURST": "5"}
SHOP = (("x-merchant-id", "shop"),)


class Clock:
    """Stands still unless it is put forward."""

    now_ns = 1_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


@pytest.fixture
async def five(start: Start, clock: Clock) -> AsyncIterator[Servers]:  # noqa: ARG001 - stands still
    """A service that lets each merchant in for five calls, and then for one a second."""
    async with start(**FIVE) as servers:
        yield servers


async def let_in(servers: Servers, calls: int) -> int:
    """How many reads of so many are not refused for being too many."""
    found = 0
    for _ in range(calls):
        reply = await servers.http.get("/v1/payments", headers={"X-Merchant-Id": "shop"})
        found += reply.status_code != 429
    return found


async def test_all_ways_in_share_one_limit(five: Servers) -> None:
    await five.stub.ListPayments(pb.ListPaymentsRequest(), metadata=SHOP)
    await five.stub.ListPayments(pb.ListPaymentsRequest(), metadata=SHOP)
    assert await let_in(five, 9) == 3
    failed = await refusal(five.stub.ListPayments(pb.ListPaymentsRequest(), metadata=SHOP))
    assert failed.reason == "RATE_LIMITED"


async def test_other_merchants_go_on(five: Servers) -> None:
    assert await let_in(five, 9) == 5
    assert (await five.http.get("/v1/payments")).is_success
    await five.stub.ListPayments(pb.ListPaymentsRequest())


async def test_what_is_refused_or_replayed_counts_too(five: Servers) -> None:
    request = pb.CreatePaymentRequest(amount="1.00", customer_id="c", idempotency_key="k")
    await five.stub.CreatePayment(request, metadata=SHOP)
    await five.stub.CreatePayment(request, metadata=SHOP)
    bad = await refusal(five.stub.CreatePayment(pb.CreatePaymentRequest(), metadata=SHOP))
    assert bad.reason == "FIELD_INVALID"
    assert await let_in(five, 9) == 2


async def test_a_call_that_is_refused_has_no_effect(five: Servers, clock: Clock) -> None:
    await let_in(five, 5)
    request = pb.CreatePaymentRequest(amount="1.00", customer_id="c", idempotency_key="k")
    failed = await refusal(five.stub.CreatePayment(request, metadata=SHOP))
    assert failed.reason == "RATE_LIMITED"
    clock.now_ns += 1_000_000_000
    call = five.stub.CreatePayment(request, metadata=SHOP)
    await call
    assert "idempotency-replayed" not in dict(await call.trailing_metadata())


async def test_a_batch_counts_for_what_is_in_it(five: Servers) -> None:
    items = [pb.CreatePaymentRequest(amount="1.00", customer_id="c") for _ in range(20)]
    batch = pb.BatchCreatePaymentsRequest(requests=items)
    reply = await five.stub.BatchCreatePayments(batch, metadata=SHOP)
    assert all(each.HasField("created") for each in reply.results)
    failed = await refusal(five.stub.BatchCreatePayments(batch, metadata=SHOP))
    assert failed.reason == "RATE_LIMITED"
    wait = failed.details["RetryInfo"].retry_delay.ToMilliseconds()  # type: ignore[attr-defined]
    assert wait == 16_000  # 20 were let in, and 4 may be owed


async def test_of_batches_that_come_together_one_is_let_in(five: Servers) -> None:
    items = [{"amount": "1.00", "customer_id": "c"}] * 20
    over_http = [
        five.http.post(
            "/v1/payments/batch", json={"requests": items}, headers={"X-Merchant-Id": "shop"}
        )
        for _ in range(4)
    ]
    replies = await asyncio.gather(*over_http)
    [recorded] = [each for each in replies if each.is_success]
    assert all(each["success"] for each in recorded.json()["results"])
    assert {each.headers.get("Retry-After") for each in replies} == {None, "19"}
    batch = pb.BatchCreatePaymentsRequest(
        requests=[pb.CreatePaymentRequest(amount="1.00", customer_id="c")] * 20
    )
    over_rpc = [
        refusal(five.stub.BatchCreatePayments(batch, metadata=(("x-merchant-id", "other"),)))
        for _ in range(4)
    ]
    told = await asyncio.gather(*over_rpc, return_exceptions=True)
    assert [getattr(each, "reason", None) for each in told].count("RATE_LIMITED") == 3


async def test_a_watch_counts_at_its_start(five: Servers) -> None:
    answers = five.stub.WatchPayments(pb.WatchPaymentsRequest(), metadata=SHOP)
    await answers.read()
    await let_in(five, 5)
    for _ in range(3):
        await five.created()
    failed = await refusal(five.stub.WatchPayments(pb.WatchPaymentsRequest(), metadata=SHOP).read())
    assert failed.reason == "RATE_LIMITED"
    over_http = await five.http.get("/v1/events", headers={"X-Merchant-Id": "shop"})
    assert over_http.status_code == 429
    answers.cancel()


async def test_health_is_told_however_often(five: Servers) -> None:
    for _ in range(20):
        assert (await five.stub.HealthCheck(pb.HealthCheckRequest())).status == "healthy"
        assert (await five.http.get("/readyz")).is_success


async def test_a_merchant_that_cannot_be_is_refused_as_ever(five: Servers) -> None:
    metadata = (("x-merchant-id", "No Merchant"),)
    failed = await refusal(five.stub.ListPayments(pb.ListPaymentsRequest(), metadata=metadata))
    reply = await five.http.get("/v1/payments", headers=dict([*metadata]))
    assert (failed.reason, reply.json()["reason"]) == ("FIELD_INVALID", "FIELD_INVALID")


async def test_whose_call_counts_is_whose_call_it_is(five: Servers) -> None:
    """Both read the same of several headers, or one merchant could spend what is another's."""
    headers = [("X-Merchant-Id", "shop"), ("X-Merchant-Id", "other")]
    body = {"amount": "1.00", "customer_id": "c"}
    reply = await five.http.post("/v1/payments", json=body, headers=headers)
    merchant = reply.json()["merchant_id"]
    limited = {"shop": 5 - await let_in(five, 9) == 1}
    assert limited == {"shop": merchant == "shop"}


async def test_two_services_share_a_limit_through_redis(start: Start, valkey: Valkey) -> None:
    settings = {"REDIS_URL": valkey.url, **FIVE}
    async with start(**settings) as one, start(**settings) as other:
        began = time.monotonic()
        found = await let_in(one, 3) + await let_in(other, 9)
        assert 5 <= found <= 5 + time.monotonic() - began
