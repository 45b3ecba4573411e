"""On which terms a call is made. Pure: no clock, no wire.

Whatever makes a call safe to repeat is fixed here before its first attempt.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from payment_client._errors import field_invalid
from payment_client._settings import Settings, checked_timeout

KEY_HEADER: Final = "idempotency-key"
REQUEST_ID_HEADER: Final = "x-request-id"

_HEADER_NAME: Final = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
"""What gRPC sends as text: "grpc-" is its own, and "-bin" promises bytes."""
HEADER_LIMIT: Final = 1_024
"""Characters of one header; gRPC refuses 16 KiB of all of them without a word of ours."""

_HEADER_VALUE: Final = re.compile(r"[ -~]*")
_KEY_BYTES: Final = 16
"""As random as a UUID, at a quarter of its price: no two callers ever draw the same."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a call may take, what goes with it, and the key that makes it happen once."""

    timeout_seconds: float
    """All of its attempts together."""
    headers: Mapping[str, str] = field(repr=False)  # an API key is among them
    is_probe: bool = False
    """It asks how things are now, and is not tried again."""
    is_change: bool = False
    """It has an effect, which must happen once."""
    idempotency_key: str = ""
    """Empty for a call that changes nothing, and for many changes in one: they have their own."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers as gRPC takes them."""
        return tuple(self.headers.items())


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return secrets.token_hex(_KEY_BYTES)


def terms_of_read(
    settings: Settings, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> Terms:
    """The terms of a call that changes nothing; a header of the call wins over the client's."""
    return Terms(_timeout(settings, timeout_seconds), _headers(settings, headers))


def terms_of_probe(
    settings: Settings, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> Terms:
    """The terms of a look at the service itself."""
    return Terms(_timeout(settings, timeout_seconds), _headers(settings, headers), is_probe=True)


def terms_of_change(
    settings: Settings,
    timeout_seconds: float | None,
    headers: Mapping[str, str] | None,
    idempotency_key: str | None,
) -> Terms:
    """The terms of a call that changes something; it always has a key, made here at the latest."""
    sent = _headers(settings, headers)
    key = sent.get(KEY_HEADER) if idempotency_key is None else idempotency_key
    if key == "":
        raise field_invalid("idempotency_key", "is empty; leave it out to have one made")
    if key is None:
        key = new_key()
    return Terms(_timeout(settings, timeout_seconds), sent, is_change=True, idempotency_key=key)


def terms_of_changes(
    settings: Settings, timeout_seconds: float | None, headers: Mapping[str, str] | None
) -> Terms:
    """The terms of a call that changes many things, each under a key of its own."""
    sent = _headers(settings, headers)
    return Terms(_timeout(settings, timeout_seconds), sent, is_change=True)


def _timeout(settings: Settings, timeout_seconds: float | None) -> float:
    return settings.timeout_seconds if timeout_seconds is None else checked_timeout(timeout_seconds)


def _headers(settings: Settings, headers: Mapping[str, str] | None) -> Mapping[str, str]:
    if not headers:
        return settings.headers
    sent = {**settings.headers, **{name.lower(): value for name, value in headers.items()}}
    for name, value in sent.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise field_invalid(name, "must be printable ASCII")
        if len(value) > HEADER_LIMIT:
            raise field_invalid(name, f"has {len(value)} characters; at most {HEADER_LIMIT} fit")
    return sent
