"""The database's checks say what the domain's tables say: no less, and no more.

The checks are read from the migrated schema and asked about every row of a grid at once.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from itertools import product
from typing import Final
from uuid import UUID

import asyncpg
import pytest
from databases import copy_of
from msgspec.structs import replace

from payment_server.domain.ids import LOWEST, time_of
from payment_server.domain.ledger import Account, transfers_between
from payment_server.domain.operation import OperationKind, OperationStatus, RefundStatus
from payment_server.domain.payment import (
    ALLOWED_ACTIONS,
    LAPSING,
    TRANSITIONS,
    Action,
    CaptureMethod,
    EventType,
    Payment,
    Status,
    agrees,
)
from payment_server.store.database import Connection

AMOUNT: Final = 2
AMOUNTS: Final = {
    "authorized_minor": range(AMOUNT + 2),
    "captured_minor": range(AMOUNT + 1),
    "capture_pending_minor": range(AMOUNT + 1),
    "voided_minor": range(AMOUNT + 1),
    "void_pending_minor": range(AMOUNT + 1),
    "refunded_minor": range(AMOUNT + 1),
    "refund_pending_minor": range(AMOUNT + 1),
}
FORM: Final = {
    "merchant_id": ("default",),
    "customer_id": ("c",),
    "payment_method": ("card",),
    "description": ("",),
    "metadata": ("{}",),
    "currency": ("USD",),
    "exponent": (2,),
    "attempts": (0,),
    "version": (1,),
    "created_at": (time_of(LOWEST),),
    "updated_at": (time_of(LOWEST),),
}
OPERATION: Final = {"amount_minor": (1,), "released_minor": (0,), "words": ("",)}
"""What else a row has to be well formed, besides what is looked at."""

BEFORE: Final = time_of(LOWEST) - timedelta(microseconds=1)
AFTER: Final = time_of(LOWEST) + timedelta(microseconds=1)
PAYMENT: Final = Payment(
    payment_id=LOWEST,
    merchant_id="default",
    customer_id="c",
    payment_method="card",
    capture_method=CaptureMethod.AUTOMATIC,
    description="",
    metadata={},
    currency="USD",
    exponent=2,
    amount_minor=AMOUNT,
    created_at=time_of(LOWEST),
    updated_at=time_of(LOWEST),
)


@pytest.fixture(scope="module")
async def connection(superuser_url: str, template: str) -> AsyncIterator[Connection]:
    async with copy_of(superuser_url, template) as url:
        connection = await asyncpg.connect(url)
        yield connection
        await connection.close()


async def checks_of(connection: Connection, table: str, *columns: str) -> str:
    """The table's CHECKs that look at these columns and at no other, as one expression."""
    found = await connection.fetchval(
        "SELECT string_agg(format('(%s) IS NOT FALSE', pg_get_expr(conbin, conrelid)), ' AND ')"
        " FROM pg_constraint WHERE contype = 'c' AND conrelid = $1::text::regclass AND conkey <@"
        " (SELECT array_agg(attnum) FROM pg_attribute WHERE attrelid = conrelid"
        "   AND attname = ANY ($2))",
        table,
        columns,
    )
    assert found is not None
    return str(found)


async def accepted(
    connection: Connection, table: str, grid: Mapping[str, Iterable[object]]
) -> set[tuple[object, ...]]:
    """The rows of the grid that the table's checks of these columns let in."""
    checks = await checks_of(connection, table, *grid)
    types = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = $1::text::regclass AND attnum > 0",
        table,
    )
    columns: dict[str, str] = {row[0]: row[1] for row in types}
    axes = ", ".join(
        f"unnest(${index}::{columns[name]}[]) AS {name}" for index, name in enumerate(grid, 1)
    )
    rows = await connection.fetch(
        f"SELECT {', '.join(grid)} FROM {axes} WHERE {checks}",
        *(list(each) for each in grid.values()),
    )
    return {tuple(row) for row in rows}


def adds_up(payment: Payment) -> bool:
    return (
        payment.authorized_minor <= payment.amount_minor
        and payment.capturable_minor >= 0
        and payment.refundable_minor >= 0
        and agrees(payment, payment.status)
    )


def may_be_under_way(payment: Payment) -> bool:
    """What is reserved is what may be asked in this status."""
    allowed = ALLOWED_ACTIONS[payment.status]
    holds = payment.capture_pending_minor + payment.void_pending_minor
    return (not holds or Action.CAPTURE in allowed) and (
        not payment.refund_pending_minor or Action.REFUND in allowed
    )


async def test_amounts_agree_with_statuses_as_in_the_table(connection: Connection) -> None:
    grid = {"status": Status, "amount_minor": (AMOUNT,), **AMOUNTS}
    others = {"status": ("other", ""), "amount_minor": (AMOUNT,), **AMOUNTS}
    assert await accepted(connection, "payments", others) == set()
    payments = (
        replace(PAYMENT, **dict(zip(grid, values, strict=True)))
        for values in product(*grid.values())
    )
    assert await accepted(connection, "payments", grid) == {
        tuple(getattr(each, name) for name in grid)
        for each in payments
        if adds_up(each) and may_be_under_way(each)
    }


