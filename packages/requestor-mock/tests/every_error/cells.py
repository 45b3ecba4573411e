"""What every surface is asked for each row, and what it tells; and what a surface cannot be asked
for, with the reason why, or with the name of the test inside payment-server that has it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from payment.v1.errors import ERRORS, OUTCOME_UNKNOWN_WITHOUT_KEY, Row

SURFACES: Final = ("grpc", "v1", "rest", "graphql")
NOWHERE: Final = "01a20710-38df-7091-a55f-2c1049425859"
GOOD: Final = {"amount": "10.00", "customer_id": "cust123"}

Steps = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Refusal:
    """What is asked, of which payment, and what every surface tells."""

    operation: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    of: Mapping[str, Any] | None = None
    """The payment that is created first."""
    before: Steps = ()
    wrong: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    retry_after_ms: int | None = None

    def told(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What is told when it is asked with these fields."""
        return {
            "fields": self.wrong,
            "facts": self.facts,
            "retry_after_ms": self.retry_after_ms,
            "subject": fields.get("refund_id", fields.get("payment_id", "")),
        }


@dataclass(frozen=True)
class Frozen:
    """What is asked while PostgreSQL does not answer, and what is told."""

    row: Row
    ask: Callable[[Any], Any]
    surfaces: tuple[str, ...] = SURFACES
    retry_after_ms: int | None = 1_000


def illegal(
    operation: str,
    status: str,
    allowed: str,
    *before: str,
    of: Mapping[str, Any] | None = None,
    retry_after_ms: int | None = None,
    **fields: Any,
) -> Refusal:
    """A step that the status forbids; `before` are the steps that led to it."""
    return Refusal(
        operation,
        fields,
        of=of or {},
        before=tuple((each, {}) for each in before),
        facts={"status": status, "allowed_actions": allowed},
        retry_after_ms=retry_after_ms,
    )


BUSY: Any = {"retry_after_ms": 1_000}
MANUAL = {"capture_method": 2}
CHALLENGED = {"payment_method": "card_3ds"}
POOR = {"payment_method": "decline:insufficient_funds"}
START = "process,authorize,cancel"
QUIET = {
    "FIELD_INVALID": Refusal(
        "create",
        {"amount": "1e5", "currency": "XXY", "customer_id": ""},
        wrong=("amount", "currency", "customer_id"),
    ),
    "CARD_DATA_REJECTED": Refusal(
        "create", {**GOOD, "payment_method": "4111 1111 1111 1111"}, wrong=("payment_method",)
    ),
    "PAYMENT_NOT_FOUND": Refusal("get", {"payment_id": NOWHERE}),
    "REFUND_NOT_FOUND": Refusal("get_refund", {"refund_id": NOWHERE}),
    "ACTION_NOT_REQUIRED": illegal("complete", "created", START),
    "ALREADY_AUTHORIZED": illegal("process", "authorized", "capture,cancel", "process", of=MANUAL),
    "ALREADY_CAPTURED": illegal("capture", "captured", "refund", "process"),
    "ALREADY_REFUNDED": illegal("refund", "refunded", "", "process", "refund"),
    "ATTEMPTS_EXHAUSTED": illegal(
        "process",
        "failed",
        "cancel",
        *["process"] * 10,
        of={"payment_method": "decline:insufficient_funds"},
    ),
    "CAPTURE_NOT_FINAL": Refusal(
        "refund",
        of=MANUAL,
        before=(("process", {}), ("capture", {"amount": "4.00"})),
        facts={"status": "partially_captured", "allowed_actions": "capture,cancel"},
    ),
    "NOT_AUTHORIZED": illegal("capture", "created", START),
    "NOT_CAPTURED": illegal("refund", "created", START),
    "PAYMENT_CANCELED": illegal("process", "canceled", "", "cancel"),
    "PAYMENT_METHOD_REFUSED": illegal(
        "process", "failed", START, "process", of={"payment_method": "decline:stolen_card"}
    ),
    "PAYMENT_REQUIRES_ACTION": illegal(
        "process", "requires_action", "cancel,complete", "process", of=CHALLENGED
    ),
    "AMOUNT_EXCEEDS_CAPTURABLE": Refusal(
        "capture",
        {"amount": "6.01"},
        of=MANUAL,
        before=(("process", {}), ("capture", {"amount": "4.00"})),
        facts={
            "status": "partially_captured",
            "allowed_actions": "capture,cancel",
            "limit": "6.00",
        },
    ),
    "AMOUNT_EXCEEDS_REFUNDABLE": Refusal(
        "refund",
        {"amount": "6.01"},
        of={},
        before=(("process", {}), ("refund", {"amount": "4.00"})),
        facts={"status": "partially_refunded", "allowed_actions": "refund", "limit": "6.00"},
    ),
    "IDEMPOTENCY_KEY_REUSED": Refusal(
        "process",
        {"idempotency_key": "k-1"},
        of={},
        before=(("cancel", {"idempotency_key": "k-1"}),),
    ),
    "PAYMENT_EXPIRED": illegal("process", "expired", "", of={"expires_in": timedelta(seconds=0.3)}),
    "VERSION_MISMATCH": Refusal(
        "cancel",
        {"expected_version": 7},
        of={},
        before=(("process", {}),),
        facts={"expected_version": "7", "version": "3"},
    ),
}
"""Of a service that is well: by one call, once the payment is there."""

