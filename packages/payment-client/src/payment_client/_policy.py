"""What follows when an attempt has failed: another one, or an error. Pure: it is told the time.

A call has one idempotency key for all of its attempts, so none of them can happen twice. What is
told in the end is never more than what is known: a change of which one attempt may have happened
ends as a success, as OutcomeUnknown, or as a refusal that holds whatever has happened.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from payment.v1.errors import ERRORS
from payment_client._errors import OutcomeUnknown, PaymentError, outcome_unknown
from payment_client._terms import Terms

ATTEMPTS_LIMIT: Final = 4
"""Of one call, without those that never left this machine. Who has failed four times meets
something that a fifth attempt does not mend."""
FIRST_SHARE: Final = 0.5
"""Of the timeout, for the first attempt: one that is sent into a dead connection leaves time for
another. Later attempts may use all that is left."""
FIRST_LEAST_SECONDS: Final = 1.0
"""Or all of a shorter timeout: less is too little for a service that is busy."""
LEAST_SECONDS: Final = 0.05
"""For a later attempt: with less it would bring no answer home, and only leave doubt."""
FIRST_PAUSE_SECONDS: Final = 0.1
"""The ceiling of the first pause: longer than a service takes for a call, and hardly felt."""
UNREACHED_PAUSE_SECONDS: Final = 0.3
"""The ceiling where nobody was reached. It costs nobody anything, and who comes back is found at
once: as soon as the channel has a connection again."""
PAUSE_GROWTH: Final = 3.0
"""Of the ceiling with each attempt: 0.1, 0.3 and 0.9 s, about as long as a restart."""

BUDGET_TOKENS: Final = 10.0
"""Of a client. Each sign of trouble takes one; with half of them gone nothing is tried again."""
TOKENS_OF_SUCCESS: Final = 0.1
"""So in a brown-out at most every tenth call is made twice (gRFC A6)."""

_RETRIED_CODES: Final = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"})
"""CANCELLED is the remote one: so gRPC servers end what they had not begun when they stop."""
_RETRIED_IF_TOLD: Final = frozenset({"ABORTED", "RESOURCE_EXHAUSTED"})
"""Only with a word on when: without it they are about the request, not about the moment."""

_REASONS_OF_DOUBT: Final = frozenset({"OUTCOME_UNKNOWN", "PROCESSOR_UNREACHABLE", "INTERNAL_ERROR"})
"""Of the contract's, after which the change may have happened or happen yet. After all of its
others it has not."""
_REASONS_OF_FAULTS: Final = frozenset({"INTERNAL_ERROR", "MALFORMED_ANSWER"})
"""Of the service, which it repeats with whoever repeats the call."""
_CODES_OF_REFUSAL: Final = frozenset(
    {
        *("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED"),
        *("UNAUTHENTICATED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    }
)
"""What says no, whoever says it. Not RESOURCE_EXHAUSTED: so the channel calls an answer that is too
large for it."""
_CODES_WHATEVER_HAPPENED: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS"})
"""Refusals of what was asked, which no other attempt can have passed, where the service itself says
so. The others are about the moment: an attempt that is thought lost may have met, or may meet yet,
another one."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What is known of an attempt that failed."""

    error: PaymentError
    was_sent: bool = True
    """False where it surely never left."""
    was_cut: bool = False
    """The connection or the server went away, without a word on the call."""
    pushback_seconds: float | None = None
    """When the server wants to be asked again (gRFC A6); infinity: never."""

    @property
    def may_pass(self) -> bool:
        """Another attempt may fare better."""
        if self.error.code in _RETRIED_CODES:
            return True
        return self.error.code in _RETRIED_IF_TOLD and self.error.retry_after is not None

    @property
    def is_trouble(self) -> bool:
        """The service is there and struggles. One that has gone is not made worse by a call that
        goes to another, or waits for the next."""
        is_gone = self.was_cut or not self.was_sent or self.error.reason == "SHUTTING_DOWN"
        return self.may_pass and not is_gone

    @property
    def may_have_happened(self) -> bool:
        """Whether the change may be there, or come yet."""
        if not self.was_sent:
            return False
        if self.error.reason in ERRORS:
            return self.error.reason in _REASONS_OF_DOUBT
        return self.error.code not in _CODES_OF_REFUSAL

    @property
    def telling(self) -> int:
        """A word says more than a lost connection, and that more than silence."""
        if self.was_cut or not self.was_sent:
            return 1
        return 0 if self.error.reason == "DEADLINE_EXCEEDED" else 2

    @property
    def least_pause_seconds(self) -> float:
        """What the service asks for."""
        told = self.error.retry_after
        seconds = 0.0 if told is None else told.total_seconds()
        return max(seconds, self.pushback_seconds or 0.0)


