"""What the contract promises of a payment in the sandbox, as a caller sees it over gRPC.

The amounts and refusals are those of the model of the pure domain; here are the sandbox's tokens,
operations with their outcomes, refunds, and the history that the events have to tell.
"""

from dataclasses import dataclass, field, replace

from unit.payment_model import Begun, PaymentModel, Wish

from payment.v1 import payment_pb2 as pb

CURRENCIES = {"USD": 2, "JPY": 0, "KWD": 3}
NEVER_AGAIN = {"lost_card", "stolen_card", "do_not_try_again"}
AMOUNTS = (2, 10, 700, 1000, 2505, 1041, 1051, 9990, 999_999_999_900)
BY_AMOUNT = {5: "do_not_honor", 41: "lost_card", 51: "insufficient_funds"}
"""What card_by_amount makes of those amounts."""

NUMBERS = {
    "4242 4242 4242 4242": "card_visa",
    "4000000000009995": "decline:insufficient_funds",
    "4000002500003155": "card_3ds",
    "4000000000007726": "card_refund_pending",
    "4000-0000-0000-5126": "card_refund_late_fail",
}

CHALLENGE, SILENCE = "challenge", "silence"
"""What the sandbox may say beside the code of a decline and, for an approval, nothing."""


def token_of(method: str) -> str:
    return NUMBERS.get(method, method)


def in_words(minor: int, exponent: int) -> str:
    """An amount with all the digits of its currency."""
    if not exponent:
        return str(minor)
    digits = f"{minor:0{exponent + 1}d}"
    return f"{digits[:-exponent]}.{digits[-exponent:]}"


@dataclass(frozen=True)
class Seen:
    """A payment as a caller sees it, but for ids, words and times."""

    amount: str
    status: str
    authorized: str
    captured: str
    capturable: str
    voided: str
    refunded: str
    refund_pending: str
    refundable: str
    method: str
    decline: str
    attempts: int
    version: int
    allowed: tuple[str, ...]
    is_challenged: bool
    is_held: bool


def seen(payment: pb.Payment) -> Seen:
    return Seen(
        amount=payment.amount,
        status=_word(pb.PaymentStatus, payment.status),
        authorized=payment.amount_authorized,
        captured=payment.amount_captured,
        capturable=payment.amount_capturable,
        voided=payment.amount_voided,
        refunded=payment.amount_refunded,
        refund_pending=payment.amount_refund_pending,
        refundable=payment.amount_refundable,
        method=payment.payment_method,
        decline=payment.decline.code,
        attempts=payment.attempts,
        version=payment.version,
        allowed=tuple(payment.allowed_actions),
        is_challenged=payment.HasField("next_action"),
        is_held=payment.HasField("authorization_expires_at"),
    )


@dataclass(frozen=True)
class SeenOperation:
    """An operation as a caller sees it, but for its id and times."""

    kind: str
    status: str
    amount: str
    decline: str


def seen_operation(operation: pb.Operation) -> SeenOperation:
    return SeenOperation(
        kind=_word(pb.OperationKind, operation.kind),
        status=_word(pb.OperationStatus, operation.status),
        amount=operation.amount,
        decline=operation.decline.code,
    )


@dataclass
class Asked:
    """An operation: what was asked, and what came of it. A refund that had succeeded may have
    `failed_late`. `answer` is the payment as whoever asked is told, once the outcome is known."""

    begun: Begun
    method: str
    result: str = ""
    reason: str = ""
    operation_id: str = ""
    status: str = "pending"
    decline: str = ""
    failed_late: bool = False
    answer: Seen | None = None

    def says(self, *, looked_up: bool = False) -> str:
        """What the sandbox says when it is asked, or when it is looked up long after."""
        by_kind = {
            ("authorize", "card_3ds"): CHALLENGE,
            ("authorize", "card_timeout"): "" if looked_up else SILENCE,
            ("capture", "card_capture_fails"): "processing_error",
            ("refund", "card_refund_pending"): "" if looked_up else SILENCE,
            ("refund", "card_refund_late_fail"): "invalid_account" if looked_up else "",
        }
        kind = self.begun.kind
        if kind == "authorize" and self.method == "card_capture_fails" and self.begun.captures:
            return "processing_error"
        if kind == "authorize" and self.method == "card_by_amount":
            return BY_AMOUNT.get(self.begun.amount % 100, "")
        if kind == "authorize" and self.method.startswith("decline:"):
            return self.method.removeprefix("decline:")
        if kind == "complete" and self.result == "refused":
            return "authentication_failed"
        return by_kind.get((kind, self.method), "")


