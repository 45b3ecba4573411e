"""`payment_client._settings`: arguments, then the environment, then the defaults."""

import pytest

from payment_client import AsyncPaymentClient, PaymentClient
from payment_client._settings import Settings, read_settings


def test_without_arguments_and_environment_the_defaults_hold() -> None:
    assert read_settings(None, None, None, {}) == Settings("127.0.0.1:50051", None, 5.0)


def test_the_environment_names_target_and_timeout() -> None:
    environment = {"PAYMENT_TARGET": "payments:1234", "PAYMENT_TIMEOUT_SECONDS": "0.5"}
    assert read_settings(None, None, None, environment) == Settings("payments:1234", None, 0.5)


def test_arguments_win_over_the_environment() -> None:
    environment = {"PAYMENT_TARGET": "payments:1234", "PAYMENT_TIMEOUT_SECONDS": "0.5"}
    settings = read_settings("elsewhere:1", "shop-1", 2, environment)
    assert settings == Settings("elsewhere:1", "shop-1", 2.0)


def test_a_bad_environment_does_not_matter_where_an_argument_wins() -> None:
    environment = {"PAYMENT_TARGET": "", "PAYMENT_TIMEOUT_SECONDS": "soon"}
    assert read_settings("elsewhere:1", None, 2, environment).timeout_seconds == 2


@pytest.mark.parametrize("text", ["", "soon", "5s"])
def test_a_timeout_in_the_environment_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS must be a number of seconds"):
        read_settings(None, None, None, {"PAYMENT_TIMEOUT_SECONDS": text})


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "5000"])
def test_a_timeout_in_the_environment_that_no_call_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS must be above 0 and at most"):
        read_settings(None, None, None, {"PAYMENT_TIMEOUT_SECONDS": text})


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 5000])
def test_a_timeout_that_no_call_can_have_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout_seconds must be above 0 and at most"):
        read_settings(None, None, seconds, {})


@pytest.mark.parametrize("target", ["", "  ", "local host:1"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        read_settings(None, None, None, {"PAYMENT_TARGET": target})


def test_a_url_as_target_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="not the URL 'http://localhost:8000'"):
        read_settings("http://localhost:8000", None, None, {})


@pytest.mark.parametrize("target", ["localhost:65536", "[::1]:99999", "dns:///localhost:70000"])
def test_a_port_that_does_not_exist_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="has a port above 65535"):
        read_settings(target, None, None, {})


@pytest.mark.parametrize("target", ["[::1]:65535", "localhost", "unix:/run/payments:70000"])
def test_other_targets_are_grpcs_to_judge(target: str) -> None:
    assert read_settings(target, None, None, {}).target == target


@pytest.mark.parametrize("merchant_id", ["", "Shop", "a b", "ä", "x" * 65, "shop\n"])
def test_a_merchant_id_that_no_merchant_can_have_is_refused(merchant_id: str) -> None:
    with pytest.raises(ValueError, match="merchant_id must be"):
        read_settings(None, merchant_id, None, {})


@pytest.mark.parametrize("client", [PaymentClient, AsyncPaymentClient])
def test_both_clients_read_the_environment(
    client: type[PaymentClient | AsyncPaymentClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_TIMEOUT_SECONDS", "soon")
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS"):
        client()
