"""What is told of a command that did not do what was asked for: to people, and to programs.

Pure; never an exception's traceback, and nothing that the service did not say or the caller type.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from payment_client import (
    AmountTooLarge,
    CursorExpired,
    IdempotencyKeyReused,
    IllegalTransition,
    Internal,
    OutcomeUnknown,
    PaymentError,
    Unavailable,
    VersionMismatch,
)
from payment_client._cli.as_json import line
from payment_client._cli.as_text import printable
from payment_client._cli.exits import Exit, exit_of

REPEAT: Final = "It may have happened. The same again with --idempotency-key {} makes sure: once."
"""What to do where nobody knows; whoever reads it has to have the key."""

_STEPS: Final[Mapping[type[PaymentError], str]] = {
    VersionMismatch: "Look at the payment, and decide again.",
    IdempotencyKeyReused: "Another request needs another key.",
    CursorExpired: "Look at the payments, then watch anew, without the cursor.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a command ended as it did."""

    exit: Exit
    reason: str
    message: str
    """A sentence, without its full stop."""
    hints: tuple[str, ...] = ()
    """What people are told besides, a line each."""
    facts: dict[str, object] = field(default_factory=dict)
    """What programs are told besides, or in place of it."""

    def for_people(self) -> str:
        """A sentence with its reason, and what follows from it on lines of their own."""
        said = [f"payments: {self.message} ({self.reason})", *(f"  {hint}" for hint in self.hints)]
        return "\n".join(printable(each) for each in said)

    def for_programs(self) -> str:
        """The same as one line of JSON."""
        told = {"exit_code": int(self.exit), "reason": self.reason, "message": self.message}
        return line(told | self.facts)


def failure_of(error: PaymentError) -> Failure:
    """What is told of a call that failed."""
    # Of several violations the message is one long line; people get a line each.
    is_list = len(error.violations) > 1 and error.title
    sentence = error.title[0].lower() + error.title[1:].rstrip(".") if is_list else error.message
    return Failure(exit_of(error), error.reason, sentence, tuple(_hints(error)), _facts(error))


def misuse(message: str, command: str) -> Failure:
    """What is told of a command line or a setting that makes no sense."""
    hint = f"{command} --help says what there is."
    return Failure(Exit.USAGE, "USAGE", message.rstrip("."), (hint,))


def fault(error: Exception, idempotency_key: str | None) -> Failure:
    """What is told where the program itself failed; with a key it was a change's."""
    message = f"a fault of this program: {type(error).__name__}"
    if idempotency_key is None:
        return Failure(Exit.BROKEN, "BROKEN", message)
    hint, facts = REPEAT.format(idempotency_key), {"idempotency_key": idempotency_key}
    return Failure(Exit.BROKEN, "BROKEN", message, (hint,), {**facts})


def interruption(code: Exit, idempotency_key: str | None) -> Failure:
    """What is told after a signal; with a key it ended a change that was under way."""
    if idempotency_key is None:
        return Failure(code, code.name, "stopped")
    return Failure(
        code,
        code.name,
        "stopped before the answer came",
        (REPEAT.format(idempotency_key),),
        {"idempotency_key": idempotency_key},
    )


def lost_output(why: str, idempotency_key: str | None) -> Failure:
    """What is told of an answer that could not be written; with a key it was a change's."""
    message = f"the answer could not be written: {why}"
    if idempotency_key is None:
        return Failure(Exit.OUTPUT_LOST, "OUTPUT_LOST", message)
    hint = f"It has happened. The same again with --idempotency-key {idempotency_key} shows it."
    facts: dict[str, object] = {"idempotency_key": idempotency_key}
    return Failure(Exit.OUTPUT_LOST, "OUTPUT_LOST", message, (hint,), facts)


def _hints(error: PaymentError) -> Iterator[str]:
    if len(error.violations) > 1:  # a single one is the message itself
        for violation in error.violations:
            yield f"{violation.field}: {violation.message}"
    if step := _STEPS.get(type(error)) or _step_after(error):
        yield step
    if error.retry_after is not None:
        yield f"It may work in {error.retry_after.total_seconds():g} s."
    if error.request_id:
        yield f"For the operators of the service: request {error.request_id}."


def _step_after(error: PaymentError) -> str:
    """What to do now, where it depends on the error's own facts; empty where nobody knows."""
    match error:
        case AmountTooLarge(limit=limit) if limit is not None:
            return f"At most {limit:f} is left."
        case IllegalTransition(allowed_actions=actions) if actions:
            return f"Possible now: {', '.join(actions)}."
        case OutcomeUnknown():
            return REPEAT.format(error.idempotency_key)
        case Unavailable(reason="UNAVAILABLE"):  # not the service's own word
            return "Is it there? --target or PAYMENT_TARGET says where it is looked for."
        case Internal() if error.idempotency_key:
            return f"Whether it took effect is not known. Its key was {error.idempotency_key}."
        case PaymentError(code="UNAUTHENTICATED"):
            return "PAYMENT_API_KEY or --api-key-file says who calls."
    return ""


def _facts(error: PaymentError) -> dict[str, object]:
    wait = error.retry_after
    return {
        "message": error.message,
        "error": type(error).__name__,
        "code": error.code,
        "http_status": error.http_status,
        "violations": error.violations,
        "metadata": error.metadata,
        "retry_after_ms": None if wait is None else round(wait.total_seconds() * 1000),
        "request_id": error.request_id,
        "idempotency_key": error.idempotency_key,
        "retryable": error.retryable,
    }
