"""Whole lives of payments beside the model, with every promise looked at after every step.

Small payments live all the lives that they can; large ones live random ones.
"""

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.payment_model import Begun, PaymentModel, Refused

from payment_server.domain import commands
from payment_server.domain.errors import PaymentServiceError
from payment_server.domain.operation import APPROVED, Operation, OperationStatus, Verdict
from payment_server.domain.payment import Action, Advice, CaptureMethod, Decline, Payment, Status
from payment_server.domain.step import Step, begin, settle

ASKED = tuple(each for each in Action if each is not Action.COMPLETE)
BEGINNING = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
APPROVAL = "approved"


@dataclass
class Life:
    """A payment of the code and one of the model, asked and answered alike."""

    payment: Payment
    model: PaymentModel
    under_way: list[tuple[Operation, Begun]] = field(default_factory=list)

    @classmethod
    def of(cls, amount: int, exponent: int, method: CaptureMethod) -> "Life":
        payment = Payment(
            payment_id="019a206f-073f-73d0-bb2c-7581a22cc174",
            merchant_id="default",
            customer_id="cust123",
            payment_method="card",
            capture_method=method,
            description="",
            metadata={},
            currency="USD",
            exponent=exponent,
            amount_minor=amount,
            created_at=BEGINNING,
            updated_at=BEGINNING,
        )
        return cls(payment, PaymentModel(amount, method is CaptureMethod.AUTOMATIC))

    def fork(self) -> "Life":
        return Life(self.payment, copy(self.model), list(self.under_way))

    def left(self, action: Action) -> int:
        return self.model.refundable if action is Action.REFUND else self.model.capturable

    def ask(self, action: Action, part: int = 0, method: str = "", version: int = 0) -> bool:
        """Whether both went on; a part of 0 is all that is left, a version of 0 any."""
        try:
            begun: Begun | str = self.model.ask(action, part, method, version)
        except Refused as error:
            begun = str(error)
        step = self.attempt(action, part, method, version)
        if isinstance(step, PaymentServiceError):
            assert step.reason == begun
            return False
        assert isinstance(begun, Begun), begun
        operation = step.operation
        assert (operation.kind, operation.amount_minor) == (begun.kind, begun.amount)
        assert (operation.captures, operation.payment_method) == (begun.captures, self.model.method)
        if operation.status is OperationStatus.PENDING:
            self.under_way.append((operation, begun))
        self._go_on(step)
        return True

    def answer(self, which: int, word: str) -> None:
        """Settles one operation under way: approved, or declined with an advice."""
        operation, begun = self.under_way.pop(which)
        if word == APPROVAL:
            verdict = APPROVED
            self.model.approve(begun)
        else:
            verdict = Verdict(
                status=OperationStatus.FAILED, decline=Decline("a_code", Advice(word), "Declined.")
            )
            self.model.decline(begun, for_good=word == "never")
        self._go_on(settle(self.payment, operation, verdict, self.payment.updated_at + MILLISECOND))

    def attempt(
        self, action: Action, part: int = 0, method: str = "", version: int = 0
    ) -> Step | PaymentServiceError:
        wish = commands.process_payment(
            payment_id=self.payment.payment_id,
            action=action,
            amount=str(Decimal(part).scaleb(-self.payment.exponent)) if part else "",
            payment_method=method,
            expected_version=version,
        )
        now = self.payment.updated_at + MILLISECOND
        try:
            return begin(self.payment, wish, operation_id="an id", idempotency_key=None, now=now)
        except PaymentServiceError as error:
            return error

    def _go_on(self, step: Step) -> None:
        before, after = self.payment, step.payment
        assert after.version == before.version + 1
        assert after.updated_at > before.updated_at
        names = ("payment_id", "merchant_id", "currency", "exponent", "amount_minor", "created_at")
        assert all(getattr(after, name) == getattr(before, name) for name in names)
        assert operation_fits_the_database(step.operation)
        self.payment = after

    def keep_the_promises(self) -> None:
        self.agrees_with_the_model()
        self.no_money_comes_from_nowhere()
        self.what_is_reserved_is_what_is_under_way()
        self.allowed_actions_tell_the_truth()
        assert list(broken_checks(self.payment)) == []

    def agrees_with_the_model(self) -> None:
        of, model = self.payment, self.model
        assert (of.status, of.version, of.attempts) == (model.status, model.version, model.attempts)
        assert amounts_of(of) == (
            *(model.authorized, model.captured, model.capture_pending, model.voided),
            *(model.void_pending, model.refunded, model.refund_pending),
        )
        assert (of.capturable_minor, of.refundable_minor) == (model.capturable, model.refundable)
        assert of.payment_method == model.method

    def no_money_comes_from_nowhere(self) -> None:
        authorized, captured, capturing, voided, voiding, refunded, refunding = amounts_of(
            self.payment
        )
        assert min(amounts_of(self.payment)) >= 0
        assert captured + capturing + voided + voiding <= authorized <= self.payment.amount_minor
        assert refunded + refunding <= captured
        capturable = authorized - captured - capturing - voided - voiding
        assert self.payment.capturable_minor == capturable

    def what_is_reserved_is_what_is_under_way(self) -> None:
        reserved = {"authorize": 0, "capture": 0, "cancel": 0, "refund": 0}
        for operation, _ in self.under_way:
            reserved[operation.kind] += operation.amount_minor
        of = self.payment
        is_processing = of.status is Status.PROCESSING
        assert reserved["authorize"] == (of.amount_minor if is_processing else 0)
        assert reserved["capture"] == of.capture_pending_minor
        assert reserved["cancel"] == of.void_pending_minor
        assert reserved["refund"] == of.refund_pending_minor

    def allowed_actions_tell_the_truth(self) -> None:
        """What is allowed can be done, and nothing else."""
        for action in ASKED:
            is_attempt = action not in (Action.CANCEL, Action.REFUND)
            is_anew = is_attempt and self.payment.status is Status.FAILED
            answer = self.attempt(action, method="card_another" if is_anew else "")
            is_created = self.payment.status in (Status.CREATED, Status.FAILED)
            is_one_shot = action is Action.CAPTURE and is_created and self.payment.attempts < 10
            is_allowed = action in self.payment.allowed_actions or is_one_shot
            assert isinstance(answer, Step) == is_allowed, action


