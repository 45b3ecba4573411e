"""Outcomes are the sandbox's own, under names."""

import pytest

from payment_server.processors.sandbox import Sandbox, Token
from payment_server.testing import outcomes

METHODS = [
    outcomes.APPROVED,
    outcomes.CHALLENGE,
    outcomes.FOUND_LATER,
    outcomes.CAPTURE_FAILS,
    outcomes.REFUND_PENDING,
    outcomes.REFUND_FAILS_LATE,
    outcomes.BY_AMOUNT,
]


@pytest.mark.parametrize("method", METHODS)
def test_the_sandbox_takes_each_of_them(method: str) -> None:
    assert Sandbox().tokenize(method) == method


def test_nothing_that_the_sandbox_can_do_is_without_a_name() -> None:
    assert set(Token) <= set(METHODS)


@pytest.mark.parametrize("result", [outcomes.CHALLENGE_MET, outcomes.CHALLENGE_REFUSED])
def test_the_sandbox_takes_each_result_of_a_challenge(result: str) -> None:
    assert Sandbox().read_result(result) == result


def test_a_decline_is_named_by_its_code() -> None:
    assert Sandbox().tokenize(outcomes.declined("lost_card")) == "decline:lost_card"


def test_a_code_that_is_nearly_right_is_told_the_right_one() -> None:
    with pytest.raises(ValueError, match="insufficient_funds"):
        outcomes.declined("insuficient_fund")


def test_a_code_that_is_like_no_other_is_told_all_of_them() -> None:
    with pytest.raises(ValueError, match=r"approve_with_id.*withdrawal_count_limit_exceeded"):
        outcomes.declined("!")


def test_an_amount_ends_in_the_networks_answer() -> None:
    assert str(outcomes.amount_declined("insufficient_funds", 25)) == "25.51"


def test_a_code_without_an_amount_is_refused() -> None:
    with pytest.raises(ValueError, match="generic_decline"):
        outcomes.amount_declined("generic_decline")
