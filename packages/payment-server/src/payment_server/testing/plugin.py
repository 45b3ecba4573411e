"""The fixtures, which pytest finds by the entry point `payment_server`.

Whoever has this distribution installed loads this module with every run of pytest: it must import
nothing more than pytest has already, and do nothing until a test asks.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from payment_client import AsyncPaymentClient, PaymentClient
    from payment_server.testing.line import PaymentLine
    from payment_server.testing.service import PaymentService
    from payment_server.testing.sharing import SharedService

SETTINGS_OPTION: Final = "payment_service_settings"

QUICK: Final = {
    "PAYMENT_SANDBOX_SETTLE_MS": "200",
    # Above what a busy machine needs for an answer that costs nothing; below anybody's patience.
    "PAYMENT_PROCESSOR_TIMEOUT_MS": "1500",
}
"""Settings with which no outcome takes long; those of the project win over them."""

_SHARED: Final = pytest.StashKey["SharedService"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one option, of pytest's configuration file."""
    parser.addini(
        SETTINGS_OPTION,
        "Settings of the payment service that tests run against: NAME=value, one a line.",
        type="linelist",
        default=[],
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets an xdist worker whose tests will use the service keep it, also while none of them runs.

    So one service serves the whole run, whichever worker needs it first or last.
    """
    if not _is_xdist_worker(session.config) or session.config.getoption("basetemp") is None:
        return
    if any("payment_service" in getattr(item, "fixturenames", ()) for item in session.items):
        _shared(session.config, Path(session.config.getoption("basetemp"))).hold()


@pytest.fixture(scope="session")
def payment_service(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[PaymentService]":
    """The payment service with the sandbox, on a PostgreSQL of its own: one for the whole run."""
    from payment_server.testing.service import PaymentService
    from payment_server.testing.sharing import ServiceNotStarted

    shared = _shared(pytestconfig, tmp_path_factory.getbasetemp())
    try:
        ports = shared.ports(QUICK | _settings(pytestconfig))
    except ServiceNotStarted as error:
        pytest.fail(str(error), pytrace=False)
    yield PaymentService(
        target=f"127.0.0.1:{ports.grpc_port}",
        http_url=f"http://127.0.0.1:{ports.http_port}",
        log=shared.log,
    )
    shared.leave()


@pytest.fixture
def payment_merchant() -> str:
    """The merchant of this test, of whom the service has never heard."""
    from payment_server.testing.service import new_merchant_id

    return new_merchant_id()


@pytest.fixture(scope="session")
def _payment_extra() -> None:
    """Says what is missing before a service is started in vain."""
    if find_spec("payment_client") is None:
        from payment_server.testing.service import ExtraMissing

        pytest.fail(str(ExtraMissing()), pytrace=False)


@pytest.fixture
def payment_client(
    _payment_extra: None, payment_service: "PaymentService", payment_merchant: str
) -> "Iterator[PaymentClient]":
    """A client of the test's own merchant."""
    with payment_service.client(merchant_id=payment_merchant) as client:
        yield client


@pytest.fixture
def async_payment_client(
    _payment_extra: None, payment_service: "PaymentService", payment_merchant: str
) -> "AsyncPaymentClient":
    """The same for asyncio, whatever runs the test's event loop.

    It belongs to the loop of its first call. Which that is, and whether it still runs when the
    test is over, is the business of another plugin: so it is not closed here, but goes with the
    last reference to it.
    """
    return payment_service.async_client(merchant_id=payment_merchant)


@pytest.fixture
def payment_line(payment_service: "PaymentService") -> "Iterator[PaymentLine]":
    """A way to the service that this test may break; the test makes clients of its `target`."""
    from payment_server.testing.line import PaymentLine

    with PaymentLine(payment_service.target) as line:
        yield line


def _settings(config: pytest.Config) -> dict[str, str]:
    lines: list[str] = config.getini(SETTINGS_OPTION)
    settings = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals:
            raise pytest.UsageError(f"{SETTINGS_OPTION}: {line!r} is not NAME=value")
        settings[name.strip()] = value.strip()
    return settings


def _shared(config: pytest.Config, basetemp: Path) -> "SharedService":
    """This process's part in the service: xdist gives each worker a folder inside the run's."""
    from payment_server.testing.sharing import SharedService

    if _SHARED not in config.stash:
        is_shared = _is_xdist_worker(config) and config.getoption("basetemp") is not None
        folder = basetemp.parent if is_shared else basetemp
        config.stash[_SHARED] = SharedService(folder / "payment-service")
    return config.stash[_SHARED]


def _is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
