"""On which terms a call is made, and what follows when an attempt fails. Pure: no clock, no wire.

Whatever makes a call safe to repeat is fixed here before its first attempt.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

import grpc

from payment_client._errors import PaymentError, field_invalid
from payment_client._failure import read_failure
from payment_client._settings import Settings, checked_timeout

KEY_HEADER: Final = "idempotency-key"
MERCHANT_HEADER: Final = "x-merchant-id"
REQUEST_ID_HEADER: Final = "x-request-id"

_HEADER_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
"""What gRPC sends as text: "grpc-" is its own, and "-bin" promises bytes."""
HEADER_LIMIT: Final = 1_024
"""Characters of one header; gRPC refuses 16 KiB of all of them without a word of ours."""

_HEADER_VALUE: Final = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a call may take, what goes with it, and the key that makes it happen once."""

    timeout_seconds: float
    headers: Mapping[str, str]
    idempotency_key: str = ""
    """Empty for a call that changes nothing."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers as gRPC takes them."""
        return tuple(self.headers.items())


def terms_of_read(
    settings: Settings, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> Terms:
    """The terms of a call that changes nothing; a header of the call wins over the client's."""
    sent = {} if settings.merchant_id is None else {MERCHANT_HEADER: settings.merchant_id}
    sent.update(_checked_headers(headers or {}))
    if timeout_seconds is None:
        return Terms(settings.timeout_seconds, sent)
    return Terms(checked_timeout(timeout_seconds), sent)


def terms_of_change(
    settings: Settings,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
    idempotency_key: str | None,
) -> Terms:
    """The terms of a call that changes something; it always has a key, made here at the latest."""
    terms = terms_of_read(settings, timeout_seconds, headers)
    key = terms.headers.get(KEY_HEADER) if idempotency_key is None else idempotency_key
    if key == "":
        raise field_invalid("idempotency_key", "is empty; leave it out to have one made")
    return replace(terms, idempotency_key=str(uuid.uuid4()) if key is None else key)


def after_failure(terms: Terms, failure: grpc.RpcError) -> PaymentError:
    """What follows a failed attempt: the error that ends the call.

    The one place that decides it, for both clients. A call has one attempt, which may use all of
    the timeout: whoever repeats it does so with the error's `idempotency_key`.
    """
    # The stubs know neither the pairs of the sync error nor the None of one that never left.
    trailing = cast("Iterable[tuple[str, str | bytes]] | None", failure.trailing_metadata())
    return read_failure(
        failure.code().name,
        failure.details() or "",
        trailing or (),
        request_id=terms.headers.get(REQUEST_ID_HEADER, ""),
        idempotency_key=terms.idempotency_key,
    )


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    checked = {name.lower(): value for name, value in headers.items()}
    for name, value in checked.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise field_invalid(name, "must be printable ASCII")
        if len(value) > HEADER_LIMIT:
            raise field_invalid(name, f"has {len(value)} characters; at most {HEADER_LIMIT} fit")
    return checked
