"""One payment of the code and one of the model, asked and answered alike, and the promises that
are looked at after every step."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files

from unit.payment_model import Begun, PaymentModel, Refused, Wish
from unit.steps import declined

from payment_server.domain import commands
from payment_server.domain.commands import ChangePayment
from payment_server.domain.errors import IllegalStep, PaymentServiceError
from payment_server.domain.ledger import Account, transfers_between
from payment_server.domain.operation import (
    APPROVED,
    Operation,
    OperationKind,
    OperationStatus,
    Refund,
    RefundStatus,
    Verdict,
    refund_of,
)
from payment_server.domain.payment import Action, Advice, CaptureMethod, Payment, Status
from payment_server.domain.step import Change, Step, begin, lapse, reverse, settle

BEGINNING = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
APPROVAL, CHALLENGE = "approved", "challenge"
ATTEMPTS = ("process", "authorize", "capture")  # the actions that may authorize

_CONSTANT = (
    *("payment_id", "merchant_id", "customer_id", "capture_method", "description", "metadata"),
    *("currency", "exponent", "amount_minor", "created_at", "expires_at"),
)


@dataclass
class Life:
    """`refunds` are those that succeeded, `happened` the last step of either payment."""

    payment: Payment
    model: PaymentModel
    under_way: list[tuple[Operation, Begun]] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    accounts: Counter[Account] = field(default_factory=Counter)
    happened: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, amount: int, exponent: int, method: CaptureMethod, *, has_deadline: bool = False
    ) -> "Life":
        deadline = BEGINNING + timedelta(days=1) if has_deadline else None
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
            expires_at=deadline,
            lapses_at=deadline,
        )
        is_automatic = method is CaptureMethod.AUTOMATIC
        ends = "deadline" if has_deadline else ""
        return cls(payment, PaymentModel(amount, is_automatic, ends))

    def fork(self) -> "Life":
        model = replace(self.model, given_back=Counter(self.model.given_back))
        return replace(
            self,
            model=model,
            under_way=list(self.under_way),
            refunds=list(self.refunds),
            accounts=Counter(self.accounts),
        )

    def left(self, action: str) -> int:
        return self.model.refundable if action == "refund" else self.model.capturable

    def ask(self, wish: Wish) -> bool:
        """Whether both went on."""
        try:
            begun: Begun | str = self.model.ask(wish)
        except Refused as error:
            begun = str(error)
        step = self.attempt(wish)
        if isinstance(step, PaymentServiceError):
            assert step.reason == begun, wish
            return False
        assert isinstance(begun, Begun), (wish, begun)
        asked = step.operation
        assert (asked.kind, asked.amount_minor) == (begun.kind, begun.amount)
        assert (asked.captures, asked.released_minor) == (begun.captures, begun.released)
        assert asked.payment_method == self.model.method
        if asked.status is OperationStatus.PENDING:
            self.under_way.append((asked, begun))
        self._go_on(step)
        return True

    def answer(self, which: int, word: str) -> None:
        """Settles one operation under way: approved, challenged, or declined with an advice."""
        operation, begun = self.under_way.pop(which)
        if word == APPROVAL:
            verdict = APPROVED
            self.model.approve(begun)
        elif word == CHALLENGE:
            verdict = Verdict(status=OperationStatus.REQUIRES_ACTION)
            self.model.challenge(begun)
        else:
            verdict = declined(Advice(word))
            self.model.decline(begun, for_good=word == "never")
        step = settle(self.payment, operation, verdict, self._now())
        if operation.kind is OperationKind.REFUND:
            refund = refund_of(self.payment, step.operation)
            if refund.status is RefundStatus.SUCCEEDED:
                self.refunds.append(refund)
        self._go_on(step)

    def words(self, which: int) -> tuple[str, ...]:
        """What the processor may say to one of the operations under way."""
        is_attempt = self.under_way[which][1].kind in ("authorize", "complete")
        challenge = (CHALLENGE,) if is_attempt else ()
        return (APPROVAL, *challenge, Advice.LATER, Advice.NEVER)

    def lapse(self) -> bool:
        """Whether time ended both."""
        refusal = None
        try:
            self.model.lapse()
        except Refused as error:
            refusal = str(error)
        if refusal is None:
            self._go_on(lapse(self.payment, self._now()))
            return True
        assert self._refusal_of_lapse() == refusal
        return False

    def _refusal_of_lapse(self) -> str | None:
        """The reason why not; empty where time never ends anything."""
        try:
            lapse(self.payment, self._now())
        except IllegalStep as error:
            return error.reason
        except ValueError:
            return ""
        return None

    def reverse(self, which: int) -> None:
        """A refund that had succeeded fails after all."""
        refund = self.refunds.pop(which)
        self.model.reverse(refund.amount_minor)
        self._go_on(reverse(self.payment, refund, declined(Advice.OTHER), self._now()))

    def attempt(self, wish: Wish) -> Step | PaymentServiceError:
        command = self._command(wish)
        try:
            return begin(
                self.payment, command, operation_id="an id", idempotency_key=None, now=self._now()
            )
        except PaymentServiceError as error:
            return error

    def _command(self, wish: Wish) -> ChangePayment:
        amount = str(Decimal(wish.part).scaleb(-self.payment.exponent)) if wish.part else ""
        payment_id, version = self.payment.payment_id, wish.version
        if wish.action == "complete":
            return commands.complete_payment_action(payment_id=payment_id, expected_version=version)
        if wish.is_strict:
            return commands.capture_payment(
                payment_id=payment_id,
                amount=amount,
                final=wish.is_final,
                expected_version=version,
            )
        return commands.process_payment(
            payment_id=payment_id,
            action=wish.action,
            amount=amount,
            payment_method=wish.method,
            expected_version=version,
        )

    def _now(self) -> datetime:
        return self.payment.updated_at + MILLISECOND

    def _go_on(self, change: Change) -> None:
        before, after = self.payment, change.payment
        assert after.version == before.version + 1
        assert after.updated_at > before.updated_at
        assert all(getattr(after, name) == getattr(before, name) for name in _CONSTANT)
        assert change.event == self.model.happened
        for transfer in transfers_between(before, after):
            assert transfer.amount_minor > 0
            assert (transfer.debit, transfer.credit) in listed_in_migration(
                "money_goes_where_it_may"
            )
            self.accounts[transfer.debit] -= transfer.amount_minor
            self.accounts[transfer.credit] += transfer.amount_minor
        if isinstance(change, Step):
            assert operation_fits_the_database(change.operation)
        self.happened = (change.event, before.status, after.status)
        self.payment = after

    def keep_the_promises(self) -> None:
        self.agrees_with_the_model()
        self.no_money_comes_from_nowhere()
        self.transfers_sum_up_to_the_amounts()
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
        assert (of.lapses_at is not None) == bool(model.ends)
        assert (of.authorization_expires_at is not None) == (model.ends == "hold")
        assert list(of.allowed_actions) == model.allowed_actions

    def no_money_comes_from_nowhere(self) -> None:
        authorized, captured, capturing, voided, voiding, refunded, refunding = amounts_of(
            self.payment
        )
        assert min(amounts_of(self.payment)) >= 0
        assert captured + capturing + voided + voiding <= authorized <= self.payment.amount_minor
        assert refunded + refunding <= captured
        capturable = authorized - captured - capturing - voided - voiding
        assert self.payment.capturable_minor == capturable

    def transfers_sum_up_to_the_amounts(self) -> None:
        authorized, captured, _, voided, _, refunded, refunding = amounts_of(self.payment)
        assert self.accounts[Account.CUSTOMER_FUNDS] == voided + refunded - authorized
        assert self.accounts[Account.AUTHORIZATION_HOLD] == authorized - captured - voided
        assert self.accounts[Account.MERCHANT_BALANCE] == captured - refunded - refunding
        assert self.accounts[Account.REFUNDS] == refunding

    def what_is_reserved_is_what_is_under_way(self) -> None:
        reserved: Counter[str] = Counter()
        for operation, _ in self.under_way:
            reserved[operation.kind] += operation.amount_minor
            reserved["cancel"] += operation.released_minor
        of = self.payment
        is_processing = of.status is Status.PROCESSING
        authorizing = reserved["authorize"] + reserved["complete"]
        assert authorizing == (of.amount_minor if is_processing else 0)
        assert reserved["capture"] == of.capture_pending_minor
        assert reserved["cancel"] == of.void_pending_minor
        assert reserved["refund"] == of.refund_pending_minor

    def allowed_actions_tell_the_truth(self) -> None:
        """What is allowed can be done, and nothing else."""
        for action in Action:
            is_anew = action in ATTEMPTS and self.payment.status is Status.FAILED
            is_strict = action is Action.CAPTURE
            method = "card_another" if is_anew and not is_strict else ""
            answer = self.attempt(Wish(action, method=method, is_strict=is_strict))
            assert isinstance(answer, Step) == (action in self.payment.allowed_actions), action


def amounts_of(payment: Payment) -> tuple[int, ...]:
    return (
        payment.authorized_minor,
        *(payment.captured_minor, payment.capture_pending_minor),
        *(payment.voided_minor, payment.void_pending_minor),
        *(payment.refunded_minor, payment.refund_pending_minor),
    )


@cache
def listed_in_migration(function: str) -> frozenset[tuple[str, ...]]:
    """The rows that a function of the second migration lists, for a CHECK, as an array's texts."""
    migration = files("payment_server.store") / "migrations" / "0002_ledger_and_events.sql"
    text = migration.read_text(encoding="utf-8").partition(f"FUNCTION {function}")[2]
    array = re.search(r"ANY \('\{([^}]*)\}'\)", text.partition(";")[0])
    assert array is not None
    return frozenset(tuple(each.split()) for each in array[1].split(","))