def amounts_of(payment: Payment) -> tuple[int, ...]:
    return (
        payment.authorized_minor,
        *(payment.captured_minor, payment.capture_pending_minor),
        *(payment.voided_minor, payment.void_pending_minor),
        *(payment.refunded_minor, payment.refund_pending_minor),
    )


def broken_checks(payment: Payment) -> Iterator[str]:
    """The CHECKs of the table payments, said again: which of them would refuse the row."""
    authorized, captured, capturing, voided, voiding, refunded, refunding = amounts_of(payment)
    agrees = {
        **dict.fromkeys(("created", "requires_action", "processing", "failed"), authorized == 0),
        "authorized": captured == 0 and voided < authorized,
        "partially_captured": captured > 0 and captured + voided < authorized,
        "captured": captured > 0 and captured + voided == authorized and refunded == 0,
        "partially_refunded": 0 < refunded < captured,
        "refunded": captured > 0 and refunded == captured,
        **dict.fromkeys(("canceled", "expired"), captured == 0 and voided == authorized),
    }
    checks = {
        "no amount is below zero": min(amounts_of(payment)) >= 0,
        "amount_minor": payment.amount_minor > 0,
        "exponent": payment.exponent in (0, 2, 3),
        "attempts": 0 <= payment.attempts <= 10,
        "version": payment.version >= 1,
        "updated_at": payment.updated_at >= payment.created_at,
        "payment_method": 1 <= len(payment.payment_method) <= 255,
        "authorized_is_not_exceeded": captured + capturing + voided + voiding <= authorized
        and authorized <= payment.amount_minor,
        "captured_is_not_exceeded": refunded + refunding <= captured,
        "decline_belongs_to_failed": (payment.decline is not None) == (payment.status == "failed"),
        "status_agrees_with_amounts": agrees[payment.status],
    }
    yield from (name for name, holds in checks.items() if not holds)


