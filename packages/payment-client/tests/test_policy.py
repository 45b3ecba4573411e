"""`payment_client._policy`: attempts on a clock that only this test moves."""

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from payment.v1.errors import ERRORS, OUTCOME_UNKNOWN_WITHOUT_KEY
from payment_client import (
    DeadlineExceeded,
    Internal,
    OutcomeUnknown,
    PaymentError,
    ResourceExhausted,
    Unavailable,
)
from payment_client._failure import read_failure
from payment_client._policy import (
    ATTEMPTS_LIMIT,
    BUDGET_TOKENS,
    LEAST_SECONDS,
    TOKENS_OF_SUCCESS,
    Attempts,
    Budget,
    Failed,
)
from payment_client._terms import Terms

READ = Terms(5.0, {})
CHANGE = Terms(5.0, {}, is_change=True, idempotency_key="order-42")


def failed(code: str, reason: str = "", wait: float | None = None, **facts: Any) -> Failed:
    """An attempt that failed with this code, and reason where the service gave one."""
    error = read_failure(code, "the message", (), idempotency_key="order-42")
    error.reason = reason or error.reason
    error.retry_after = None if wait is None else timedelta(seconds=wait)
    return Failed(error, **facts)


CUT = failed("UNAVAILABLE", was_cut=True)
SILENT = failed("DEADLINE_EXCEEDED")
UNREACHED = failed("UNAVAILABLE", was_sent=False, was_cut=True)
STOPPING = failed("UNAVAILABLE", "SHUTTING_DOWN")
OVERLOADED = failed("UNAVAILABLE", "OVERLOADED")
REFUSED = failed("FAILED_PRECONDITION", "NOT_AUTHORIZED")


@dataclass
class Call:
    """A call whose attempts fail one after the other; time passes in them and between them."""

    terms: Terms = CHANGE
    budget: Budget = field(default_factory=Budget)
    chance: float = 0.5
    now: float = 1_000.0
    limits: list[float] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def ends_with(self, *failures: Failed, each_takes: float = 0.0) -> PaymentError:
        """What its caller is told; fails where an attempt is missing, or is one too many."""
        began = self.now
        attempts = Attempts(self.terms, self.budget, self.now, lambda: self.chance)
        for number, failure in enumerate(failures, start=1):
            limit_seconds = attempts.next_limit_seconds(self.now)
            self.limits.append(limit_seconds)
            is_silence = failure.error.code == "DEADLINE_EXCEEDED"
            self.now += limit_seconds if is_silence else each_takes
            assert self.now - began <= self.terms.timeout_seconds
            pause = attempts.pause_after(failure, self.now)
            if pause is None:
                assert number == len(failures), f"gave up after attempt {number}"
                return attempts.told()
            self.pauses.append(pause)
            self.now += pause
        raise AssertionError(f"goes on after attempt {len(failures)}")


# How often, and when.


def test_a_call_has_four_attempts() -> None:
    Call().ends_with(CUT, CUT, CUT, CUT)
    assert ATTEMPTS_LIMIT == 4


@pytest.mark.parametrize(
    "failure",
    [CUT, failed("CANCELLED", was_cut=True), STOPPING, OVERLOADED],
    ids=["cut", "cancelled", "stopping", "overloaded"],
)
def test_what_may_pass_is_tried_again(failure: Failed) -> None:
    Call().ends_with(failure, failure, failure, failure)


@pytest.mark.parametrize("reason", ["TRANSACTION_ABORTED", "RATE_LIMITED", "WATCHER_TOO_SLOW"])
def test_aborted_and_exhausted_are_tried_again_where_the_service_says_when(reason: str) -> None:
    told = failed(ERRORS[reason].code, reason, 0.2)
    Call().ends_with(told, told, told, told)


@pytest.mark.parametrize("reason", ["VERSION_MISMATCH", "MESSAGE_TOO_LARGE", "RATE_LIMITED"])
def test_aborted_and_exhausted_without_a_word_on_when_are_the_end(reason: str) -> None:
    Call().ends_with(failed(ERRORS[reason].code, reason))