def known_of_change(failed: Failed, *, in_doubt: bool) -> PaymentError:
    """What is known of a change that ended so; `in_doubt`: an attempt before may have happened."""
    error = failed.error
    if not (in_doubt or failed.may_have_happened):
        return error
    is_certain = error.reason in ERRORS and error.code in _CODES_WHATEVER_HAPPENED
    if is_certain or error.reason in _REASONS_OF_FAULTS or isinstance(error, OutcomeUnknown):
        return error
    return outcome_unknown(error, is_about_it=failed.may_have_happened)


class Budget:
    """What a client may spend on trying again, all of its calls together. For any thread."""

    def __init__(self) -> None:
        self._tokens = BUDGET_TOKENS
        self._lock = Lock()

    def earn(self) -> None:
        """A call has succeeded."""
        if self._tokens < BUDGET_TOKENS:  # as nearly always: no lock for it
            with self._lock:
                self._tokens = min(BUDGET_TOKENS, self._tokens + TOKENS_OF_SUCCESS)

    def spend(self) -> None:
        """An attempt has met trouble."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1.0)

    @property
    def is_left(self) -> bool:
        return self._tokens > BUDGET_TOKENS / 2


class Attempts:
    """The attempts of one call, from its begin on."""

    def __init__(
        self,
        terms: Terms,
        budget: Budget,
        now: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._terms = terms
        self._budget = budget
        self._chance = chance
        self._ends_at = now + terms.timeout_seconds
        self._sent = 0
        """How many have failed, without those that never left."""
        self.is_in_doubt = False
        """One of them may have happened, or happen yet."""
        self._heard: Failed | None = None
        """The last of those that say most."""

    def next_limit_seconds(self, now: float) -> float:
        """How long the next attempt may take."""
        left_seconds = max(LEAST_SECONDS, self._ends_at - now)  # whoever overslept has that much
        if self._sent:
            return left_seconds
        return min(left_seconds, max(FIRST_LEAST_SECONDS, FIRST_SHARE * left_seconds))

    def succeeded(self) -> None:
        """The last attempt was answered."""
        self._budget.earn()

    def pause_after(self, failed: Failed, now: float) -> float | None:
        """How many seconds to wait before the next attempt; None when there is none.

        Full jitter below a ceiling that grows, and never less than the service has asked for.
        """
        self._note(failed)
        ceiling = UNREACHED_PAUSE_SECONDS
        if failed.was_sent:
            ceiling = FIRST_PAUSE_SECONDS * PAUSE_GROWTH ** (self._sent - 1)
        pause = failed.least_pause_seconds + self._chance() * ceiling
        is_worth_it = (
            failed.may_pass
            and not self._terms.is_probe
            and self._sent < ATTEMPTS_LIMIT
            and now + pause + LEAST_SECONDS < self._ends_at
            and (self._budget.is_left or not failed.is_trouble)
        )
        return pause if is_worth_it else None

    def told(self) -> PaymentError:
        """What the caller hears when there is no further attempt."""
        assert self._heard is not None  # noqa: S101 - nobody gives up before
        if not self._terms.is_change:
            return self._heard.error
        return known_of_change(self._heard, in_doubt=self.is_in_doubt)

    def told_or(self, error: Exception) -> Exception:
        """What the caller hears; this where no attempt was made yet."""
        return error if self._heard is None else self.told()

    def _note(self, failed: Failed) -> None:
        self._sent += failed.was_sent
        self.is_in_doubt = self.is_in_doubt or failed.may_have_happened
        if failed.is_trouble:
            self._budget.spend()
        if self._heard is None or failed.telling >= self._heard.telling:
            self._heard = failed
