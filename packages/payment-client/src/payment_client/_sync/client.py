"""The client itself: settings, one connection, and the payments behind it."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from payment_client._calls import HEALTH
from payment_client._settings import Tls, read_settings
from payment_client._sync.connection import Connection
from payment_client._sync.payments import Payments
from payment_client._terms import terms_of_probe
from payment_client._types import Health


class PaymentClient:
    """The payment service, blocking. Close it, or use it as a context manager.

    `target` is host:port (else PAYMENT_TARGET, else 127.0.0.1:50051), or several IP addresses with
    their ports and commas between: calls go to those in turn whose service is well, and to all
    addresses of a name. `timeout_seconds` is the longest that a call may take with all of its
    attempts (else PAYMENT_TIMEOUT_SECONDS, else 5). `api_key` (else PAYMENT_API_KEY) goes with
    every call as a bearer, and leaves this machine only with `tls`; `merchant_id` goes as
    x-merchant-id. ValueError for settings that make no sense.

    Making one does no I/O; the first call connects. Without `tls` that is plaintext: keep it inside
    a network that you trust. One client serves any number of threads. Fork before the first call:
    where any client has called, a call of a forked child is a RuntimeError.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        merchant_id: str | None = None,
        api_key: str | None = None,
        tls: Tls | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self._settings = read_settings(
            target,
            merchant_id=merchant_id,
            api_key=api_key,
            tls=tls,
            timeout_seconds=timeout_seconds,
        )
        self._connection = Connection(self._settings)
        self.payments = Payments(self._connection, self._settings)

    def health(
        self,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Health:
        """Whether the service can take payments now, asked once; Unavailable if not reached."""
        return self._connection.send(
            HEALTH.call(terms_of_probe(self._settings, timeout_seconds, headers))
        )

    def close(self) -> None:
        """Ends the connection; what is under way ends as Unavailable, changes as OutcomeUnknown.

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