def operation_fits_the_database(operation: Operation) -> bool:
    """The CHECKs of the table operations."""
    is_pending = operation.status is OperationStatus.PENDING
    is_failed = operation.status is OperationStatus.FAILED
    return (
        operation.amount_minor >= 0
        and (operation.settled_at is None) == is_pending
        and (operation.decline is not None) == is_failed
    )


LIVES_LIMIT = 10_000  # several times as many as there are: one that grows for ever has to end


@pytest.mark.parametrize("method", CaptureMethod)
def test_every_life_of_a_small_payment_keeps_every_promise(method: CaptureMethod) -> None:
    # Breadth first: the first life that breaks a promise is a shortest one.
    first = Life.of(4, 2, method)
    known, waiting = {same(first)}, deque([first])
    while waiting:
        life = waiting.popleft()
        life.keep_the_promises()
        for after in one_step_on(life):
            if same(after) not in known:
                known.add(same(after))
                waiting.append(after)
        assert len(known) < LIVES_LIMIT
    assert {status for status, *_ in known} == set(Status) - {"requires_action", "expired"}


def one_step_on(life: Life) -> Iterator[Life]:
    for action in ASKED:
        is_part = action in (Action.CAPTURE, Action.REFUND)
        methods = () if action in (Action.CANCEL, Action.REFUND) else ("card", "card_visa")
        for part in range(life.left(action) + 2 if is_part else 1):
            for method in ("", *methods):
                after = life.fork()
                if after.ask(action, part, method):
                    yield after
    for which in range(len(life.under_way)):
        for word in (APPROVAL, Advice.LATER, Advice.NEVER):
            after = life.fork()
            after.answer(which, word)
            yield after


def same(life: Life) -> tuple[object, ...]:
    """What two lives have in common that can only go on alike."""
    under_way = sorted(astuple(begun) for _, begun in life.under_way)
    decline = life.payment.decline
    return (
        life.payment.status,
        astuple(replace(life.model, version=0)),
        tuple(under_way),
        decline and msgspec.json.encode(decline),
    )


SHARES = st.sampled_from(("all", "one", "half", "rest", "too much"))
METHODS = st.sampled_from(("", "", "card", "card_visa"))
LIVES = st.builds(
    Life.of, st.integers(1, 10**12 - 1), st.sampled_from((0, 2, 3)), st.sampled_from(CaptureMethod)
)


class LongLives(RuleBasedStateMachine):
    """Payments of any size, one after the other."""

    @initialize(life=LIVES)
    def create(self, life: Life) -> None:
        self.life = life

    @precondition(lambda self: not self.life.payment.allowed_actions and not self.life.under_way)
    @rule(life=LIVES)
    def create_another(self, life: Life) -> None:
        self.life = life

    @precondition(lambda self: self.life.payment.allowed_actions)
    @rule(which=st.integers(0, 59), share=SHARES, method=METHODS)
    def ask_what_is_allowed(self, which: int, share: str, method: str) -> None:
        allowed = self.life.payment.allowed_actions
        self.ask(allowed[which % len(allowed)], share, method, version=0)

    @rule(
        action=st.sampled_from(ASKED),
        share=SHARES,
        method=METHODS,
        ahead=st.sampled_from((0, -1, 1)),
    )
    def ask_anything(self, action: Action, share: str, method: str, ahead: int) -> None:
        self.ask(action, share, method, version=self.life.model.version + ahead)

    @precondition(lambda self: self.life.under_way)
    @rule(which=st.integers(0, 59), word=st.just(APPROVAL) | st.sampled_from(Advice))
    def answer(self, which: int, word: str) -> None:
        self.life.answer(which % len(self.life.under_way), word)

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.life.keep_the_promises()

    def ask(self, action: Action, share: str, method: str, version: int) -> None:
        left = self.life.left(action)
        parts = {"all": 0, "one": 1, "half": (left + 1) // 2, "rest": left, "too much": left + 1}
        part = parts[share] if action in (Action.CAPTURE, Action.REFUND) else 0
        is_attempt = action not in (Action.CANCEL, Action.REFUND)
        self.life.ask(action, part, method if is_attempt else "", version)


TestLongLives = LongLives.TestCase
TestLongLives.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    # A long life is shrunk for minutes, and explained for more; the small payments above tell
    # what is wrong in a few steps.
    phases=[Phase.generate],
)
