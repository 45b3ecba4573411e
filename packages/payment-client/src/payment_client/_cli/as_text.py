"""Values for people: tables, details, and lines of events. Pure: what to show, not where.

What others wrote is shown as it is, but for characters that a terminal would obey.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rich.table import Table
from rich.text import Text

from payment_client import (
    Decline,
    Event,
    Health,
    Operation,
    Payment,
    ProcessedPayment,
    Refund,
    RefundedPayment,
)

_ID_WIDTH: Final = 36
_NARROW: Final = 72
"""Columns below which an identifier is folded, as the rest of its row would have no room."""
_WIDE: Final = 110
"""Columns from which on there is room for what can be done without."""
_EVENT_TYPE_WIDTH: Final = 29
"""Of the longest type of the contract; a longer one moves its own line only."""

_STYLES: Final[Mapping[str, str]] = {
    "captured": "green",
    "succeeded": "green",
    "healthy": "green",
    "partially_captured": "green",
    "authorized": "cyan",
    "refunded": "magenta",
    "partially_refunded": "magenta",
    "processing": "yellow",
    "pending": "yellow",
    "requires_action": "yellow",
    "failed": "red",
    "unhealthy": "red",
    "canceled": "dim",
    "expired": "dim",
}

Row = tuple[str, Text | str]


def payments_table(payments: Iterable[Payment], width: int) -> Table:
    """A row a payment; on a narrow terminal without what can be done without."""
    table = _table("PAYMENT", width)
    table.add_column("STATUS", no_wrap=True)
    table.add_column("AMOUNT", justify="right", no_wrap=True)
    table.add_column("CUSTOMER", overflow="fold")
    if width >= _WIDE:
        table.add_column("CREATED", no_wrap=True)
    for payment in payments:
        cells = (
            payment.payment_id,
            _state(payment.status),
            _money(payment.amount, payment.currency),
            printable(payment.customer_id),
            _time(payment.created_at),
        )
        table.add_row(*cells[: len(table.columns)])
    return table


def refunds_table(refunds: Iterable[Refund], width: int) -> Table:
    """A row a refund."""
    table = _table("REFUND", width)
    table.add_column("STATUS", no_wrap=True)
    table.add_column("AMOUNT", justify="right", no_wrap=True)
    table.add_column("REASON", overflow="fold")
    for refund in refunds:
        table.add_row(
            refund.refund_id,
            _state(refund.status),
            _money(refund.amount, refund.currency),
            printable(refund.reason),
        )
    return table


def events_table(events: Iterable[Event]) -> Table:
    """A row an event, of one payment."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("VERSION", justify="right")
    table.add_column("TIME", no_wrap=True)
    table.add_column("EVENT", no_wrap=True)
    table.add_column("STATUS")
    for event in events:
        table.add_row(
            str(event.version),
            _time(event.occurred_at),
            printable(event.type),
            _state(event.payment.status),
        )
    return table


def event_line(event: Event) -> Text:
    """An event of any payment as it happens."""
    payment = event.payment
    return Text("  ").join(
        [
            Text(_time(event.occurred_at), "dim"),
            Text(printable(event.type).ljust(_EVENT_TYPE_WIDTH), _STYLES.get(payment.status, "")),
            Text(event.payment_id),
            Text(_money(payment.amount, payment.currency)),
            Text(printable(payment.customer_id)),
        ]
    )


def details(value: Payment | ProcessedPayment | RefundedPayment | Health) -> Text:
    """All that is worth knowing of one thing, a line each; what is not there is left out."""
    rows = [(name, text) for name, text in _rows(value) if text]
    width = max(len(name) for name, _ in rows)
    lines = [Text.assemble((name.ljust(width), "dim"), "  ", text) for name, text in rows]
    return Text("\n").join(lines)


def printable(text: str) -> str:
    """The text with escapes in place of what is no character to be seen."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _rows(value: Payment | ProcessedPayment | RefundedPayment | Health) -> Iterator[Row]:
    if value.call.replayed:
        yield "replay", "its key had its effect before: this is the answer of then"
    match value:
        case Health():
            yield "service", _state("healthy" if value.healthy else "unhealthy")
            yield "checked", _time(value.checked_at)
        case ProcessedPayment():
            yield from _payment_rows(value.payment)
            yield from _operation_rows(value.operation, value.payment)
        case RefundedPayment():
            yield from _payment_rows(value.payment)
            yield "refund", Text(f"{value.refund.refund_id} ") + _state(value.refund.status)
            yield from _operation_rows(value.operation, value.payment)
        case Payment():
            yield from _payment_rows(value)


def _payment_rows(payment: Payment) -> Iterator[Row]:
    yield "payment", Text(payment.payment_id, "bold")
    yield "status", _state(payment.status)
    yield "amount", _money(payment.amount, payment.currency)
    yield from _decline_rows(payment.decline)
    if payment.next_action is not None:
        where = f" at {printable(payment.next_action.url)}" if payment.next_action.url else ""
        until = f", until {_time(payment.next_action.expires_at)}"
        yield "customer must", f"{printable(payment.next_action.type)}{where}{until}"
    for name, amount in _amounts(payment):
        if amount:
            yield name, _money(amount, payment.currency)
    yield "customer", printable(payment.customer_id)
    yield "payment method", printable(payment.payment_method)
    yield "capture method", payment.capture_method
    yield "description", printable(payment.description)
    for key, entry in sorted(payment.metadata.items()):
        yield "metadata", f"{printable(key)}={printable(entry)}"
    yield "merchant", payment.merchant_id
    yield "version", str(payment.version)
    yield "possible now", ", ".join(payment.allowed_actions)
    yield "created", _time(payment.created_at)
    yield "updated", _time(payment.updated_at)
    yield "hold until", _time(payment.authorization_expires_at)
    yield "expires", _time(payment.expires_at)


def _operation_rows(operation: Operation, payment: Payment) -> Iterator[Row]:
    what = Text(f"{operation.kind} of {_money(operation.amount, payment.currency)} ")
    yield "operation", what + _state(operation.status)
    if operation.decline != payment.decline:
        yield from _decline_rows(operation.decline)


def _decline_rows(decline: Decline | None) -> Iterator[Row]:
    if decline is not None:
        network = f" ({decline.network_code})" if decline.network_code else ""
        yield "declined", Text(f"{decline.code}{network}, advice: {decline.advice}", "red")
        yield "for the customer", printable(decline.message)
        yield "try again", _time(decline.retry_after)


def _amounts(payment: Payment) -> Iterator[tuple[str, Decimal]]:
    yield "authorized", payment.amount_authorized
    yield "captured", payment.amount_captured
    yield "capturable", payment.amount_capturable
    yield "voided", payment.amount_voided
    yield "refunded", payment.amount_refunded
    yield "refund pending", payment.amount_refund_pending
    yield "refundable", payment.amount_refundable


def _table(identifier: str, width: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    if width < _NARROW:
        table.add_column(identifier, overflow="fold")
    else:
        table.add_column(identifier, no_wrap=True, min_width=_ID_WIDTH)
    return table


def _state(name: str) -> Text:
    return Text(name, _STYLES.get(name, ""))


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:f} {currency}"


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if moment else ""