@pytest.mark.parametrize(
    "reason",
    [
        name
        for name, row in ERRORS.items()
        if row.code not in ("UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED")
    ],
)
def test_every_other_reason_of_the_contract_is_the_end_even_with_a_word_on_when(
    reason: str,
) -> None:
    Call().ends_with(failed(ERRORS[reason].code, reason, 0.2))


def test_who_was_not_reached_is_waited_for_as_long_as_the_call_lasts() -> None:
    call = Call(chance=1.0)
    error = call.ends_with(*[UNREACHED] * 17)  # a pause of 0.3 s each, in 5 s
    assert type(error) is Unavailable
    assert call.now - 1_000.0 == pytest.approx(4.8)


def test_attempts_that_never_left_do_not_count() -> None:
    Call().ends_with(UNREACHED, CUT, UNREACHED, CUT, UNREACHED, CUT, UNREACHED, CUT)


def test_pauses_are_random_below_a_ceiling_that_grows() -> None:
    longest, none = Call(chance=1.0), Call(chance=0.0)
    longest.ends_with(CUT, CUT, CUT, CUT)
    none.ends_with(CUT, CUT, CUT, CUT)
    assert longest.pauses == pytest.approx([0.1, 0.3, 0.9])
    assert none.pauses == [0, 0, 0]


def test_the_pause_is_never_shorter_than_the_service_asks_for() -> None:
    call = Call(chance=0.0)
    call.ends_with(*[failed("UNAVAILABLE", "OVERLOADED", 0.7)] * 4)
    assert call.pauses == pytest.approx([0.7, 0.7, 0.7])


def test_the_servers_pushback_is_waited_for() -> None:
    call = Call(chance=0.0)
    call.ends_with(*[failed("UNAVAILABLE", pushback_seconds=0.4)] * 4)
    assert call.pauses == pytest.approx([0.4, 0.4, 0.4])


def test_a_pushback_of_never_is_the_end() -> None:
    Call().ends_with(failed("UNAVAILABLE", pushback_seconds=math.inf))


def test_who_is_asked_to_wait_beyond_the_timeout_gives_up_at_once() -> None:
    call = Call()
    error = call.ends_with(failed("RESOURCE_EXHAUSTED", "RATE_LIMITED", 5.0))
    assert (error.reason, call.now) == ("RATE_LIMITED", 1_000.0)
    assert error.retry_after == timedelta(seconds=5)


# How long.


def test_a_silent_first_attempt_leaves_half_of_the_time_for_another() -> None:
    call = Call(READ, chance=0.0)
    call.ends_with(SILENT, SILENT)
    assert call.limits == [2.5, 2.5]


@pytest.mark.parametrize(("timeout", "first"), [(0.2, 0.2), (1.0, 1.0), (1.5, 1.0), (60.0, 30.0)])
def test_the_first_attempt_has_a_second_or_all_of_a_shorter_timeout(
    timeout: float, first: float
) -> None:
    attempts = Attempts(Terms(timeout, {}), Budget(), 0.0)
    assert attempts.next_limit_seconds(0.0) == first


def test_later_attempts_have_all_that_is_left() -> None:
    call = Call(READ, chance=1.0)
    call.ends_with(CUT, CUT, CUT, CUT, each_takes=0.5)
    assert call.limits == pytest.approx([2.5, 4.4, 3.6, 2.2])


def test_an_attempt_after_one_that_never_left_is_still_the_first() -> None:
    call = Call(READ, chance=1.0)
    call.ends_with(UNREACHED, SILENT, SILENT)
    assert call.limits == pytest.approx([2.5, 2.35, 2.25])


def test_no_attempt_begins_that_could_bring_no_answer_home() -> None:
    call = Call(Terms(1.0, {}), chance=0.0)
    call.ends_with(CUT, each_takes=0.96)


