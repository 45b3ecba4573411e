"""Random lives of many payments on the real service, step by step beside a model of the contract.

The processor is the sandbox, but it may be silent, and what it has not said it says when the test
lets it; so every amount that is reserved meets every other step. Time is moved by the test too.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, ClassVar

import pytest
from auditing import differences_in
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from life_calls import Call, any_call, any_method, left_for, other_calls
from life_model import (
    AMOUNTS,
    CURRENCIES,
    Asked,
    Life,
    in_words,
    seen,
    seen_operation,
    token_of,
)
from life_world import Outside, World
from service_under_test import SCALE, Refusal, refusal, running
from unit.payment_model import PaymentModel, Refused

from payment.v1 import payment_pb2 as pb
from payment_server import payments as use_cases
from payment_server.payments import Payments
from payment_server.store import database as database_module
from payment_server.store.database import Database

LATE = "the processor is late with operation %s"  # which card_timeout is
LIVES = 12
STEPS = 30
EVENTS_MET = 15  # of the 18 types that can be: otherwise the lives are too poor to prove much
LIVES_LIMIT = 6  # at once in one run: enough to mix up, few enough for each to become old

AUTOMATIC, MANUAL = pb.CAPTURE_METHOD_AUTOMATIC, pb.CAPTURE_METHOD_MANUAL
PASSING = {
    *("PAYMENT_PROCESSING", "CAPTURE_IN_PROGRESS", "CANCEL_IN_PROGRESS", "REFUND_IN_PROGRESS"),
}


@dataclass
class Bound:
    """What a key is bound to: a creation, or a call. `reply` is the first that told the outcome."""

    life: Life
    call: Call | None = None
    asked: Asked | None = None
    reply: Any = None

    def means(self, life: Life, call: Call) -> bool:
        return life is self.life and self.call is not None and call.meaning == self.call.meaning


class Lives(RuleBasedStateMachine):
    """Payments whose processor always answers, asked by callers without keys."""

    world: ClassVar[World]
    met: ClassVar[set[str]]
    """The types of events that occurred in some life."""
    has_silence = False
    has_keys = False

    def __init__(self) -> None:
        super().__init__()
        self.random = Random()  # Hypothesis chooses what is done, this how: it does so evenly
        self.lives: list[Life] = []
        self.keys: dict[str, Bound] = {}

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.random = Random(seed)
        self._create()

    @precondition(lambda self: len(self.lives) < LIVES_LIMIT)
    @rule()
    def create(self) -> None:
        self._create()

    @rule()
    def ask(self) -> None:
        """Asks for something, mostly for a payment that may still become something else."""
        if not any(life.seen.allowed for life in self.lives):
            self._create()
        alive = [each for each in self.lives if each.seen.allowed]
        life = self.random.choice(alive if self.random.randrange(8) else self.lives)
        call = any_call(self.random, life)
        key = self._any_key() if self.has_keys else ""
        self.world.outside.is_silent = self.has_silence and self.random.random() < 0.5
        note(f"{life.payment_id}: {call}, {self.world.outside.is_silent=}, {key=}")
        self._ask(life, call, key)
        if key in self.keys and self.keys[key].call and self.random.randrange(3) == 0:
            self._use_again(key)
        self._agree(life)

    @rule(times=st.integers(2, 8))
    def ask_more(self, times: int) -> None:
        for _ in range(times):
            self.ask()

    @precondition(lambda self: any(life.under_way for life in self.lives))
    @rule()
    def hear(self) -> None:
        """The processor says what became of an operation."""
        life = self.random.choice([each for each in self.lives if each.under_way])
        self._hear(life, self.random.choice(life.under_way))
        self._agree(life)

    @precondition(lambda self: any(life.may_fail_late for life in self.lives))
    @rule()
    def fail_late(self) -> None:
        life = self.random.choice([each for each in self.lives if each.may_fail_late])
        refund = self.random.choice(life.may_fail_late)
        note(f"{life.payment_id}: a refund fails late")
        life.fail_late(refund)
        self.world.run(self.world.let_say(refund.operation_id))
        self._agree(life)

    @precondition(lambda self: any(life.model.ends for life in self.lives))
    @rule()
    def lapse(self) -> None:
        life = self.random.choice([each for each in self.lives if each.model.ends])
        if self.random.randrange(4) and not life.under_way:
            return  # most lives are to become old
        note(f"{life.payment_id}: the {life.model.ends} ends")
        with suppress(Refused):
            life.lapse()
        self.world.run(self.world.end_time(life.payment_id))
        self._agree(life)

    @precondition(lambda self: any(bound.call for bound in self.keys.values()))
    @rule()
    def come_back(self) -> None:
        """A key is used again, rightly and wrongly, whatever has become of the payment."""
        self._use_again(self.random.choice([key for key in self.keys if self.keys[key].call]))

    def teardown(self) -> None:
        for life in self.lives:
            while life.under_way:
                self._hear(life, life.under_way[0])
            self._agree(life)
            self._agree_in_the_end(life)

    def _create(self) -> None:
        amount, currency = self.random.choice(AMOUNTS), self.random.choice(list(CURRENCIES))
        is_automatic, method = self.random.random() < 0.4, any_method(self.random)
        has_deadline = self.random.random() < 0.2
        request = pb.CreatePaymentRequest(
            amount=in_words(amount, CURRENCIES[currency]),
            currency=currency,
            customer_id="cust123",
            payment_method=method,
            capture_method=AUTOMATIC if is_automatic else MANUAL,
            idempotency_key=f"create-{uuid.uuid4()}",
        )
        if has_deadline:
            request.expires_at.FromDatetime(datetime.now(UTC) + timedelta(days=1))
        model = PaymentModel(amount, is_automatic, "deadline" if has_deadline else "")
        model.method = token_of(method)
        life = Life(model, currency)
        reply, _ = self.world.run(self.world.send(request))
        life.payment_id = reply.payment_id
        note(f"{life.payment_id}: {request}")
        assert seen(reply.payment) == life.seen
        self.lives.append(life)
        if self.has_keys:
            again = self.world.run(self.world.send(request))
            assert again == (reply, "true")
            self.keys[request.idempotency_key] = Bound(life)

    def _any_key(self) -> str:
        """A new one, one that is bound, or none."""
        which = self.random.randrange(10)
        if which < 2 and self.keys:
            return self.random.choice(list(self.keys))
        return str(uuid.uuid4()) if which < 8 else ""

    def _ask(self, life: Life, call: Call, key: str) -> None:
        bound = self.keys.get(key)
        if bound is None:
            self._ask_for_the_first_time(life, call, key)
        elif bound.means(life, call):
            self._repeat(bound, call, key)
        else:
            assert self._refused(life, call, key).reason == "IDEMPOTENCY_KEY_REUSED"

    def _ask_for_the_first_time(self, life: Life, call: Call, key: str) -> None:
        try:
            asked = life.ask(call.wish, result=call.result or "approved", reason=call.reason)
        except Refused as refused:
            reason = str(refused)
        else:
            reason = ""
        if reason:
            self._agree_on_refusal(life, call, reason, self._refused(life, call, key))
            return
        if asked.status == "pending" and not self.world.outside.is_silent:
            life.settle(asked)
        reply, replayed = self.world.run(self.world.send(call.request(life, key)))
        assert replayed == ""
        asked.operation_id = reply.operation.operation_id
        assert seen(reply.payment) == life.seen
        assert seen_operation(reply.operation) == life.seen_operation(asked)
        if key:
            self.keys[key] = Bound(life, call, asked, reply if asked.answer else None)

    def _use_again(self, key: str) -> None:
        """The same wish in every spelling, nearly the same wish, and the same one elsewhere."""
        bound = self.keys[key]
        assert bound.call is not None
        version = self.random.choice((0, 1, bound.life.model.version, 99))
        wish = replace(bound.call.wish, version=version)
        for is_short in (True, False):
            self._repeat(bound, replace(bound.call, wish=wish, is_short=is_short), key)
        for other in other_calls(bound.call):
            self._ask(bound.life, other, key)
        self._ask(self.random.choice(self.lives), bound.call, key)
        self._agree(bound.life)

    def _refused(self, life: Life, call: Call, key: str) -> Refusal:
        return self.world.run(refusal(self.world.send(call.request(life, key))))

    def _repeat(self, bound: Bound, call: Call, key: str) -> None:
        life, asked = bound.life, bound.asked
        assert asked is not None
        reply, replayed = self.world.run(self.world.send(call.request(life, key)))
        assert replayed == "true"
        assert seen_operation(reply.operation) == life.seen_operation(asked)
        assert seen(reply.payment) == (asked.answer or life.seen)
        if asked.answer is None:
            return
        if bound.reply is not None and type(reply) is type(bound.reply):
            assert reply == bound.reply
        bound.reply = reply

    def _hear(self, life: Life, asked: Asked) -> None:
        note(f"{life.payment_id}: the processor says what became of {asked}")
        life.settle(asked, looked_up=True)
        self.world.outside.is_silent = False
        self.world.run(self.world.let_say(asked.operation_id))

    def _agree(self, life: Life) -> None:
        assert seen(self.world.run(self.world.read(life.payment_id))) == life.seen

    def _agree_on_refusal(self, life: Life, call: Call, reason: str, failed: Refusal) -> None:
        assert failed.reason == reason
        assert ("RetryInfo" in failed.details) is (reason in PASSING)
        if reason == "VERSION_MISMATCH":
            assert failed.metadata["version"] == str(life.model.version)
        elif reason != "FIELD_INVALID":
            assert failed.metadata["status"] == life.seen.status
            assert failed.metadata["allowed_actions"] == ",".join(life.seen.allowed)
        if reason.startswith("AMOUNT_EXCEEDS"):
            assert failed.metadata["limit"] == life.words(left_for(life, call.wish.action))

    def _agree_in_the_end(self, life: Life) -> None:
        self.met.update(happened for happened, _ in life.history)
        events = self.world.run(self.world.events(life.payment_id))
        assert [each.version for each in events] == list(range(1, life.model.version + 1))
        assert [(each.type, seen(each.payment)) for each in events] == life.history
        refunds = self.world.run(self.world.refunds(life.payment_id))
        told = [(each.refund_id, each.amount, each.status, each.reason) for each in refunds]
        assert told == [_as_refund(life, each) for each in reversed(life.refunds)]
        _agree_on_sums(life.model, self.world.run(self.world.moved(life.payment_id)))


class SilentLives(Lives):
    """Payments whose processor is silent half of the time, so that much is under way at once."""

    has_silence = True


class KeyedLives(Lives):
    """Payments whose callers use keys, rightly and wrongly, with a processor of both kinds."""

    has_silence = True
    has_keys = True


@pytest.fixture
async def world(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    # A twin is told at once that the outcome is outstanding, and card_timeout times out soon.
    monkeypatch.setattr(use_cases, "TWIN_WAIT_SECONDS", 0.0)
    # A disk that stalls for seconds is no matter of the model: the database may take its time.
    monkeypatch.setattr(database_module, "CALL_LIMIT_SECONDS", 40.0)
    for limit in ("lock_timeout", "statement_timeout"):
        monkeypatch.setitem(database_module._SESSION, limit, "30000")
    outside = Outside()
    async with running(database_url, {"PAYMENT_PROCESSOR_TIMEOUT_MS": "100"}, outside) as servers:
        yield World(
            servers, outside, database, Payments(database, outside), asyncio.get_running_loop()
        )


@pytest.mark.scaled
@pytest.mark.parametrize("kind", [Lives, SilentLives, KeyedLives])
async def test_the_service_lives_as_the_contract_says(
    world: World, database_url: str, caplog: pytest.LogCaptureFixture, kind: type[Lives]
) -> None:
    chosen = settings(
        max_examples=LIVES * SCALE,
        stateful_step_count=STEPS,
        derandomize=SCALE == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # each life takes a while: the first one that fails is told
        print_blob=True,
    )
    kind.world, kind.met = world, set()
    with caplog.at_level(logging.WARNING):
        await asyncio.to_thread(run_state_machine_as_test, kind, settings=chosen)
    assert len(kind.met) >= EVENTS_MET
    assert {record.msg for record in caplog.records} <= {LATE}
    assert await differences_in(database_url) == {}


def _as_refund(life: Life, asked: Asked) -> tuple[str, str, int, str]:
    status = "failed" if asked.failed_late else asked.status
    number = pb.RefundStatus.Value(f"REFUND_STATUS_{status.upper()}")
    return asked.operation_id, life.words(asked.begun.amount), number, asked.reason


def _agree_on_sums(model: PaymentModel, moved: Counter[tuple[str, str]]) -> None:
    customer, hold = "customer_funds", "authorization_hold"
    merchant, refunds = "merchant_balance", "refunds"
    set_aside = moved[merchant, refunds] - moved[refunds, merchant]
    assert moved[customer, hold] == model.authorized
    assert moved[hold, merchant] == model.captured
    assert moved[hold, customer] == model.voided
    assert moved[refunds, customer] - moved[customer, merchant] == model.refunded
    assert set_aside - moved[refunds, customer] == model.refund_pending