async def test_declines_challenges_and_ends_belong_to_their_statuses(
    connection: Connection,
) -> None:
    moments = (None, time_of(LOWEST), PAYMENT.created_at.replace(year=2030))
    grid = {
        "status": Status,
        "decline": (None, "{}"),
        "next_action": (None, "{}"),
        "lapses_at": moments,
        "expires_at": moments,
    }
    assert await accepted(connection, "payments", grid) == {
        (status, decline, next_action, lapses_at, expires_at)
        for status, decline, next_action, lapses_at, expires_at in product(*grid.values())
        if (decline is not None) == (status is Status.FAILED)
        and (next_action is not None) == (status is Status.REQUIRES_ACTION)
        and (
            lapses_at == expires_at
            if status is Status.CREATED
            else (lapses_at is not None) == (status in LAPSING)
        )
    }


async def test_events_are_the_steps_of_the_table(connection: Connection) -> None:
    grid = {
        "type": EventType,
        "status_before": (None, *Status),
        "status": Status,
        "version": (1, 2),
    }
    begins = {
        (EventType.IMPORTED, None, status, version) for status in Status for version in (1, 2)
    }
    begins.add((EventType.CREATED, None, Status.CREATED, 1))
    steps = {
        (event, before, after, version)
        for (before, event), targets in TRANSITIONS.items()
        for after in targets
        for version in (1, 2)
    }
    assert await accepted(connection, "events", grid) == begins | steps


async def test_money_takes_the_routes_of_the_ledger(connection: Connection) -> None:
    grid = {"debit_account": Account, "credit_account": Account}
    moved = (replace(PAYMENT, **{name: amount}) for name in AMOUNTS for amount in (-1, 1))
    assert await accepted(connection, "transfers", grid) == {
        (each.debit, each.credit) for after in moved for each in transfers_between(PAYMENT, after)
    }


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("merchant_id", ("a", "z9_-", "m" * 64), ("", "m" * 65, "M", "a b", "a\n", "ä")),
        ("customer_id", ("c", "ä" * 255), ("", "c" * 256)),
        ("payment_method", ("c", "ä" * 255), ("", "c" * 256)),
        ("description", ("", "ä" * 1000), ("d" * 1001,)),
        ("metadata", ("{}", '{"a": "b"}'), ("[]", "null", '"a"')),
        ("currency", ("USD", "ZZZ"), ("", "US", "USDT", "usd", "U5D", "USD\n")),
        ("exponent", (0, 2, 3), (-1, 1, 4)),
        ("attempts", range(11), (-1, 11)),
        ("version", (1, 2**62), (-1, 0)),
        ("updated_at", (time_of(LOWEST), AFTER), (BEFORE,)),
    ],
)
async def test_a_payment_is_well_formed(
    connection: Connection, column: str, good: Iterable[object], bad: Iterable[object]
) -> None:
    grid = {**FORM, "capture_method": ("manual",), column: (*good, *bad)}
    place = list(grid).index(column)
    assert {row[place] for row in await accepted(connection, "payments", grid)} == set(good)


async def test_capture_methods_are_those_of_the_domain(connection: Connection) -> None:
    grid = {"capture_method": (*CaptureMethod, "other", ""), **FORM}
    assert {row[0] for row in await accepted(connection, "payments", grid)} == set(CaptureMethod)


async def test_an_operation_has_what_its_kind_and_status_say(connection: Connection) -> None:
    moments = (None, time_of(LOWEST))
    grid = {
        "kind": (*OperationKind, "other", ""),
        "status": (*OperationStatus, "other", ""),
        "decline": (None, "{}"),
        "completes": (None, UUID(LOWEST)),
        "settled_at": moments,
        "lease_until": moments,
        **OPERATION,
    }
    assert await accepted(connection, "operations", grid) == {
        (kind, status, decline, completes, settled_at, lease_until, *rest)
        for kind, status, decline, completes, settled_at, lease_until, *rest in product(
            *grid.values()
        )
        if kind in set(OperationKind)
        and status in set(OperationStatus)
        and (decline is not None) == (status == "failed")
        and (completes is not None) == (kind == "complete")
        and (settled_at is None) == (status == "pending")
        and (
            lease_until is not None
            if status == "pending"
            else lease_until is None or (kind, status) == ("refund", "succeeded")
        )
    }


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("amount_minor", (0, 2**62), (-1,)),
        ("released_minor", (0, 2**62), (-1,)),
        ("words", ("", "ä" * 1000), ("w" * 1001,)),
    ],
)
async def test_an_operation_is_well_formed(
    connection: Connection, column: str, good: Iterable[object], bad: Iterable[object]
) -> None:
    pending = {
        "kind": ("capture",),
        "status": ("pending",),
        "decline": (None,),
        "completes": (None,),
        "settled_at": (None,),
        "lease_until": (time_of(LOWEST),),
    }
    grid = {**pending, **OPERATION, column: (*good, *bad)}
    place = list(grid).index(column)
    assert {row[place] for row in await accepted(connection, "operations", grid)} == set(good)


async def test_statuses_of_refunds_are_those_of_the_domain(connection: Connection) -> None:
    found = await accepted(connection, "refunds", {"status": (*RefundStatus, "other", "")})
    assert found == {(each,) for each in RefundStatus}
