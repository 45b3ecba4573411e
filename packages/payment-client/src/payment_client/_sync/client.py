"""The client itself: settings, one connection, and the payments behind it."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from payment_client._calls import HEALTH
from payment_client._policy import terms_of_read
from payment_client._settings import read_settings
from payment_client._sync.connection import Connection
from payment_client._sync.payments import Payments
from payment_client._types import Health


class PaymentClient:
    """The payment service, blocking. Close it, or use it as a context manager.

    `target` is host:port (else PAYMENT_TARGET, else 127.0.0.1:50051), `timeout_seconds` the
    longest that a call may take (else PAYMENT_TIMEOUT_SECONDS, else 5). `merchant_id` goes with
    every call as x-merchant-id. ValueError for settings that make no sense.

    Making one does no I/O; the first call connects, in plaintext: keep it inside a network that
    you trust. One client serves any number of threads. It does not survive a fork: a process
    that forks makes its clients afterwards, in the child.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        merchant_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self._settings = read_settings(target, merchant_id, timeout_seconds)
        self._connection = Connection(self._settings)
        self.payments = Payments(self._connection, self._settings)

    def health(
        self,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Health:
        """Whether the service can take payments now; Unavailable where it is not reached."""
        return self._connection.send(
            HEALTH.call(terms_of_read(self._settings, timeout_seconds, headers))
        )

    def close(self) -> None:
        """Ends the connection; calls and watches that are under way end as Unavailable.

        A call or a watch that is begun afterwards is a RuntimeError. May be repeated.
        """
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
