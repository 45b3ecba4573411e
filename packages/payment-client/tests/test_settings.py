"""`payment_client._settings`: arguments, then the environment, then the defaults."""

import pytest

from payment_client import AsyncPaymentClient, PaymentClient, Tls
from payment_client._settings import MAX_TARGETS, Addresses, Settings, read_settings


def test_without_arguments_and_environment_the_defaults_hold() -> None:
    assert read_settings(environment={}) == Settings(
        "127.0.0.1:50051",
        addresses=Addresses.ONE,
        authority=None,
        tls=None,
        headers={},
        timeout_seconds=5.0,
    )


def test_the_environment_names_target_and_timeout() -> None:
    environment = {"PAYMENT_TARGET": "payments:1234", "PAYMENT_TIMEOUT_SECONDS": "0.5"}
    settings = read_settings(environment=environment)
    assert (settings.target, settings.timeout_seconds) == ("payments:1234", 0.5)


def test_arguments_win_over_the_environment() -> None:
    environment = {"PAYMENT_TARGET": "payments:1234", "PAYMENT_TIMEOUT_SECONDS": "0.5"}
    settings = read_settings("elsewhere:1", timeout_seconds=2, environment=environment)
    assert (settings.target, settings.timeout_seconds) == ("elsewhere:1", 2.0)


def test_a_bad_environment_does_not_matter_where_an_argument_wins() -> None:
    environment = {"PAYMENT_TARGET": " ", "PAYMENT_TIMEOUT_SECONDS": "soon"}
    assert (
        read_settings("elsewhere:1", timeout_seconds=2, environment=environment).timeout_seconds
        == 2
    )


@pytest.mark.parametrize("text", ["soon", "5s"])
def test_a_timeout_in_the_environment_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS must be a number of seconds"):
        read_settings(environment={"PAYMENT_TIMEOUT_SECONDS": text})


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "5000"])
def test_a_timeout_in_the_environment_that_no_call_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS must be above 0 and at most"):
        read_settings(environment={"PAYMENT_TIMEOUT_SECONDS": text})


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 5000])
def test_a_timeout_that_no_call_can_have_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout_seconds must be above 0 and at most"):
        read_settings(timeout_seconds=seconds, environment={})


@pytest.mark.parametrize("target", ["  ", ",127.0.0.1:1", "local host:1"])
def test_a_target_that_is_none_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        read_settings(environment={"PAYMENT_TARGET": target})


@pytest.mark.parametrize("scheme", ["http", "https", "grpc", "grpcs"])
def test_a_url_as_target_is_refused_by_name(scheme: str) -> None:
    with pytest.raises(ValueError, match=f"not the URL '{scheme}://localhost:8000'"):
        read_settings(f"{scheme}://localhost:8000", environment={})


def test_what_the_environment_has_empty_it_does_not_have() -> None:
    empty = dict.fromkeys(["PAYMENT_TARGET", "PAYMENT_API_KEY", "PAYMENT_TIMEOUT_SECONDS"], "")
    assert read_settings(environment=empty) == read_settings(environment={})


def test_an_empty_api_key_is_none_whatever_the_environment_has() -> None:
    assert read_settings(api_key="", environment={"PAYMENT_API_KEY": "sk_1"}).headers == {}


@pytest.mark.parametrize("target", ["localhost:65536", "[::1]:99999", "dns:///localhost:70000"])
def test_a_port_that_does_not_exist_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="has a port above 65535"):
        read_settings(target, environment={})


@pytest.mark.parametrize("target", ["[::1]:65535", "localhost", "unix:/run/payments:70000"])
def test_other_targets_are_grpcs_to_judge(target: str) -> None:
    assert read_settings(target, environment={}).target == target


@pytest.mark.parametrize("merchant_id", ["", "Shop", "a b", "ä", "x" * 65, "shop\n"])
def test_a_merchant_id_that_no_merchant_can_have_is_refused(merchant_id: str) -> None:
    with pytest.raises(ValueError, match="merchant_id must be"):
        read_settings(merchant_id=merchant_id, environment={})


