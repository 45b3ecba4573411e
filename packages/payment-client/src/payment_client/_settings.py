"""A client's settings: explicit arguments, then the environment, then the defaults."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEFAULT_TARGET: Final = "127.0.0.1:50051"
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
"""Enough for a processor that takes its time, and short of what a waiting person puts up with."""
DEFAULT_PATIENCE_SECONDS: Final = 60.0
"""Longer than a service takes to be replaced; after that a person had better hear of it."""
MAX_TIMEOUT_SECONDS: Final = 3600.0
"""No call of this contract is worth an hour; above it somebody meant milliseconds."""

_MERCHANT_ID: Final = re.compile(r"[a-z0-9_-]{1,64}")
_PORT: Final = re.compile(r"(?!unix).*:([0-9]+)")
_MAX_PORT: Final = 65_535
_MAX_ANSWER_BYTES: Final = 1000 * 80 * 1024
"""A page of the contract's most payments, each as large as its request could be (64 KiB), with
room for what the service adds. grpcio's own limit, 4 MiB, would make such a page unreadable."""
_FIRST_RECONNECT_MS: Final = 200
"""A service that restarts is back within a second or so; grpcio's own first pause is 1 s."""
_MAX_RECONNECT_MS: Final = 2_000
"""How long after its return a service may still look away: until the next attempt to connect.
grpcio's own limit is two minutes."""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
    # The channel is plaintext: a proxy that the environment happens to name would read it all.
    ("grpc.enable_http_proxy", 0),
    # Keepalive stays off, as in grpcio: every call has a deadline that finds a dead connection,
    # every silence of a watch has a limit, and pings from many idle clients cost the service more
    # than they tell.
)

CLOSED: Final = "the client is closed"
"""What a closed client says, both of them: a mistake of the program, not a failure of a call."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the service is and how it is called; all of it valid."""

    target: str
    merchant_id: str | None
    timeout_seconds: float


def read_settings(
    target: str | None,
    merchant_id: str | None,
    timeout_seconds: float | None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings of a new client; ValueError with a sentence for each that makes no sense."""
    if target is None:
        target = environment.get("PAYMENT_TARGET", DEFAULT_TARGET)
    if timeout_seconds is None:
        timeout_seconds = _timeout_in(environment)
    return Settings(
        target=_checked_target(target),
        merchant_id=None if merchant_id is None else _checked_merchant_id(merchant_id),
        timeout_seconds=checked_timeout(timeout_seconds),
    )


def checked_timeout(timeout_seconds: float, name: str = "timeout_seconds") -> float:
    """The timeout, if it is a number of seconds that a call can have; otherwise ValueError."""
    if not (math.isfinite(timeout_seconds) and 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS):
        raise ValueError(
            f"{name} must be above 0 and at most {MAX_TIMEOUT_SECONDS:g} seconds,"
            f" not {timeout_seconds!r}"
        )
    return float(timeout_seconds)


def checked_patience(patience_seconds: float) -> float:
    """How long a watch waits for its service: above 0; infinity never gives up."""
    if not patience_seconds > 0:  # NaN is not either
        raise ValueError(f"patience_seconds must be above 0, not {patience_seconds!r}")
    return float(patience_seconds)


def _timeout_in(environment: Mapping[str, str]) -> float:
    text = environment.get("PAYMENT_TIMEOUT_SECONDS")
    if text is None:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(
            f"PAYMENT_TIMEOUT_SECONDS must be a number of seconds, not {text!r}"
        ) from None
    return checked_timeout(seconds, "PAYMENT_TIMEOUT_SECONDS")


def _checked_target(target: str) -> str:
    if not target or any(character.isspace() for character in target):
        raise ValueError(f"the target (PAYMENT_TARGET) must be host:port, not {target!r}")
    if target.startswith(("http://", "https://")):
        raise ValueError(
            f"the target (PAYMENT_TARGET) must be host:port of gRPC, not the URL {target!r}"
        )
    named = _PORT.fullmatch(target)
    if named and int(named[1]) > _MAX_PORT:  # grpcio would take it modulo 65,536
        raise ValueError(f"the target (PAYMENT_TARGET) has a port above {_MAX_PORT}: {target!r}")
    return target


def _checked_merchant_id(merchant_id: str) -> str:
    if not _MERCHANT_ID.fullmatch(merchant_id):
        raise ValueError(
            f"merchant_id must be 1 to 64 of the characters a-z, 0-9, _ and -, not {merchant_id!r}"
        )
    return merchant_id
