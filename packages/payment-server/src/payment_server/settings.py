"""The settings, read once from the environment; the only place that reads it.

Each may be given as NAME_FILE instead: the path of a file with the value, as secrets are mounted.
Passwords inside URLs are never printed.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import platformdirs

PROCESSORS: Final = ("sandbox",)
TRANSPORTS: Final = ("auto", "grpcio", "native")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_PORT_LIMIT: Final = 65_535
_CONNECTIONS_LIMIT: Final = 100  # what PostgreSQL accepts by default, for all its clients together
_LATENCY_LIMIT_MS: Final = 4_000  # a processor that takes 5 s is not waited for
_TIMEOUT_LIMITS_MS: Final = (100, 60_000)  # no processor is quicker, no caller waits longer
_YEAR_SECONDS: Final = 365 * 24 * 3600
_RATE_LIMITS: Final = (0, 100_000)  # of one merchant: more than a process answers
_BURST_LIMIT: Final = 1_000_000
_DAY_MS: Final = 24 * 3600 * 1000
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")

Value = TypeVar("Value")


class SettingsInvalid(Exception):
    """One or more settings are wrong; the message has a line for each."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. Ports may be 0: any free one.

    `owner_database_url` belongs to the role that migrates; `database_url` is None for the embedded
    PostgreSQL, whose cluster lies in `data_dir`. `rate_limit_per_second` is 0 for no limit.
    """

    database_url: str | None
    owner_database_url: str | None
    database_connections: int
    redis_url: str | None
    rate_limit_per_second: int
    rate_limit_burst: int
    processor: str | None
    processor_timeout_ms: int
    sandbox_latency_ms: int
    sandbox_settle_ms: int
    sandbox_hold_seconds: int
    sandbox_challenge_seconds: int
    host: str
    grpc_port: int
    grpc_transport: str
    http_port: int
    data_dir: Path
    postgres_binaries: Path | None
    migrate_on_start: bool
    log_level: str

    def shown(self) -> dict[str, str]:
        """The settings as a person may see them: passwords are left out."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: _without_password(str(value)) if name.endswith("_url") and value else str(value)
            for name, value in values.items()
            if value is not None
        }

    def __repr__(self) -> str:
        return f"Settings({self.shown()})"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsInvalid, which names everything that is wrong."""
    reader = _Reader(environment)
    postgres = _url("postgresql", "postgres")
    database_url = reader.text("DATABASE_URL", postgres)
    rate_limit = reader.number("PAYMENT_RATE_LIMIT_PER_SECOND", 0, *_RATE_LIMITS)
    settings = Settings(
        database_url=database_url,
        owner_database_url=reader.text("PAYMENT_OWNER_DATABASE_URL", postgres) or database_url,
        database_connections=reader.number(
            "PAYMENT_DATABASE_CONNECTIONS", 8, 1, _CONNECTIONS_LIMIT
        ),
        redis_url=reader.text("REDIS_URL", _url("redis", "rediss", "unix")),
        rate_limit_per_second=rate_limit,
        rate_limit_burst=reader.number("PAYMENT_RATE_LIMIT_BURST", rate_limit, 1, _BURST_LIMIT),
        processor=reader.text("PAYMENT_PROCESSOR", _one_of(PROCESSORS)),
        processor_timeout_ms=reader.number(
            "PAYMENT_PROCESSOR_TIMEOUT_MS", 5_000, *_TIMEOUT_LIMITS_MS
        ),
        sandbox_latency_ms=reader.number("PAYMENT_SANDBOX_LATENCY_MS", 0, 0, _LATENCY_LIMIT_MS),
        sandbox_settle_ms=reader.number("PAYMENT_SANDBOX_SETTLE_MS", 5_000, 0, _DAY_MS),
        sandbox_hold_seconds=reader.number(
            "PAYMENT_SANDBOX_HOLD_SECONDS", 7 * 24 * 3600, 1, _YEAR_SECONDS
        ),
        sandbox_challenge_seconds=reader.number(
            "PAYMENT_SANDBOX_CHALLENGE_SECONDS", 900, 1, _YEAR_SECONDS
        ),
        host=reader.text("PAYMENT_HOST", str) or "127.0.0.1",
        grpc_port=reader.number("PAYMENT_GRPC_PORT", 50051, 0, _PORT_LIMIT),
        grpc_transport=reader.text("PAYMENT_GRPC_TRANSPORT", _one_of(TRANSPORTS)) or "auto",
        http_port=reader.number("PAYMENT_HTTP_PORT", 8000, 0, _PORT_LIMIT),
        data_dir=reader.text("PAYMENT_DATA_DIR", _path) or default_data_dir(),
        postgres_binaries=reader.text("PAYMENT_POSTGRES_BINARIES", _path),
        migrate_on_start=reader.text("PAYMENT_MIGRATE_ON_START", _truth) or False,
        log_level=reader.text("PAYMENT_LOG_LEVEL", _one_of(_LOG_LEVELS)) or "info",
    )
    reader.refuse()
    return settings


def default_data_dir() -> Path:
    """Where the embedded PostgreSQL keeps its data unless told otherwise."""
    return Path(platformdirs.user_data_dir("payment-server", appauthor=False))


class _Reader:
    """Reads one variable after the other and remembers what was wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._wrong: list[str] = []

    def text(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        """The parsed value; None where the variable is absent or empty."""
        raw = self._environment.get(name, "")
        file = self._environment.get(f"{name}_FILE", "")
        if raw and file:
            self._wrong.append(f"{name} and {name}_FILE are both set")
            return None
        try:
            raw = Path(file).read_text(encoding="utf-8").strip() if file else raw.strip()
            if file and not raw:
                raise ValueError("is empty in its file")
            return parse(raw) if raw else None
        except OSError as error:
            self._wrong.append(f"{name}_FILE cannot be read: {error.strerror}")
        except ValueError as error:
            self._wrong.append(f"{name} {error}")
        return None

    def number(self, name: str, default: int, low: int, high: int) -> int:
        def parse(raw: str) -> int:
            if not re.fullmatch(r"[0-9]{1,9}", raw, re.ASCII) or not low <= int(raw) <= high:
                raise ValueError(f"must be a whole number from {low} to {high}")
            return int(raw)

        value = self.text(name, parse)
        return default if value is None else value

    def refuse(self) -> None:
        """Raises SettingsInvalid if anything was wrong."""
        if self._wrong:
            raise SettingsInvalid("\n".join(self._wrong))


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        try:
            parts = urlsplit(raw)
        except ValueError:  # whose own words may quote a password
            raise ValueError("is no URL") from None
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {' or '.join(f'{each}://' for each in schemes)}")
        try:
            _ = "," in parts.netloc or parts.port  # several hosts have a port each
        except ValueError:  # and here too
            raise ValueError(
                "has no valid port; / : @ ? # in a password are written as %2F %3A %40 %3F %23"
            ) from None
        return raw

    return parse


def _path(raw: str) -> Path:
    try:
        return Path(raw).expanduser().absolute()
    except RuntimeError:
        raise ValueError("names the home of a user who has none") from None


def _truth(raw: str) -> bool:
    if raw.lower() not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return raw.lower() in _TRUE


def _one_of(known: tuple[str, ...]) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return raw.lower()

    return parse


def _without_password(url: str) -> str:
    """Built anew from what is no secret: a password may stand in the query too."""
    parts = urlsplit(url)
    secret = ":***" if parts.password is not None else ""
    user = f"{parts.username}{secret}@" if parts.username or secret else ""
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{user}{hosts}{parts.path}{'?…' if parts.query else ''}"