def test_who_sleeps_for_too_long_has_a_moment_left() -> None:
    attempts = Attempts(Terms(1.0, {}), Budget(), 0.0)
    assert attempts.next_limit_seconds(9.0) == LEAST_SECONDS


def test_no_attempt_begins_when_the_time_is_over() -> None:
    Call(Terms(0.5, {}), chance=0.0).ends_with(SILENT)


# What is told.


@pytest.mark.parametrize("failure", [CUT, SILENT, failed("UNKNOWN"), failed("RESOURCE_EXHAUSTED")])
def test_a_change_that_may_have_happened_ends_as_an_unknown_outcome(failure: Failed) -> None:
    error = told_after(failure)
    assert type(error) is OutcomeUnknown
    assert (error.retryable, error.idempotency_key) == (True, "order-42")


def test_an_unknown_outcome_says_what_came_between() -> None:
    error = told_after(CUT)
    assert (error.reason, error.message) == ("UNAVAILABLE", "the message")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (CUT, Unavailable),
        (SILENT, DeadlineExceeded),
        (failed("RESOURCE_EXHAUSTED"), ResourceExhausted),
        (failed("UNKNOWN"), Internal),
    ],
)
def test_a_read_ends_as_what_it_met(failure: Failed, kind: type[PaymentError]) -> None:
    assert type(told_after(failure, terms=READ)) is kind


@pytest.mark.parametrize(
    "reason",
    sorted(ERRORS.keys() - {"OUTCOME_UNKNOWN", "PROCESSOR_UNREACHABLE", "INTERNAL_ERROR"}),
)
def test_a_refusal_of_the_contract_says_that_nothing_happened(reason: str) -> None:
    failure = failed(ERRORS[reason].code, reason)
    assert told_after(failure) is failure.error


@pytest.mark.parametrize("failure", [UNREACHED, STOPPING, OVERLOADED])
def test_what_surely_did_not_happen_is_unavailable(failure: Failed) -> None:
    assert type(told_after(failure)) is Unavailable


@pytest.mark.parametrize("row", [ERRORS["OUTCOME_UNKNOWN"], OUTCOME_UNKNOWN_WITHOUT_KEY])
def test_the_services_own_word_that_it_does_not_know_is_handed_on(row: Any) -> None:
    failure = failed(row.code, row.reason)
    error = told_after(failure)
    assert (type(error), error.reason, error.code) == (OutcomeUnknown, row.reason, row.code)


def test_a_processor_that_was_not_reached_yet_may_be_reached_later() -> None:
    error = told_after(failed("UNAVAILABLE", "PROCESSOR_UNREACHABLE"))
    assert (type(error), error.reason) == (OutcomeUnknown, "PROCESSOR_UNREACHABLE")


@pytest.mark.parametrize("reason", ["INTERNAL_ERROR", "MALFORMED_ANSWER"])
def test_a_fault_of_the_service_is_told_as_one(reason: str) -> None:
    assert type(told_after(failed("INTERNAL", reason))) is Internal


@pytest.mark.parametrize("lost", [CUT, SILENT])
@pytest.mark.parametrize("last", [REFUSED, failed("ABORTED", "VERSION_MISMATCH"), STOPPING])
def test_after_a_lost_attempt_a_refusal_of_the_moment_is_not_the_whole_truth(
    lost: Failed, last: Failed
) -> None:
    error = told_after(lost, last)
    assert (type(error), error.reason) == (OutcomeUnknown, "OUTCOME_UNKNOWN")
    assert error.message == "an attempt was lost on its way; besides: the message"


@pytest.mark.parametrize(
    "reason",
    ["FIELD_INVALID", "CARD_DATA_REJECTED", "PAYMENT_NOT_FOUND", "IDEMPOTENCY_KEY_REUSED"],
)
def test_what_no_attempt_can_have_passed_is_told_as_it_is(reason: str) -> None:
    last = failed(ERRORS[reason].code, reason)
    assert told_after(CUT, last) is last.error


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS"])
def test_after_a_lost_attempt_the_same_from_somebody_else_says_nothing_of_it(code: str) -> None:
    assert type(told_after(CUT, failed(code))) is OutcomeUnknown


