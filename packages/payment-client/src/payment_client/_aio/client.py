"""The client itself: settings, one connection, and the payments behind it."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from payment_client._aio.connection import Connection
from payment_client._aio.payments import AsyncPayments
from payment_client._calls import HEALTH
from payment_client._settings import Tls, read_settings
from payment_client._terms import terms_of_probe
from payment_client._types import Health


class AsyncPaymentClient:
    """The payment service for asyncio; settings and errors are those of `PaymentClient`.

    Close it, or use it as an asynchronous context manager. It may be made anywhere; it belongs
    to the event loop and the process of its first call. A call whose task is cancelled is cancelled
    at the service too and may have happened: whoever cancels and wants to know gives the call an
    `idempotency_key` of their own.
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
        self.payments = AsyncPayments(self._connection, self._settings)

    async def health(
        self,
        *,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Health:
        """Whether the service can take payments now, asked once; Unavailable if not reached."""
        return await self._connection.send(
            HEALTH.call(terms_of_probe(self._settings, timeout_seconds, headers))
        )

    async def close(self) -> None:
        """Ends the connection; what is under way ends as Unavailable, changes as OutcomeUnknown.

        A call or a watch that is begun afterwards is a RuntimeError. May be repeated.
        """
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