@dataclass
class Life:
    """One payment, everything that was asked for it, and what happened at each version."""

    model: PaymentModel
    currency: str
    payment_id: str = ""
    decline: str = ""
    asked: list[Asked] = field(default_factory=list)
    history: list[tuple[str, Seen]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._happened()

    @property
    def under_way(self) -> list[Asked]:
        return [each for each in self.asked if each.status == "pending"]

    @property
    def refunds(self) -> list[Asked]:
        return [each for each in self.asked if each.begun.kind == "refund"]

    @property
    def may_fail_late(self) -> list[Asked]:
        return [
            each
            for each in self.refunds
            if each.method == "card_refund_late_fail"
            and each.status == "succeeded"
            and not each.failed_late
        ]

    def ask(self, wish: Wish, *, result: str = "", reason: str = "") -> Asked:
        """Stores the intent. Raises Refused, and then nothing has changed."""
        begun = self.model.ask(replace(wish, method=token_of(wish.method)))
        asked = Asked(begun, self.model.method, result, reason)
        self.asked.append(asked)
        self._happened()
        if begun.kind == "cancel" and not begun.amount:  # nothing was held, so nobody is asked
            asked.status, asked.answer = "succeeded", self.seen
        return asked

    def settle(self, asked: Asked, *, looked_up: bool = False) -> None:
        """Books what the sandbox says, if it says something."""
        match asked.says(looked_up=looked_up):
            case "silence":
                return
            case "challenge":
                self.model.challenge(asked.begun)
                asked.status = "requires_action"
            case "":
                self.model.approve(asked.begun)
                asked.status = "succeeded"
            case code:
                self.model.decline(asked.begun, for_good=code in NEVER_AGAIN)
                asked.status, asked.decline = "failed", code
                self.decline = code
        self._happened()
        asked.answer = self.seen

    def lapse(self) -> None:
        """Raises Refused where an operation under way has to be waited for."""
        self.model.lapse()
        self._happened()

    def fail_late(self, refund: Asked) -> None:
        refund.failed_late = True
        self.model.reverse(refund.begun.amount)
        self._happened()

    @property
    def seen(self) -> Seen:
        model = self.model
        is_held = model.status in ("authorized", "partially_captured")
        return Seen(
            amount=self.words(model.amount),
            status=model.status,
            authorized=self.words(model.authorized),
            captured=self.words(model.captured),
            capturable=self.words(model.capturable),
            voided=self.words(model.voided),
            refunded=self.words(model.refunded),
            refund_pending=self.words(model.refund_pending),
            refundable=self.words(model.refundable),
            method=model.method,
            decline=self.decline if model.status == "failed" else "",
            attempts=model.attempts,
            version=model.version,
            allowed=tuple(model.allowed_actions),
            is_challenged=model.status == "requires_action",
            is_held=is_held,
        )

    def seen_operation(self, asked: Asked) -> SeenOperation:
        begun = asked.begun
        return SeenOperation(begun.kind, asked.status, self.words(begun.amount), asked.decline)

    def words(self, minor: int) -> str:
        return in_words(minor, CURRENCIES[self.currency])

    def _happened(self) -> None:
        self.history.append((self.model.happened, self.seen))


def _word(enum: object, value: int) -> str:
    """RED of the enum Colour is COLOUR_RED on the wire."""
    prefixes = ("PAYMENT_STATUS_", "OPERATION_KIND_", "OPERATION_STATUS_", "REFUND_STATUS_")
    name: str = enum.Name(value)  # type: ignore[attr-defined]
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name.lower()