UNDER_WAY = {
    "PAYMENT_PROCESSING": ("process", illegal("cancel", "processing", "", **BUSY)),
    "CAPTURE_IN_PROGRESS": (
        "capture",
        illegal("cancel", "authorized", "", "process", of=MANUAL, **BUSY),
    ),
    "CANCEL_IN_PROGRESS": (
        "cancel",
        illegal("capture", "authorized", "", "process", of=MANUAL, **BUSY),
    ),
    "REFUND_IN_PROGRESS": ("refund", illegal("refund", "captured", "", "process", **BUSY)),
}
"""While the processor is at work on another operation of the same payment."""

TOO_LARGE = {**GOOD, "description": "d" * 70_000}
BAD_CURSOR = f"1.{'A' * 64}"  # well-formed, and of a database that there is not
Asks = Mapping[str, Callable[[Any], Any]]
ODD: dict[str, Asks] = {
    "MALFORMED_REQUEST": {
        "grpc": lambda door: door.send(b"\xff\xff"),
        "v1": lambda door: door.send(b"{"),
        "rest": lambda door: door.send(b"{"),
        "graphql": lambda door: door.send("{ payment("),
    },
    "MESSAGE_TOO_LARGE": dict.fromkeys(SURFACES, lambda door: door.ask("create", TOO_LARGE)),
    "ROUTE_NOT_FOUND": dict.fromkeys(
        ("v1", "rest"), lambda door: door.request("GET", "/payments/a/b/c")
    ),
    "METHOD_NOT_ALLOWED": {
        "v1": lambda door: door.request("PUT", "/payments"),
        "rest": lambda door: door.request("PUT", "/payments"),
        "graphql": lambda door: door.request("DELETE"),
    },
    "CURSOR_EXPIRED": dict.fromkeys(("grpc", "v1", "graphql"), lambda door: door.watch(BAD_CURSOR)),
}
"""What each surface is asked in a way of its own."""

LIMIT = {"limit_bytes": "65536"}
ODD_FACTS = {("MESSAGE_TOO_LARGE", "grpc"): LIMIT, ("MESSAGE_TOO_LARGE", "v1"): LIMIT}
"""The mock refuses what is too large by itself, and by its own limit."""

WITHOUT_KEY = "OUTCOME_UNKNOWN without a key"
FROZEN = {
    "DATABASE_UNAVAILABLE": Frozen(
        ERRORS["DATABASE_UNAVAILABLE"], lambda door: door.ask("get", {"payment_id": NOWHERE})
    ),
    "OUTCOME_UNKNOWN": Frozen(
        ERRORS["OUTCOME_UNKNOWN"],
        lambda door: door.ask("create", {**GOOD, "idempotency_key": uuid.uuid4().hex}),
    ),
    WITHOUT_KEY: Frozen(
        OUTCOME_UNKNOWN_WITHOUT_KEY,
        lambda door: door.ask("create", GOOD),
        surfaces=("grpc", "v1"),
        retry_after_ms=None,
    ),
}
"""While PostgreSQL does not answer."""

ENDING = ("SHUTTING_DOWN",)

STAND_IN = {
    "TRANSACTION_ABORTED": 100,
    "RATE_LIMITED": 500,
    "OVERLOADED": 500,
    "STORAGE_FULL": 30_000,
    "PROCESSOR_UNREACHABLE": 1_000,
    "INTERNAL_ERROR": None,
}
"""At the mock in front of a stand-in that says what payment-server says, by the tests below; and
after how many milliseconds to ask again."""

INSIDE = {
    "TRANSACTION_ABORTED": "test_contention_that_does_not_end_is_told_as_aborted",
    "RATE_LIMITED": "test_a_merchant_that_calls_too_often_is_told_when_to_come_back",
    "OVERLOADED": "test_a_full_house_is_told_as_overloaded",
    "STORAGE_FULL": "test_a_disk_without_room_is_told_as_full_and_reads_go_on",
    "PROCESSOR_UNREACHABLE": "test_a_processor_that_is_away_is_told_as_unreachable",
    "INTERNAL_ERROR": "test_a_bug_is_told_as_an_internal_error_and_nothing_else",
}
ELSEWHERE = {
    (reason, surface): ("payment-server/tests/test_rare_errors.py", name)
    for reason, name in INSIDE.items()
    for surface in ("grpc", "v1")
} | {
    ("WATCHER_TOO_SLOW", "grpc"): (
        "payment-server/tests/test_watch_ends.py",
        "test_a_stalled_reader_is_dropped_and_goes_on_where_it_was",
    )
}
"""What takes a hand inside payment-server, and the test that has it there."""

CANNOT_BE = {
    ("ROUTE_NOT_FOUND", "grpc"): "a method that is not there is grpcio's own UNIMPLEMENTED",
    ("ROUTE_NOT_FOUND", "graphql"): "it has one address; a field that is not there is malformed",
    ("METHOD_NOT_ALLOWED", "grpc"): "gRPC knows one HTTP method, and grpcio refuses the others",
    ("CURSOR_EXPIRED", "rest"): "the mock's REST has no stream",
    ("WATCHER_TOO_SLOW", "v1"): "a reader that takes nothing would not take this either: it is cut",
    ("WATCHER_TOO_SLOW", "rest"): "the mock's REST has no stream",
    ("WATCHER_TOO_SLOW", "graphql"): "payment-client goes on by itself behind its cursor",
    (WITHOUT_KEY, "rest"): "payment-client gives every call a key",
    (WITHOUT_KEY, "graphql"): "payment-client gives every call a key",
}
"""Cells that nobody can see, and why."""
