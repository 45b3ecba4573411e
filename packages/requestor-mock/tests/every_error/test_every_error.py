"""Every row of the contract's table of errors, walked through gRPC, /v1, the mock's REST and its
GraphQL: one reason, one code, one status, the same facts and the same hint when to ask again."""

import re
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from every_error.cells import (
    CANNOT_BE,
    ELSEWHERE,
    ENDING,
    FROZEN,
    GOOD,
    ODD,
    ODD_FACTS,
    QUIET,
    STAND_IN,
    SURFACES,
    UNDER_WAY,
    WITHOUT_KEY,
)
from every_error.doors import Doors
from every_error.preparing import prepared
from every_error.rows import assert_row

from payment.v1.errors import ERRORS

PACKAGES: Final = Path(__file__).resolve().parents[3]
EVERY_CELL = set(product([*ERRORS, WITHOUT_KEY], SURFACES))
WALKED = {
    *product([*QUIET, *UNDER_WAY, *ENDING], SURFACES),
    *((reason, surface) for reason, asks in ODD.items() for surface in asks),
    *((reason, surface) for reason, each in FROZEN.items() for surface in each.surfaces),
    *product(STAND_IN, ("rest", "graphql")),
}


def test_every_cell_is_walked_or_listed_and_none_twice() -> None:
    listed = [*WALKED, *ELSEWHERE, *CANNOT_BE]
    assert sorted(listed) == sorted(EVERY_CELL)


def test_what_is_walked_elsewhere_is_a_test() -> None:
    for path, name in ELSEWHERE.values():
        assert re.search(rf"def {name}\(", (PACKAGES / path).read_text()), f"no {name} in {path}"


@pytest.mark.parametrize("reason", QUIET)
def test_a_refusal_is_told_alike_at_every_door(quiet: Doors, reason: str) -> None:
    refusal = QUIET[reason]
    fields = {**prepared(quiet, refusal), **refusal.fields}
    for surface in SURFACES:
        told = getattr(quiet, surface).ask(refusal.operation, fields)
        assert_row(told, surface, ERRORS[reason], **refusal.told(fields))


@pytest.mark.parametrize("reason", ODD)
def test_what_is_no_request_at_all_is_told_alike(quiet: Doors, reason: str) -> None:
    for surface, ask in ODD[reason].items():
        facts = ODD_FACTS.get((reason, surface), {})
        assert_row(ask(getattr(quiet, surface)), surface, ERRORS[reason], facts=facts)


def test_what_only_payment_server_can_see_is_passed_on_alike(stand_in: Any) -> None:
    doors = stand_in(STAND_IN)
    for reason, retry_after_ms in STAND_IN.items():
        for surface, door in doors(reason).items():
            told = door.ask("create", GOOD)
            assert_row(told, surface, ERRORS[reason], retry_after_ms=retry_after_ms)
