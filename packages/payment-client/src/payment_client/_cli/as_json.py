"""Values as JSON: the contract's field names, amounts as strings, times in RFC 3339 with Z.

A payment looks the same whichever command shows it; what a change knows besides stands beside the
payment's own fields.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal

from payment_client import Event, Health, Payment, ProcessedPayment, Refund, RefundedPayment

Shown = Payment | ProcessedPayment | RefundedPayment | Refund | Event | Health


def line(value: Shown | Mapping[str, object], **beside: object) -> str:
    """One line of JSON, without its end; what is `beside` the value comes last."""
    return json.dumps(_fields(value) | _plain_entries(beside), ensure_ascii=False)


def rfc3339(moment: datetime) -> str:
    """The moment in UTC, as exactly as it is known."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _fields(value: Shown | Mapping[str, object]) -> dict[str, object]:
    match value:
        case ProcessedPayment():
            beside = {"operation": value.operation, "processed_at": value.processed_at}
            return _fields(value.payment) | _plain_entries(beside)
        case RefundedPayment():
            beside = {"operation": value.operation, "refund": value.refund}
            return _fields(value.payment) | _plain_entries(beside)
        case Health():
            status = "healthy" if value.healthy else "unhealthy"
            return {"status": status, "timestamp": rfc3339(value.checked_at)}
        case Mapping():
            return _plain_entries(value)
    names = [field.name for field in fields(value) if field.name != "call"]
    return _plain_entries({name: getattr(value, name) for name in names})


def _plain_entries(entries: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain(value) for name, value in entries.items()}


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return rfc3339(value)
        case Mapping():
            return _plain_entries(value)
        case tuple():
            return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)  # type: ignore[arg-type]
    return value
