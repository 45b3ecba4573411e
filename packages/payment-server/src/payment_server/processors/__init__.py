"""Who really moves the money. Everything else is the same in the sandbox and in production."""

from typing import Protocol

from payment_server.domain.operation import Operation, Verdict
from payment_server.domain.payment import Payment


class Processor(Protocol):
    """A processor of payments.

    Each call is given an operation whose `operation_id` is also the processor's idempotency key:
    the same operation asked twice has one effect and one verdict. A verdict of PENDING means that
    the processor will know later, and is looked up until it does; REQUIRES_ACTION that the
    customer has to act first, and that nothing is held or taken before `complete`: who abandons a
    challenge is not heard of again. Raises ProcessorUnreachable where it surely was not asked; any
    other exception leaves the outcome unknown.
    """

    def tokenize(self, payment_method: str) -> str:
        """The token to keep for what the caller named; raises InvalidRequest."""

    def read_result(self, result: str) -> str:
        """What to keep for what the caller says came of a challenge, which is `words` of the
        completion; raises InvalidRequest."""

    async def authorize(self, payment: Payment, operation: Operation) -> Verdict:
        """Holds the operation's amount, and takes it at once where `operation.captures`."""

    async def complete(self, payment: Payment, operation: Operation) -> Verdict:
        """Goes on with the authorization `operation.completes`, whose customer has acted;
        `operation.words` is what came of it."""

    async def capture(self, payment: Payment, operation: Operation) -> Verdict:
        """Takes a part of what is held, and releases `operation.released_minor` of it."""

    async def cancel(self, payment: Payment, operation: Operation) -> Verdict:
        """Releases what is held."""

    async def refund(self, payment: Payment, operation: Operation) -> Verdict:
        """Gives back a part of what was taken."""

    async def look_up(self, payment: Payment, operation: Operation) -> Verdict | None:
        """What became of an operation; None where the processor has never heard of it.

        A refund that had succeeded may be FAILED later; a verdict's `recheck_at` says that it is
        to be looked up again then. Without an answer it raises ProcessorUnreachable: not knowing
        is no verdict.
        """
