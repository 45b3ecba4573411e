"""Settings: what is read from the environment, what is refused, and that secrets stay hidden."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from payment_server.settings import (
    Settings,
    SettingsInvalid,
    default_data_dir,
    read_settings,
)

URL = "postgresql://someone:secret@db.example:5432/payments"


def faults(environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read_settings(environment)
    return str(caught.value).splitlines()


def file_with(folder: Path, text: str) -> str:
    path = folder / "secret"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_empty_environment_has_defaults() -> None:
    assert read_settings({}) == Settings(
        database_url=None,
        owner_database_url=None,
        database_connections=8,
        redis_url=None,
        rate_limit_per_second=0,
        rate_limit_burst=0,
        processor=None,
        processor_timeout_ms=5_000,
        sandbox_latency_ms=0,
        sandbox_settle_ms=5_000,
        sandbox_hold_seconds=7 * 24 * 3600,
        sandbox_challenge_seconds=900,
        host="127.0.0.1",
        grpc_port=50051,
        grpc_transport="auto",
        http_port=8000,
        data_dir=default_data_dir(),
        postgres_binaries=None,
        migrate_on_start=False,
        log_level="info",
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DATABASE_URL", URL, "database_url", URL),
        ("DATABASE_URL", "postgres://db/x", "database_url", "postgres://db/x"),
        ("PAYMENT_OWNER_DATABASE_URL", URL, "owner_database_url", URL),
        ("REDIS_URL", "redis://cache:6379/0", "redis_url", "redis://cache:6379/0"),
        ("REDIS_URL", "rediss://cache", "redis_url", "rediss://cache"),
        ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
        ("PAYMENT_RATE_LIMIT_PER_SECOND", "100", "rate_limit_per_second", 100),
        ("PAYMENT_RATE_LIMIT_BURST", "5", "rate_limit_burst", 5),
        ("PAYMENT_PROCESSOR", "sandbox", "processor", "sandbox"),
        ("PAYMENT_PROCESSOR", "SANDBOX", "processor", "sandbox"),
        ("PAYMENT_PROCESSOR_TIMEOUT_MS", "100", "processor_timeout_ms", 100),
        ("PAYMENT_SANDBOX_LATENCY_MS", "250", "sandbox_latency_ms", 250),
        ("PAYMENT_SANDBOX_SETTLE_MS", "0", "sandbox_settle_ms", 0),
        ("PAYMENT_SANDBOX_HOLD_SECONDS", "1", "sandbox_hold_seconds", 1),
        ("PAYMENT_SANDBOX_CHALLENGE_SECONDS", "60", "sandbox_challenge_seconds", 60),
        ("PAYMENT_DATABASE_CONNECTIONS", "100", "database_connections", 100),
        ("PAYMENT_HOST", "0.0.0.0", "host", "0.0.0.0"),  # noqa: S104 - read, not bound
        ("PAYMENT_GRPC_PORT", "0", "grpc_port", 0),
        ("PAYMENT_GRPC_TRANSPORT", "Native", "grpc_transport", "native"),
        ("PAYMENT_HTTP_PORT", "65535", "http_port", 65535),
        ("PAYMENT_HTTP_PORT", " 8080\n", "http_port", 8080),
        ("PAYMENT_DATA_DIR", "/srv/payments", "data_dir", Path("/srv/payments")),
        ("PAYMENT_POSTGRES_BINARIES", "/opt/pg", "postgres_binaries", Path("/opt/pg")),
        ("PAYMENT_LOG_LEVEL", "Debug", "log_level", "debug"),
        *(
            ("PAYMENT_MIGRATE_ON_START", text, "migrate_on_start", True)
            for text in ("1", "true", "TRUE", "yes", "on")
        ),
        *(
            ("PAYMENT_MIGRATE_ON_START", text, "migrate_on_start", False)
            for text in ("0", "false", "no", "off")
        ),
    ],
)
def test_a_variable_sets_its_setting(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read_settings({name: text}), field) == value


@pytest.mark.parametrize("name", ["DATABASE_URL", "PAYMENT_GRPC_PORT", "PAYMENT_PROCESSOR"])
@pytest.mark.parametrize("text", ["", " ", "\n"], ids=ascii)
def test_an_empty_variable_is_an_absent_one(name: str, text: str) -> None:
    assert read_settings({name: text}) == read_settings({})


def test_the_owner_is_the_service_itself_unless_named() -> None:
    assert read_settings({"DATABASE_URL": URL}).owner_database_url == URL


def test_the_owner_may_be_somebody_else() -> None:
    owner = "postgresql://owner@db/payments"
    settings = read_settings({"DATABASE_URL": URL, "PAYMENT_OWNER_DATABASE_URL": owner})
    assert (settings.database_url, settings.owner_database_url) == (URL, owner)


def test_a_burst_is_what_a_second_lets_in_unless_named() -> None:
    assert read_settings({"PAYMENT_RATE_LIMIT_PER_SECOND": "100"}).rate_limit_burst == 100


def test_a_folder_may_be_named_from_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert read_settings({"PAYMENT_DATA_DIR": "~/data"}).data_dir == Path("/home/someone/data")


def test_a_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings({"PAYMENT_DATA_DIR": "data"}).data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("DATABASE_URL", "mysql://db/x", "must begin with postgresql:// or postgres://"),
        ("DATABASE_URL", "db:5432", "must begin with postgresql:// or postgres://"),
        (
            "PAYMENT_OWNER_DATABASE_URL",
            "sqlite:///x",
            "must begin with postgresql:// or postgres://",
        ),
        ("REDIS_URL", "http://cache", "must begin with redis:// or rediss:// or unix://"),
        ("PAYMENT_PROCESSOR", "stripe", "must be one of sandbox"),
        ("PAYMENT_GRPC_TRANSPORT", "quic", "must be one of auto, grpcio, native"),
        ("PAYMENT_LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
        ("PAYMENT_MIGRATE_ON_START", "maybe", "must be true or false"),
        *(
            ("PAYMENT_GRPC_PORT", text, "must be a whole number from 0 to 65535")
            for text in ("65536", "-1", "+1", "1.0", "1e3", "1_000", "0x50", "http", "\u0661")
        ),
        ("PAYMENT_RATE_LIMIT_PER_SECOND", "100/s", "must be a whole number from 0 to 100000"),
        ("PAYMENT_RATE_LIMIT_BURST", "0", "must be a whole number from 1 to 1000000"),
        ("PAYMENT_DATABASE_CONNECTIONS", "0", "must be a whole number from 1 to 100"),
        ("PAYMENT_DATABASE_CONNECTIONS", "101", "must be a whole number from 1 to 100"),
        ("PAYMENT_SANDBOX_LATENCY_MS", "4001", "must be a whole number from 0 to 4000"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, text: str, message: str) -> None:
    assert faults({name: text}) == [f"{name} {message}"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert faults({"DATABASE_URL": "x", "PAYMENT_HTTP_PORT": "x", "PAYMENT_PROCESSOR": "x"}) == [
        "DATABASE_URL must begin with postgresql:// or postgres://",
        "PAYMENT_PROCESSOR must be one of sandbox",
        "PAYMENT_HTTP_PORT must be a whole number from 0 to 65535",
    ]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DATABASE_URL", f"{URL}\n", "database_url", URL),
        ("PAYMENT_HTTP_PORT", "8080", "http_port", 8080),
        ("REDIS_URL", "redis://:secret@cache", "redis_url", "redis://:secret@cache"),
    ],
)
def test_a_value_may_lie_in_a_file(
    tmp_path: Path, name: str, text: str, field: str, value: object
) -> None:
    settings = read_settings({f"{name}_FILE": file_with(tmp_path, text)})
    assert getattr(settings, field) == value


def test_a_variable_and_its_file_may_not_both_be_given(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": URL, "DATABASE_URL_FILE": file_with(tmp_path, URL)}
    assert faults(environment) == ["DATABASE_URL and DATABASE_URL_FILE are both set"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert faults({"DATABASE_URL_FILE": str(tmp_path / "none")}) == [
        "DATABASE_URL_FILE cannot be read: No such file or directory"
    ]


def test_a_bad_value_in_a_file_is_not_repeated(tmp_path: Path) -> None:
    told = faults({"DATABASE_URL_FILE": file_with(tmp_path, "mysql://someone:secret@db")})
    assert told == ["DATABASE_URL must begin with postgresql:// or postgres://"]


@pytest.mark.parametrize("name", ["DATABASE_URL", "PAYMENT_OWNER_DATABASE_URL"])
def test_the_password_of_a_database_is_never_shown(name: str) -> None:
    settings = read_settings({name: URL})
    assert "secret" not in f"{settings!r} {settings} {settings.shown()}"


def test_the_password_of_redis_is_never_shown() -> None:
    settings = read_settings({"REDIS_URL": "redis://:secret@cache:6379"})
    assert settings.shown()["redis_url"] == "redis://:***@cache:6379"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://someone:pass@secret@db/payments"),
        ("DATABASE_URL", "postgresql://db/payments?user=someone&password=secret&ssl=require"),
        ("DATABASE_URL", "postgresql://db/payments?sslpassword=secret"),
        ("REDIS_URL", "redis://cache?password=secret"),
    ],
)
def test_a_password_is_never_shown_wherever_it_stands(name: str, url: str) -> None:
    assert "secret" not in str(read_settings({name: url}))


def test_a_password_that_makes_a_broken_url_is_not_repeated() -> None:
    (fault,) = faults({"DATABASE_URL": "postgresql://someone:pass/secret@db/payments"})
    assert "secret" not in fault


@pytest.mark.parametrize("host", ["[bad", "exa\u2100mple"], ids=ascii)
def test_a_password_before_a_broken_host_is_not_repeated(host: str) -> None:
    assert faults({"DATABASE_URL": f"postgresql://someone:secret@{host}/x"}) == [
        "DATABASE_URL is no URL"
    ]


def test_the_home_of_nobody_is_refused() -> None:
    (fault,) = faults({"PAYMENT_DATA_DIR": "~no-such-user-here/data"})
    assert fault == "PAYMENT_DATA_DIR names the home of a user who has none"


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    assert faults({"DATABASE_URL_FILE": file_with(tmp_path, "\n")}) == [
        "DATABASE_URL is empty in its file"
    ]


def test_all_but_the_password_is_shown() -> None:
    shown = read_settings({"DATABASE_URL": URL}).shown()
    assert shown["database_url"] == "postgresql://someone:***@db.example:5432/payments"


def test_what_is_not_set_is_not_shown() -> None:
    assert "redis_url" not in read_settings({}).shown()


def test_settings_do_not_change() -> None:
    settings: Any = read_settings({})
    with pytest.raises(AttributeError):
        settings.host = "0.0.0.0"  # noqa: S104 - refused


def test_the_embedded_data_belongs_to_the_user() -> None:
    assert default_data_dir().is_absolute()
    assert default_data_dir().name == "payment-server"
