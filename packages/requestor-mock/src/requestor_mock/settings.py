"""What the environment says, read once. Nothing else in this package looks at the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

HTTP_PORT_DEFAULT = 8001
HOST_DEFAULT = "127.0.0.1"  # reachable from this machine only, unless somebody says otherwise
PAYMENT_TARGET_DEFAULT = "127.0.0.1:50051"


class SettingInvalid(ValueError):
    """A setting cannot be used; the text names it and is meant for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to listen, and where the payment service is (`host:port` of its gRPC)."""

    host: str = HOST_DEFAULT
    http_port: int = HTTP_PORT_DEFAULT
    payment_target: str = PAYMENT_TARGET_DEFAULT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Reads REQUESTOR_HOST, REQUESTOR_HTTP_PORT and PAYMENT_TARGET; empty means the default.

        Raises SettingInvalid.
        """
        return cls(
            host=environment.get("REQUESTOR_HOST") or HOST_DEFAULT,
            http_port=_port(environment.get("REQUESTOR_HTTP_PORT") or str(HTTP_PORT_DEFAULT)),
            payment_target=environment.get("PAYMENT_TARGET") or PAYMENT_TARGET_DEFAULT,
        )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise SettingInvalid(f"REQUESTOR_HTTP_PORT is {text!r}, which is no port (0 to 65535).")
    return int(text)
