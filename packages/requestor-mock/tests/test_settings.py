"""The environment, read once."""

import pytest

from requestor_mock.settings import SettingInvalid, Settings


def test_nothing_set_means_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings(
        host="127.0.0.1", http_port=8001, payment_target="127.0.0.1:50051"
    )


def test_everything_can_be_set() -> None:
    environment = {
        "REQUESTOR_HOST": "0.0.0.0",  # noqa: S104 - only read
        "REQUESTOR_HTTP_PORT": "0",
        "PAYMENT_TARGET": "payment-service:50051",
    }
    assert Settings.from_environment(environment) == Settings(
        host="0.0.0.0",  # noqa: S104 - only compared
        http_port=0,
        payment_target="payment-service:50051",
    )


def test_empty_means_not_set() -> None:
    assert Settings.from_environment({"REQUESTOR_HTTP_PORT": ""}).http_port == 8001


@pytest.mark.parametrize("text", ["x", "-1", "65536", "\uff18\uff10\uff10\uff11", "1.5", " 1"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid, match="REQUESTOR_HTTP_PORT"):
        Settings.from_environment({"REQUESTOR_HTTP_PORT": text})
