"""The plugin costs nothing where nobody uses it, and says what is wrong where somebody does."""

import subprocess
import sys

from inner_run import InnerRun

LOADED = """
import sys, pytest, uuid
before = set(sys.modules)
import payment_server.testing.plugin
loaded = sorted(set(sys.modules) - before)
print(*(name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names))
"""


def test_loading_it_imports_next_to_nothing() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == [
        "payment_server",
        "payment_server.testing",
        "payment_server.testing.line",
        "payment_server.testing.plugin",
        "payment_server.testing.service",
    ]


def test_nothing_is_started_where_no_test_asks_for_it(inner: InnerRun) -> None:
    inner.write("def test_that_needs_nothing(tmp_path_factory): tmp_path_factory.getbasetemp()")
    code, output = inner.finish()
    assert code == 0, output
    assert not list(inner.folder.rglob("payment-service"))


def test_a_client_without_the_extra_says_what_to_install(inner: InnerRun) -> None:
    inner.write("def test_that_pays(payment_client): pass")
    code, output = inner.finish()
    assert code == 1
    assert "pip install 'payment-server[testing]'" in output
    assert not list(inner.folder.rglob("payment-service"))


def test_a_service_that_cannot_start_tells_its_own_log(inner: InnerRun) -> None:
    inner.write(
        "def test_that_pays(payment_service): pass",
        ini="payment_service_settings = PAYMENT_SANDBOX_SETTLE_MS=never",
    )
    code, output = inner.finish()
    assert code == 1
    assert "has ended: payment-server: PAYMENT_SANDBOX_SETTLE_MS must be" in output
    assert inner.is_gone()


def test_a_setting_without_a_value_is_told(inner: InnerRun) -> None:
    inner.write(
        "def test_that_pays(payment_service): pass",
        ini="payment_service_settings = PAYMENT_SANDBOX_SETTLE_MS",
    )
    assert "'PAYMENT_SANDBOX_SETTLE_MS' is not NAME=value" in inner.finish()[1]