def test_a_server_that_does_not_know_the_call_says_nothing_of_a_lost_attempt() -> None:
    unknown = failed("UNIMPLEMENTED", "ROUTE_NOT_FOUND")
    assert type(told_after(CUT, unknown)) is OutcomeUnknown
    assert told_after(unknown) is unknown.error


def test_who_was_not_reached_after_a_lost_attempt_knows_nothing() -> None:
    assert told_after(CUT, *[UNREACHED] * 40).reason == "OUTCOME_UNKNOWN"


def test_a_refusal_after_attempts_that_did_nothing_is_told_as_it_is() -> None:
    assert told_after(UNREACHED, STOPPING, REFUSED) is REFUSED.error


@pytest.mark.parametrize("less", [SILENT, CUT, UNREACHED])
def test_a_word_of_the_service_tells_more_than_what_came_after_it(less: Failed) -> None:
    assert told_after(STOPPING, less, *[UNREACHED] * 40, terms=READ) is STOPPING.error


def test_a_silence_tells_less_than_a_lost_connection_before_it() -> None:
    assert told_after(CUT, SILENT, SILENT, SILENT, terms=READ) is CUT.error


def test_a_probe_is_not_tried_again() -> None:
    Call(Terms(5.0, {}, is_probe=True)).ends_with(UNREACHED)


# The budget.


def test_trouble_is_not_tried_again_when_half_of_the_budget_is_gone() -> None:
    budget = Budget()
    Call(budget=budget).ends_with(OVERLOADED, OVERLOADED, OVERLOADED, OVERLOADED)
    Call(budget=budget).ends_with(OVERLOADED)


@pytest.mark.parametrize("gone", [CUT, STOPPING, UNREACHED, failed("CANCELLED", was_cut=True)])
def test_who_has_gone_does_not_cost_the_budget(gone: Failed) -> None:
    budget = Budget()
    for _ in range(100):
        told_after(*[gone] * 40, budget=budget)
    Call(budget=budget).ends_with(OVERLOADED, OVERLOADED, OVERLOADED, OVERLOADED)


@pytest.mark.parametrize("trouble", [SILENT, OVERLOADED, failed("UNAVAILABLE")])
def test_silence_and_words_of_trouble_cost_a_token_each(trouble: Failed) -> None:
    budget = Budget()
    for _ in range(5):
        Attempts(READ, budget, 0.0).pause_after(trouble, 5.0)
    assert not budget.is_left


def test_a_refusal_costs_nothing() -> None:
    budget = Budget()
    for _ in range(100):
        told_after(REFUSED, budget=budget)
    assert budget.is_left


def test_successes_fill_the_budget_by_a_tenth_each() -> None:
    budget = Budget()
    for _ in range(int(BUDGET_TOKENS)):
        budget.spend()
    for _ in range(50):
        budget.earn()
    before = budget.is_left
    budget.earn()
    assert (before, budget.is_left) == (False, True)
    assert TOKENS_OF_SUCCESS == 0.1


def test_the_budget_has_a_brim_and_a_bottom() -> None:
    budget = Budget()
    for _ in range(1_000):
        budget.earn()
    for _ in range(1_000):
        budget.spend()
    for _ in range(51):
        budget.earn()
    assert budget.is_left


def told_after(
    *failures: Failed, terms: Terms = CHANGE, budget: Budget | None = None
) -> PaymentError:
    """What is told when these have failed in turn, or as many of them as there were attempts."""
    attempts = Attempts(terms, budget or Budget(), 0.0, lambda: 1.0)
    now = 0.0
    for failure in failures:
        pause = attempts.pause_after(failure, now)
        if pause is None:
            break
        now += pause
    return attempts.told()
