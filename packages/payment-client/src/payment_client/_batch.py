"""Many payments in one call: what is to be created, and what became of each. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from payment_client._errors import PaymentError
from payment_client._terms import new_key
from payment_client._types import CallInfo, CaptureMethod, Payment


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class NewPayment:
    """A payment to be created; its fields are the arguments of `create`.

    It has its idempotency key from the beginning, so that it happens once, however often it is
    sent.
    """

    amount: Decimal | str | int
    customer_id: str
    currency: str = "USD"
    payment_method: str = "card"
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    description: str = ""
    metadata: Mapping[str, str] | None = field(default=None, hash=False)
    expires_at: datetime | None = None
    idempotency_key: str = field(default_factory=new_key)

    def __repr__(self) -> str:
        # Short, and without the words of customers and callers, as it ends up in logs.
        return f"NewPayment({self.amount} {self.currency}, key {self.idempotency_key})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CreatedPayments:
    """What became of each payment of `create_many`."""

    results: tuple[Payment | PaymentError, ...]
    """As many as were sent, in their order. An error is the one that `create` would have raised; it
    has its payment's `idempotency_key`."""
    call: CallInfo = field(default=CallInfo(), compare=False)

    @property
    def payments(self) -> tuple[Payment, ...]:
        """Those that are recorded, now or before."""
        return tuple(each for each in self.results if isinstance(each, Payment))

    @property
    def errors(self) -> tuple[PaymentError, ...]:
        """Those of the others."""
        return tuple(each for each in self.results if isinstance(each, PaymentError))

    def raise_first_error(self) -> None:
        """For those to whom any error is one too many."""
        for error in self.errors:
            raise error

    def __repr__(self) -> str:
        return f"CreatedPayments({len(self.payments)} recorded, {len(self.errors)} failed)"
