"""What the first schema's program left behind goes on living on the second one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest
from auditing import differences_in
from databases import copy_of
from recorded_before import PAYMENTS, make_first_schema, record
from service_under_test import Servers, running, until

from payment.v1 import payment_pb2 as pb
from payment_server.store import schema

UNDER_WAY = {
    "processing": "captured",
    "capturing": "partially_captured",
    "canceling": "canceled",
    "refunding": "partially_refunded",
}


@dataclass(frozen=True)
class Migrated:
    """A migrated database and the ids of its payments by their names."""

    url: str
    payment_ids: dict[str, str]


@asynccontextmanager
async def migrated_copy(superuser_url: str, template: str) -> AsyncIterator[Migrated]:
    async with copy_of(superuser_url, template) as url:
        connection = await asyncpg.connect(url)
        await make_first_schema(connection)
        payment_ids = await record(connection)
        await connection.close()
        assert await schema.migrate(url) == schema.migrations()[1:]
        yield Migrated(url, payment_ids)


@pytest.fixture(scope="module")
async def fresh(superuser_url: str, template: str) -> AsyncIterator[Migrated]:
    """Nothing but migrated."""
    async with migrated_copy(superuser_url, template) as migrated:
        yield migrated


@pytest.fixture(scope="module")
async def migrated(superuser_url: str, template: str) -> AsyncIterator[Migrated]:
    """What the service goes on with: each payment that a test changes is that test's own."""
    async with migrated_copy(superuser_url, template) as migrated:
        yield migrated


@pytest.fixture(scope="module")
async def service(migrated: Migrated) -> AsyncIterator[Servers]:
    async with running(migrated.url, {}, None) as servers:
        yield servers


async def events_of(servers: Servers, payment_id: str) -> list[tuple[int, str]]:
    request = pb.ListPaymentEventsRequest(payment_id=payment_id)
    listed = await servers.stub.ListPaymentEvents(request)
    return [(each.version, each.type) for each in listed.events]


async def test_what_was_recorded_before_verifies(fresh: Migrated) -> None:
    assert await differences_in(fresh.url) == {}


async def test_each_payment_begins_with_one_event_of_its_version(fresh: Migrated) -> None:
    connection = await asyncpg.connect(fresh.url)
    rows = await connection.fetch(
        "SELECT description, e.version, type FROM events AS e JOIN payments USING (payment_id)"
    )
    await connection.close()
    assert {tuple(row) for row in rows} == {
        (name, each.version, "payment.imported") for name, each in PAYMENTS.items()
    }


async def test_what_was_under_way_is_finished(migrated: Migrated, service: Servers) -> None:
    async def are_finished() -> bool:
        listed = await service.stub.ListPayments(pb.ListPaymentsRequest(page_size=100))
        found = {each.description: pb.PaymentStatus.Name(each.status) for each in listed.payments}
        return all(found[name].endswith(f"_{end.upper()}") for name, end in UNDER_WAY.items())

    await until(are_finished)
    assert await differences_in(migrated.url) == {}


@pytest.mark.parametrize(
    ("name", "action", "types"),
    [
        ("created", "process", ["authorization_started", "captured"]),
        ("declined", "process", ["authorization_started", "captured"]),
        ("authorized", "capture", ["capture_started", "captured"]),
        ("partly-captured", "cancel", ["cancel_started", "capture_closed"]),
        ("captured", "refund", ["refund_started", "refunded"]),
        ("partly-refunded", "refund", ["refund_started", "refunded"]),
    ],
)
async def test_a_payment_goes_on_from_its_imported_version(
    migrated: Migrated, service: Servers, name: str, action: str, types: list[str]
) -> None:
    payment_id, version = migrated.payment_ids[name], PAYMENTS[name].version
    await service.ask(payment_id, action)
    types = ["imported", *types]
    assert await events_of(service, payment_id) == [
        (version + index, f"payment.{each}") for index, each in enumerate(types)
    ]
    assert await differences_in(migrated.url) == {}


@pytest.mark.parametrize(
    ("name", "action", "amount"),
    [
        ("captured", "process", ""),
        ("partly-captured", "capture", "3.00"),
        ("partly-refunded", "refund", "3.00"),
        ("released", "cancel", ""),
        ("canceled", "cancel", ""),
    ],
)
async def test_an_old_key_has_its_old_answer(
    migrated: Migrated, service: Servers, name: str, action: str, amount: str
) -> None:
    call = service.stub.ProcessPayment(
        pb.ProcessPaymentRequest(
            payment_id=migrated.payment_ids[name],
            action=action,
            amount=amount,
            idempotency_key=name,
        )
    )
    answer = await call
    assert ("idempotency-replayed", "true") in tuple(await call.trailing_metadata() or ())
    assert answer.payment.version == PAYMENTS[name].version
    assert answer.payment.description == name


async def test_a_hold_of_before_lapses_seven_days_after_the_last_change(fresh: Migrated) -> None:
    connection = await asyncpg.connect(fresh.url)
    rows = await connection.fetch(
        "SELECT description, lapses_at - updated_at FROM payments WHERE lapses_at IS NOT NULL"
    )
    await connection.close()
    assert {tuple(row) for row in rows} == {
        (name, timedelta(days=7))
        for name, each in PAYMENTS.items()
        if each.status in ("authorized", "partially_captured")
    }


async def test_refunds_of_before_are_listed(migrated: Migrated, service: Servers) -> None:
    request = pb.ListRefundsRequest(payment_id=migrated.payment_ids["refund-failed"])
    [refund] = (await service.stub.ListRefunds(request)).refunds
    assert (refund.amount, refund.status) == ("3.00", pb.REFUND_STATUS_FAILED)


async def test_a_watch_from_the_beginning_begins_with_the_import(
    migrated: Migrated, service: Servers
) -> None:
    watch = service.stub.WatchPayments(
        pb.WatchPaymentsRequest(payment_id=migrated.payment_ids["closed"], from_beginning=True)
    )
    events = (answer.event async for answer in watch if answer.HasField("event"))
    event = await anext(events)
    watch.cancel()
    assert (event.type, event.version) == ("payment.imported", PAYMENTS["closed"].version)
    assert event.payment.amount_voided == "7.00"
