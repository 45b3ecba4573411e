"""A client's settings: explicit arguments, then the environment, then the defaults."""

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

DEFAULT_TARGET: Final = "127.0.0.1:50051"
DEFAULT_TIMEOUT_SECONDS: Final = 5.0
"""Enough for a processor that takes its time, and short of what a waiting person puts up with."""
DEFAULT_PATIENCE_SECONDS: Final = 60.0
"""Longer than a service takes to be replaced; after that a person had better hear of it."""
MAX_TIMEOUT_SECONDS: Final = 3600.0
"""No call of this contract is worth an hour; above it somebody meant milliseconds."""
MAX_TARGETS: Final = 32
"""Each has a connection of its own, with a stream on which it says how it is."""

CLOSED: Final = "the client is closed"
"""What a closed client says, both of them: a mistake of the program, not a failure of a call."""
FORKED: Final = (
    "this process was forked from one that had called before, where grpcio's threads stayed:"
    " fork before the first call, or start processes by spawn or forkserver"
)
"""What a client says there, as its calls would hang now and then."""

OF_ANOTHER_LOOP: Final = (
    "this client belongs to the event loop of its first call: make one for each loop"
)
"""What an asyncio client says elsewhere, before anything is sent."""

_MERCHANT_HEADER: Final = "x-merchant-id"
_AUTHORIZATION_HEADER: Final = "authorization"
_MERCHANT_ID: Final = re.compile(r"[a-z0-9_-]{1,64}")
_API_KEY: Final = re.compile(r"[!-~]{1,1000}")
"""Of a bearer's characters (RFC 6750), and more; a line break in it would be a second header."""
_PORT: Final = re.compile(r"(?!unix).*:([0-9]+)")
_MAX_PORT: Final = 65_535
_ADDRESS: Final = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<ipv4>[0-9.]+)):[0-9]+")
_ONE_OF_THIS_MACHINE: Final = re.compile(
    r"(ipv4:|ipv6:|dns:/*)?(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?|unix(-abstract)?:.*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """An encrypted connection, and what it is checked against. All of it is PEM.

    Without `root_certificates` those that grpcio brings are trusted. `server_name` is what the
    service's certificate has to be for, where the target is not that name. A `private_key` with its
    `certificate_chain` is for a service that asks for its clients' certificates (mutual TLS).
    """

    root_certificates: bytes | None = None
    server_name: str | None = None
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain belong together")


class Addresses(Enum):
    """How many the target has."""

    ONE = auto()
    OF_A_NAME = auto()
    """As many as the DNS says."""
    SEVERAL = auto()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the service is and how it is called; all of it valid."""

    target: str
    """As gRPC takes it."""
    addresses: Addresses
    authority: str | None
    """What the service is called on the wire, where that is not the target."""
    tls: Tls | None
    headers: Mapping[str, str] = field(repr=False)
    """What goes with every call."""
    timeout_seconds: float


def read_settings(
    target: str | None = None,
    *,
    merchant_id: str | None = None,
    api_key: str | None = None,
    tls: Tls | None = None,
    timeout_seconds: float | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings of a new client; ValueError with a sentence for each that makes no sense.

    What the environment has empty it does not have; an empty `api_key` is none, whatever it has.
    """
    if target is None:
        target = environment.get("PAYMENT_TARGET") or DEFAULT_TARGET
    if api_key is None:
        api_key = environment.get("PAYMENT_API_KEY")
    if timeout_seconds is None:
        timeout_seconds = _timeout_in(environment)
    targets = [_checked_target(each.strip()) for each in target.split(",")]
    headers = {}
    if merchant_id is not None:
        headers[_MERCHANT_HEADER] = _checked_merchant_id(merchant_id)
    if api_key:
        headers[_AUTHORIZATION_HEADER] = f"Bearer {_checked_api_key(api_key, targets, tls)}"
    if len(targets) > 1 and tls is not None and tls.server_name is None:
        raise ValueError("several targets with TLS need their certificate's name (server_name)")
    return Settings(
        target=targets[0] if len(targets) == 1 else _target_of_several(targets),
        addresses=_addresses(targets),
        authority=_authority(targets, tls),
        tls=tls,
        headers=MappingProxyType(headers),
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
    if not text:
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
    if target.startswith(("http://", "https://", "grpc://", "grpcs://")):
        raise ValueError(
            f"the target (PAYMENT_TARGET) must be host:port of gRPC, not the URL {target!r}"
        )
    named = _PORT.fullmatch(target)
    if named and int(named[1]) > _MAX_PORT:  # grpcio would take it modulo 65,536
        raise ValueError(f"the target (PAYMENT_TARGET) has a port above {_MAX_PORT}: {target!r}")
    return target


def _target_of_several(targets: list[str]) -> str:
    """One target of gRPC for several addresses, which it takes of one family only."""
    if len(targets) > MAX_TARGETS:
        raise ValueError(
            f"the target (PAYMENT_TARGET) has {len(targets)} addresses; at most {MAX_TARGETS} go"
        )
    for family in ("ipv4", "ipv6"):
        if all(_is_address(each, family) for each in targets):
            return f"{family}:{','.join(targets)}"
    raise ValueError(
        "several targets (PAYMENT_TARGET) must be IP addresses of one family, each with its port;"
        f" give several services one name in the DNS instead of {','.join(targets)!r}"
    )


def _is_address(target: str, family: str) -> bool:
    found = _ADDRESS.fullmatch(target)
    if found is None or found[family] is None:
        return False
    try:
        ipaddress.ip_address(found[family])
    except ValueError:
        return False
    return True


def _addresses(targets: list[str]) -> Addresses:
    if len(targets) > 1:
        return Addresses.SEVERAL
    [target] = targets
    is_address = _is_address(target, "ipv4") or _is_address(target, "ipv6")
    is_one = is_address or _ONE_OF_THIS_MACHINE.fullmatch(target)
    return Addresses.ONE if is_one else Addresses.OF_A_NAME


def _authority(targets: list[str], tls: Tls | None) -> str | None:
    if tls is not None:
        return tls.server_name
    return targets[0] if len(targets) > 1 else None  # a list is no name (RFC 3986)


def _checked_merchant_id(merchant_id: str) -> str:
    if not _MERCHANT_ID.fullmatch(merchant_id):
        raise ValueError(
            f"merchant_id must be 1 to 64 of the characters a-z, 0-9, _ and -, not {merchant_id!r}"
        )
    return merchant_id


def _checked_api_key(api_key: str, targets: list[str], tls: Tls | None) -> str:
    """The key, if it can be sent and nobody on the way can read it. It is never quoted."""
    if not _API_KEY.fullmatch(api_key):
        raise ValueError("the API key (PAYMENT_API_KEY) must be 1 to 1,000 characters of ASCII")
    leaves = [each for each in targets if not _ONE_OF_THIS_MACHINE.fullmatch(each)]
    if tls is None and leaves:
        raise ValueError(
            f"the API key (PAYMENT_API_KEY) would go to {leaves[0]!r} in the open: it needs TLS"
        )
    return api_key
