"""Whole lives of payments beside the model, with every promise looked at after every step.

Small payments live all the lives that they can; large ones live random ones.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import astuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from service_under_test import SCALE
from unit.life import APPROVAL, ATTEMPTS, CHALLENGE, Life, listed_in_migration
from unit.payment_model import Wish

from payment_server.domain.payment import TRANSITIONS, Action, Advice, CaptureMethod, Status

METHODS = ("", "card", "card_visa")
LIVES_LIMIT = 5_000  # several times as many as there are: one that grows for ever has to end
STEPS = {
    (event, status, target)
    for (status, event), targets in TRANSITIONS.items()
    for target in targets
}


@pytest.fixture(scope="module")
def small_lives() -> tuple[set[str], set[tuple[str, ...]]]:
    """All that payments of 6 minor units can live through: the statuses, and the steps between."""
    # Breadth first: the first life that breaks a promise is a shortest one.
    waiting = deque(
        Life.of(6, 2, method, has_deadline=has_deadline)
        for method in CaptureMethod
        for has_deadline in (False, True)
    )
    known, steps = {same(life) for life in waiting}, set()
    while waiting:
        life = waiting.popleft()
        life.keep_the_promises()
        for after in one_step_on(life):
            steps.add(after.happened)
            if same(after) not in known:
                known.add(same(after))
                waiting.append(after)
        assert len(known) < LIVES_LIMIT
    return {str(status) for status, *_ in known}, steps


def one_step_on(life: Life) -> Iterator[Life]:
    for wish in wishes(life):
        after = life.fork()
        if after.ask(wish):
            yield after
    for which in range(len(life.under_way)):
        for word in life.words(which):
            after = life.fork()
            after.answer(which, word)
            yield after
    for which in range(len(life.refunds)):
        after = life.fork()
        after.reverse(which)
        yield after
    after = life.fork()
    if after.lapse():
        yield after


def wishes(life: Life) -> Iterator[Wish]:
    for action in (Action.PROCESS, Action.AUTHORIZE):
        yield from (Wish(action, method=method) for method in METHODS)
    yield from (Wish(Action.CANCEL), Wish(Action.COMPLETE))
    yield from (Wish(Action.REFUND, part) for part in range(life.left("refund") + 2))
    amount = life.payment.amount_minor
    parts = range(life.left("capture") + 2) if life.model.authorized else (0, 1, amount, amount + 1)
    for part in parts:
        yield from (Wish(Action.CAPTURE, part, method) for method in METHODS)
        for is_final in (False, True):
            yield Wish(Action.CAPTURE, part, is_strict=True, is_final=is_final)


def same(life: Life) -> tuple[object, ...]:
    """What two lives have in common that can only go on alike."""
    model = life.model
    attempts = (model.attempts, model.method, model.is_method_refused, model.is_automatic)
    return (
        model.status,
        model.ends,
        *(model.authorized, model.captured, model.capture_pending, model.voided),
        *(model.void_pending, model.refunded, model.refund_pending),
        None if model.authorized else attempts,
        model.challenge_captures and model.status == "requires_action",
        tuple(sorted(astuple(begun) for _, begun in life.under_way)),
        tuple(sorted(model.given_back.elements())),
    )


def test_every_life_of_a_small_payment_keeps_every_promise(
    small_lives: tuple[set[str], set[tuple[str, ...]]],
) -> None:
    assert small_lives[0] == set(Status)


def test_every_step_of_the_table_is_taken_in_some_life_and_no_other(
    small_lives: tuple[set[str], set[tuple[str, ...]]],
) -> None:
    assert small_lives[1] == STEPS


def test_the_database_takes_the_steps_of_the_table_and_no_others() -> None:
    assert listed_in_migration("is_a_step_of_the_lifecycle") == STEPS


SHARES = st.sampled_from(("all", "one", "half", "rest", "too much"))
LIVES = st.builds(
    Life.of,
    st.integers(1, 10**12 - 2),  # a request can still say one more
    st.sampled_from((0, 2, 3)),
    st.sampled_from(CaptureMethod),
    has_deadline=st.booleans(),
)
WORDS = st.just(APPROVAL) | st.just(CHALLENGE) | st.sampled_from(Advice)


class LongLives(RuleBasedStateMachine):
    """Payments of any size, one after the other."""

    @initialize(life=LIVES)
    def create(self, life: Life) -> None:
        self.life = life

    @precondition(lambda self: not (self.life.payment.allowed_actions or self.life.under_way))
    @rule(life=LIVES)
    def create_another(self, life: Life) -> None:
        self.life = life

    @precondition(lambda self: self.life.payment.allowed_actions)
    @rule(which=st.integers(0, 59), share=SHARES, method=st.sampled_from(METHODS))
    def ask_what_is_allowed(self, which: int, share: str, method: str) -> None:
        allowed = self.life.payment.allowed_actions
        self.ask(allowed[which % len(allowed)], share, method)

    @precondition(lambda self: Action.CAPTURE in self.life.payment.allowed_actions)
    @rule(share=SHARES, is_final=st.booleans())
    def capture(self, share: str, is_final: bool) -> None:
        part = self.part("capture", share)
        self.life.ask(Wish("capture", part, is_strict=True, is_final=is_final))

    @rule(
        action=st.sampled_from(Action),
        share=SHARES,
        method=st.sampled_from(METHODS),
        ahead=st.sampled_from((0, -1, 1)),
    )
    def ask_anything(self, action: Action, share: str, method: str, ahead: int) -> None:
        self.ask(action, share, method, version=self.life.model.version + ahead)

    @precondition(lambda self: self.life.under_way)
    @rule(which=st.integers(0, 59), word=WORDS)
    def answer(self, which: int, word: str) -> None:
        chosen = which % len(self.life.under_way)
        is_fit = word != CHALLENGE or CHALLENGE in self.life.words(chosen)
        self.life.answer(chosen, word if is_fit else APPROVAL)

    @precondition(lambda self: self.life.refunds)
    @rule(which=st.integers(0, 59))
    def reverse(self, which: int) -> None:
        self.life.reverse(which % len(self.life.refunds))

    @rule(is_up=st.sampled_from((True, False, False, False)))
    def let_time_pass(self, is_up: bool) -> None:
        if is_up or not self.life.model.ends:
            self.life.lapse()

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.life.keep_the_promises()

    def part(self, action: str, share: str) -> int:
        left = self.life.left(action)
        return {"all": 0, "one": 1, "half": (left + 1) // 2, "rest": left}.get(share, left + 1)

    def ask(self, action: Action, share: str, method: str, version: int = 0) -> None:
        is_part = action in (Action.CAPTURE, Action.REFUND)
        part = self.part(action, share) if is_part else 0
        self.life.ask(Wish(action, part, method if action in ATTEMPTS else "", version))


TestLongLives = pytest.mark.scaled(LongLives.TestCase)
TestLongLives.settings = settings(
    max_examples=60 * SCALE,
    derandomize=SCALE == 1,
    stateful_step_count=50,
    # A long life is shrunk for minutes, and explained for more; the small payments above tell
    # what is wrong in a few steps.
    phases=[Phase.generate],
)