def broken_checks(payment: Payment) -> Iterator[str]:
    """What the table payments CHECKs, said again: what of it would refuse the row."""
    authorized, captured, capturing, voided, voiding, refunded, refunding = amounts_of(payment)
    status, lapses_at = payment.status, payment.lapses_at
    is_over = captured == 0 and voided == authorized
    agrees = {
        **dict.fromkeys(("created", "requires_action", "processing", "failed"), authorized == 0),
        "authorized": captured == 0 and voided < authorized,
        "partially_captured": captured > 0 and captured + voided < authorized,
        "captured": captured > 0 and captured + voided == authorized and refunded == 0,
        "partially_refunded": 0 < refunded < captured,
        "refunded": captured > 0 and refunded == captured,
        **dict.fromkeys(("canceled", "expired"), is_over),
    }
    pending = {
        **dict.fromkeys(("authorized", "partially_captured"), refunding == 0),
        **dict.fromkeys(("captured", "partially_refunded"), capturing == voiding == 0),
    }
    ends = {
        "created": lapses_at == payment.expires_at,
        **dict.fromkeys(("requires_action", "authorized", "partially_captured"), bool(lapses_at)),
    }
    checks = {
        "no amount is below zero": min(amounts_of(payment)) >= 0,
        "amount_minor": payment.amount_minor > 0,
        "exponent": payment.exponent in (0, 2, 3),
        "attempts": 0 <= payment.attempts <= 10,
        "version": payment.version >= 1,
        "updated_at": payment.updated_at >= payment.created_at,
        "payment_method": 1 <= len(payment.payment_method) <= 255,
        "authorized is not exceeded": captured + capturing + voided + voiding <= authorized
        and authorized <= payment.amount_minor,
        "captured is not exceeded": refunded + refunding <= captured,
        "a decline belongs to failed": (payment.decline is not None) == (status == "failed"),
        "amounts agree with the status": agrees[status],
        "a challenge belongs to requires_action": (payment.next_action is not None)
        == (status == "requires_action"),
        "lapses_at agrees with the status": ends.get(status, lapses_at is None),
        "what is under way agrees with the status": pending.get(
            status, capturing == voiding == refunding == 0
        ),
    }
    yield from (name for name, holds in checks.items() if not holds)


def operation_fits_the_database(operation: Operation) -> bool:
    """The CHECKs of the table operations."""
    is_pending = operation.status is OperationStatus.PENDING
    is_failed = operation.status is OperationStatus.FAILED
    return (
        operation.amount_minor >= 0
        and operation.released_minor >= 0
        and (operation.settled_at is None) == is_pending
        and (operation.decline is not None) == is_failed
        and (operation.completes is not None) == (operation.kind is OperationKind.COMPLETE)
    )