@pytest.mark.parametrize(
    ("targets", "target"),
    [
        ("127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("127.0.0.1:1, 127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2"),
    ],
)
def test_several_addresses_are_one_target_of_grpc(targets: str, target: str) -> None:
    settings = read_settings(targets, environment={})
    assert (settings.target, settings.addresses) == (target, Addresses.SEVERAL)


@pytest.mark.parametrize("target", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/payments"])
def test_an_address_and_this_machine_are_one_address(target: str) -> None:
    assert read_settings(target, environment={}).addresses is Addresses.ONE


@pytest.mark.parametrize("target", ["payments:1", "dns:///payments:1"])
def test_a_name_may_have_several_addresses(target: str) -> None:
    assert read_settings(target, environment={}).addresses is Addresses.OF_A_NAME


@pytest.mark.parametrize(
    "targets",
    [
        "payments:1,other:2",
        "127.0.0.1:1,[::1]:2",
        "127.0.0.1:1,localhost:2",
        "999.0.0.1:1,1.1.1.1:1",
    ],
)
def test_several_targets_that_grpc_cannot_take_together_are_refused(targets: str) -> None:
    with pytest.raises(ValueError, match="must be IP addresses of one family"):
        read_settings(targets, environment={})


def test_several_targets_are_called_by_the_first_as_a_list_is_no_name() -> None:
    assert read_settings("127.0.0.1:1,127.0.0.2:2", environment={}).authority == "127.0.0.1:1"


def test_an_empty_one_among_several_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="must be host:port, not ''"):
        read_settings("127.0.0.1:1,", environment={})


def test_more_targets_than_have_sense_are_refused() -> None:
    many = ",".join(f"127.0.0.1:{port}" for port in range(1, MAX_TARGETS + 2))
    with pytest.raises(ValueError, match="has 33 addresses; at most 32 go"):
        read_settings(many, environment={})


def test_the_api_key_of_the_environment_goes_with_every_call() -> None:
    settings = read_settings(environment={"PAYMENT_API_KEY": "sk_1"})
    assert settings.headers == {"authorization": "Bearer sk_1"}


def test_an_api_key_given_wins_over_that_of_the_environment() -> None:
    settings = read_settings(api_key="sk_2", environment={"PAYMENT_API_KEY": "sk_1"})
    assert settings.headers == {"authorization": "Bearer sk_2"}


@pytest.mark.parametrize(
    "target", ["payments:1", "10.0.0.1:1", "127.0.0.1:1,10.0.0.1:2", "127.evil:1"]
)
def test_an_api_key_does_not_leave_this_machine_in_the_open(target: str) -> None:
    with pytest.raises(ValueError, match="in the open: it needs TLS"):
        read_settings(target, api_key="sk_1", environment={})


@pytest.mark.parametrize("target", ["payments:1", "10.0.0.1:1,10.0.0.2:1"])
def test_with_tls_an_api_key_goes_anywhere(target: str) -> None:
    tls = Tls(server_name="payments.example")
    assert read_settings(target, api_key="sk_1", tls=tls, environment={}).headers


def test_several_targets_with_tls_need_the_name_of_their_certificate() -> None:
    with pytest.raises(ValueError, match="need their certificate's name"):
        read_settings("10.0.0.1:1,10.0.0.2:1", tls=Tls(), environment={})


@pytest.mark.parametrize(
    "api_key", ["sk 1", "sk_1\r\nx-merchant-id: other", "schlüssel", "x" * 1001]
)
def test_an_api_key_that_cannot_be_a_header_is_refused_and_not_quoted(api_key: str) -> None:
    with pytest.raises(ValueError, match=r"must be 1 to 1,000 characters of ASCII$"):
        read_settings(api_key=api_key, environment={})


def test_settings_do_not_show_their_secrets() -> None:
    tls = Tls(private_key=b"secret", certificate_chain=b"chain")
    assert "secret" not in repr(read_settings(api_key="secret", tls=tls, environment={}))


def test_a_private_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        Tls(private_key=b"key")


@pytest.mark.parametrize("client", [PaymentClient, AsyncPaymentClient])
def test_both_clients_read_the_environment(
    client: type[PaymentClient | AsyncPaymentClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENT_TIMEOUT_SECONDS", "soon")
    with pytest.raises(ValueError, match="PAYMENT_TIMEOUT_SECONDS"):
        client()
