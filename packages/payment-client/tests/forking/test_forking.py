"""Both clients and processes that fork: what a child can do, and what it is told that it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")
CHILDREN = 4
LIMIT_SECONDS = 60
"""It takes a second or two; a child that hangs is given up within a third of it."""


@pytest.fixture(params=["PaymentClient", "AsyncPaymentClient"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients."""
    return str(request.param)


def said(kind: str, what: str, target: str) -> list[str]:
    """What the program prints: of the parent before, of its children, of the parent afterwards."""
    done = subprocess.run(
        [sys.executable, PROGRAM, kind, what, target],
        env={name: value for name, value in os.environ.items() if name != "PAYMENT_TARGET"},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("what", ["used before", "fork"], ids=["the same", "another"])
def test_in_the_child_of_a_process_that_has_called_no_client_does(
    service: str, kind: str, what: str
) -> None:
    before, child, afterwards = said(kind, what, service)
    assert child.startswith("RuntimeError: this process was forked from one that had called")
    assert (before, afterwards) == ("answered", "answered")


def test_a_client_that_was_only_made_before_forks_serves_every_child(
    service: str, kind: str
) -> None:
    assert said(kind, "made before", service) == ["answered"] * (CHILDREN + 1)


@pytest.mark.parametrize(
    ("kind", "start"),
    [("PaymentClient", "forkserver"), ("AsyncPaymentClient", "spawn")],
)
def test_a_process_that_has_called_may_start_others_that_are_not_forked_from_it(
    service: str, kind: str, start: str
) -> None:
    assert said(kind, start, service) == ["answered"] * 3
