"""The lives that payments are led through, call by call, and what was told of each call."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from payment_client import (
    AmountTooLarge,
    AsyncPaymentClient,
    CaptureMethod,
    Event,
    IllegalTransition,
    OperationStatus,
    Payment,
    PaymentClient,
    PaymentError,
    ProcessedPayment,
    RefundedPayment,
)

Client: TypeAlias = PaymentClient | AsyncPaymentClient
Answer: TypeAlias = Payment | ProcessedPayment | RefundedPayment
ValueT = TypeVar("ValueT")

AMOUNT: Final = Decimal("20.00")


@dataclass(frozen=True)
class Step:
    """A call of a life, without its payment and its key."""

    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    refusal: type[PaymentError] | None = None
    """What the service says to it; None where it has an effect."""
    events: int = 2
    """What it leaves behind: an intent and its outcome, where a processor is asked."""


def capture(amount: str, *, final: bool = False) -> Step:
    return Step("capture", {"amount": Decimal(amount), "final": final})


def refund(amount: str) -> Step:
    return Step("refund", {"amount": Decimal(amount)})


PROCESS: Final = Step("process")
RELEASE: Final = Step("cancel")
GIVE_UP: Final = Step("cancel", events=1)
"""Before anything is held, no processor is asked."""
TOO_EARLY: Final = Step("capture", refusal=IllegalTransition, events=0)
TOO_MUCH: Final = Step("refund", {"amount": Decimal("20.01")}, refusal=AmountTooLarge, events=0)

MANUAL: Final = {"capture_method": CaptureMethod.MANUAL}
DECLINED: Final = {"payment_method": "decline:insufficient_funds"}
LIVES: Final[tuple[tuple[Mapping[str, Any], tuple[Step, ...]], ...]] = (
    ({}, (PROCESS, refund("3.00"), refund("2.50"), TOO_MUCH, refund("0.01"))),
    (MANUAL, (TOO_EARLY, PROCESS, capture("4.00"), capture("1.25"), RELEASE)),
    (MANUAL, (PROCESS, capture("6.00", final=True), refund("6.00"))),
    (MANUAL, (PROCESS, RELEASE)),
    ({}, (GIVE_UP,)),
    (DECLINED, (PROCESS,)),
)
"""How each payment is created, and what follows."""


@dataclass(frozen=True)
class Change:
    """A call with all that it has, to be repeated as it is."""

    key: str
    step: Step
    arguments: Mapping[str, Any]

    async def ask(self, client: Client) -> Answer:
        ask = getattr(client.payments, self.step.method)
        answer: Answer = await either(ask(**self.arguments, idempotency_key=self.key))
        return answer


Outcome: TypeAlias = Answer | PaymentError


@dataclass
class Life:
    """One payment, and its calls in their order: first its creation.

    Whoever does not know what became of a call makes no further one.
    """

    told: list[tuple[Change, Outcome]] = field(default_factory=list)
    payment: Payment | None = None
    """As it was told last."""

    def tell(self, change: Change, outcome: Outcome) -> None:
        self.told.append((change, outcome))
        if not isinstance(outcome, PaymentError):
            self.payment = payment_of(outcome)

    @property
    def goes_on(self) -> bool:
        """Whether everything is known of it."""
        change, outcome = self.told[-1]
        if isinstance(outcome, PaymentError):
            return is_refusal(change.step, outcome)
        return not is_pending(outcome)


def is_refusal(step: Step, error: PaymentError) -> bool:
    return step.refusal is not None and isinstance(error, step.refusal)


def is_pending(answer: Answer) -> bool:
    return not isinstance(answer, Payment) and answer.operation.status is OperationStatus.PENDING


async def either(value: Awaitable[ValueT] | ValueT) -> ValueT:
    """What a method of either client comes to."""
    return await value if isinstance(value, Awaitable) else value


async def events_of(client: Client, payment_id: str) -> list[Event]:
    if isinstance(client, PaymentClient):
        return list(client.payments.events(payment_id))
    return [each async for each in client.payments.events(payment_id)]


def payment_of(answer: Answer) -> Payment:
    return answer if isinstance(answer, Payment) else answer.payment
