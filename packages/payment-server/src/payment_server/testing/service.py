"""The service of a test run, as its tests see it: where it listens, and clients for it.

Whoever only collects tests pays for this import: the client is not imported before it is used.
"""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from payment_client import AsyncPaymentClient, PaymentClient


class ExtraMissing(Exception):
    """The clients are not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the clients of the payment service are not installed:"
            " pip install 'payment-server[testing]'"
        )


@dataclass(frozen=True)
class PaymentService:
    """A payment service that listens on this machine, for all tests of a run.

    They share it, so each keeps to a merchant of its own, whom nobody else sees.
    """

    target: str
    """host:port of gRPC, as clients take it."""
    http_url: str
    """Of the same operations as JSON: http://host:port."""
    log: Path
    """What the service has written; it tells of the reason where calls fail as INTERNAL_ERROR."""

    def client(
        self, *, merchant_id: str | None = None, timeout_seconds: float | None = None
    ) -> "PaymentClient":
        """A client of one more empty merchant, or of the one named; close it. Raises ExtraMissing.

        HTTP and other clients name the merchant in the header `x-merchant-id`.
        """
        try:
            from payment_client import PaymentClient
        except ModuleNotFoundError as error:
            raise ExtraMissing from error
        merchant_id = merchant_id or new_merchant_id()
        return PaymentClient(
            self.target, merchant_id=merchant_id, api_key="", timeout_seconds=timeout_seconds
        )

    def async_client(
        self, *, merchant_id: str | None = None, timeout_seconds: float | None = None
    ) -> "AsyncPaymentClient":
        """The same for asyncio."""
        try:
            from payment_client import AsyncPaymentClient
        except ModuleNotFoundError as error:
            raise ExtraMissing from error
        merchant_id = merchant_id or new_merchant_id()
        return AsyncPaymentClient(
            self.target, merchant_id=merchant_id, api_key="", timeout_seconds=timeout_seconds
        )


def new_merchant_id() -> str:
    """A merchant whom nobody has heard of: there is nothing to make, it exists by its first
    payment."""
    return f"test-{uuid.uuid4().hex}"
