"""Payments that have come as far as a refusal needs them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from every_error.cells import GOOD, Refusal
from every_error.doors import Doors

WAIT_LIMIT_SECONDS: Final = 20


def prepared(doors: Doors, refusal: Refusal) -> dict[str, str]:
    """The fields that name the payment, which is there and has come as far as it should."""
    if refusal.of is None:
        return {}
    of = dict(refusal.of)
    if "expires_in" in of:
        of["expires_at"] = datetime.now(UTC) + of.pop("expires_in")
    payment_id = doors.grpc.done("create", **GOOD, **of).payment_id
    for operation, fields in refusal.before:
        doors.grpc.done(operation, payment_id=payment_id, **fields)
    status = refusal.facts.get("status")
    if status is not None and "expires_in" in refusal.of:
        until(lambda: doors.grpc.done("get", payment_id=payment_id).status == status)
    return {"payment_id": payment_id}


def until(fact: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_LIMIT_SECONDS
    while not fact():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.02)
