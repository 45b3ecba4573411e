"""What random callers ask for, in the words of the contract."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from google.protobuf.message import Message
from life_model import CURRENCIES, NUMBERS, Life, in_words, token_of
from unit.payment_model import Wish

from payment.v1 import payment_pb2 as pb

METHODS = (
    *("card", "card_visa", "pm_foreign", "card_by_amount", "card_capture_fails", "card_timeout"),
    *("decline:lost_card", "decline:insufficient_funds", "card_3ds", "card_3ds"),
    *("card_refund_pending", "card_refund_late_fail", "card_refund_late_fail", *NUMBERS),
)
ACTIONS = ("process", "authorize", "capture", "cancel", "refund", "complete")
ATTEMPTS = ("process", "authorize", "capture")
HELD = ("authorized", "partially_captured")
LIKELY = {"process": 4, "authorize": 4, "capture": 6, "cancel": 1, "refund": 4, "complete": 5}
"""How likely each action is where it is allowed: a payment that is canceled early has no life."""
STRICT_ONES = ("capture", "cancel", "refund", "complete")


@dataclass(frozen=True)
class Call:
    """A wish in the words of a caller."""

    wish: Wish
    result: str = ""
    reason: str = ""
    is_short: bool = False
    """Spelled with as few characters as possible."""

    @property
    def meaning(self) -> tuple[object, ...]:
        """What an idempotency key is bound to."""
        wish = replace(self.wish, version=0, method=token_of(self.wish.method))
        if wish.action != "capture":
            wish = replace(wish, is_strict=False)
        return wish, self.result or "approved", self.reason

    def request(self, life: Life, key: str) -> Message:
        wish, amount = self.wish, ""
        if wish.part:
            amount = in_words(wish.part, CURRENCIES[life.currency])
            if self.is_short and "." in amount:
                amount = amount.rstrip("0").rstrip(".")
        common: dict[str, Any] = {
            "payment_id": life.payment_id,
            "idempotency_key": key,
            "expected_version": wish.version,
        }
        match wish.action if wish.is_strict else "":
            case "capture":
                return pb.CapturePaymentRequest(amount=amount, final=wish.is_final, **common)
            case "cancel":
                return pb.CancelPaymentRequest(**common)
            case "refund":
                return pb.RefundPaymentRequest(amount=amount, reason=self.reason, **common)
            case "complete":
                result = "" if self.is_short and self.result == "approved" else self.result
                return pb.CompletePaymentActionRequest(result=result, **common)
            case _:
                action = "" if self.is_short and wish.action == "process" else wish.action
                return pb.ProcessPaymentRequest(
                    action=action, amount=amount, payment_method=wish.method, **common
                )


def any_call(random: Random, life: Life) -> Call:
    """Something that may be asked, or may not."""
    likely = [each for each in life.model.allowed_actions for _ in range(LIKELY[each])]
    action = random.choice(likely * 3 + list(ACTIONS))
    is_strict = action == "complete" or (action in STRICT_ONES and _one_in(2, random))
    takes_part = action in ("capture", "refund")
    wish = Wish(
        action=action,
        part=_any_part(random, left_for(life, action)) if takes_part else 0,
        method=_any_method(random, life) if action in ATTEMPTS and not is_strict else "",
        version=_any_version(random, life),
        is_strict=is_strict,
        is_final=action == "capture" and is_strict and _one_in(3, random),
    )
    result = "refused" if _one_in(3, random) else "approved"
    return Call(
        wish,
        result=result if action == "complete" else "",
        reason="torn" if is_strict and action == "refund" and _one_in(2, random) else "",
        is_short=_one_in(2, random),
    )


def other_calls(call: Call) -> list[Call]:
    """The call with one thing changed that its meaning hangs on, each in turn."""
    wish = call.wish
    others = [replace(call, wish=replace(wish, action="cancel", part=0, method="", is_final=False))]
    if wish.action in ("capture", "refund"):
        others.append(replace(call, wish=replace(wish, part=wish.part + 1)))
    if wish.action == "capture" and wish.is_strict:
        others.append(replace(call, wish=replace(wish, is_final=not wish.is_final)))
    if wish.action == "refund" and wish.is_strict:
        others.append(replace(call, reason=f"{call.reason} and late"))
    if wish.action == "complete":
        others = [replace(call, result="refused" if call.result == "approved" else "approved")]
    if wish.action in ATTEMPTS and not wish.is_strict:
        others.append(replace(call, wish=replace(wish, method="card_mastercard")))
    return others


def any_method(random: Random) -> str:
    return random.choice(METHODS)


def _any_method(random: Random, life: Life) -> str:
    """Mostly the payment's own; another one for a payment that is held is a mistake."""
    return any_method(random) if _one_in(12 if life.model.status in HELD else 3, random) else ""


def _any_version(random: Random, life: Life) -> int:
    """Mostly none; otherwise the right one, an old one or one that never was."""
    version = life.model.version
    return random.choice((version, max(version - 1, 1), 99)) if _one_in(6, random) else 0


def _any_part(random: Random, left: int) -> int:
    """Nothing for all, some, exactly what is left, or more."""
    tenths = [max(left * tenth // 10, 1) for tenth in range(1, 6)]
    return random.choice((0, *tenths, max(left, 1), left + 1))


def _one_in(many: int, random: Random) -> bool:
    return random.randrange(many) == 0


def left_for(life: Life, action: str) -> int:
    """What may be captured or refunded at most."""
    if action == "refund":
        return life.model.refundable
    return life.model.capturable if life.model.status in HELD else life.model.amount
