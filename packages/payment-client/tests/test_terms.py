"""`payment_client._terms`: what is fixed before the first attempt."""

import pytest

from payment_client import InvalidRequest
from payment_client._settings import read_settings
from payment_client._terms import terms_of_change, terms_of_changes, terms_of_read

SETTINGS = read_settings("127.0.0.1:1", merchant_id="shop-1", timeout_seconds=5, environment={})


def test_a_call_without_a_timeout_has_the_clients() -> None:
    assert terms_of_read(SETTINGS, None, None).timeout_seconds == 5.0


def test_a_timeout_of_the_call_wins() -> None:
    assert terms_of_read(SETTINGS, 0.25, None).timeout_seconds == 0.25


def test_a_timeout_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout_seconds must be above 0"):
        terms_of_read(SETTINGS, 0, None)


def test_the_merchant_goes_with_every_call() -> None:
    assert terms_of_read(SETTINGS, None, None).metadata == (("x-merchant-id", "shop-1"),)


def test_a_client_without_a_merchant_names_none() -> None:
    assert terms_of_read(read_settings(environment={}), None, None).metadata == ()


def test_a_header_of_the_call_wins_over_the_clients_merchant_in_any_case() -> None:
    terms = terms_of_read(SETTINGS, None, {"X-Merchant-Id": "shop-2"})
    assert terms.metadata == (("x-merchant-id", "shop-2"),)


@pytest.mark.parametrize("name", ["", "a b", "x:y", "grpc-timeout", "trace-bin", "ä"])
def test_a_header_that_grpc_cannot_send_as_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a header"):
        terms_of_read(SETTINGS, None, {name: "1"})


@pytest.mark.parametrize("value", ["a\nb", "ä", "\x00", "\ud800"])
def test_a_header_value_that_grpc_cannot_send_is_an_invalid_request(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms_of_read(SETTINGS, None, {"x-request-id": value})
    assert caught.value.violations[0].field == "x-request-id"


def test_a_read_has_no_key() -> None:
    assert terms_of_read(SETTINGS, None, None).idempotency_key == ""


def test_a_change_without_a_key_gets_one_of_its_own() -> None:
    keys = {terms_of_change(SETTINGS, None, None, None).idempotency_key for _ in range(100)}
    assert len(keys) == 100


def test_a_change_keeps_the_key_that_it_is_given() -> None:
    assert terms_of_change(SETTINGS, None, None, "order-42").idempotency_key == "order-42"


def test_a_key_among_the_headers_is_the_key() -> None:
    terms = terms_of_change(SETTINGS, None, {"Idempotency-Key": "order-42"}, None)
    assert terms.idempotency_key == "order-42"


def test_an_empty_key_is_refused_as_it_would_protect_nothing() -> None:
    with pytest.raises(InvalidRequest) as caught:
        terms_of_change(SETTINGS, None, None, "")
    assert caught.value.violations[0].field == "idempotency_key"


def test_an_api_key_goes_with_every_call_as_a_bearer() -> None:
    terms = terms_of_read(read_settings(api_key="sk_1", environment={}), None, None)
    assert terms.metadata == (("authorization", "Bearer sk_1"),)


def test_only_what_changes_something_says_so() -> None:
    terms = (
        terms_of_read(SETTINGS, None, None),
        terms_of_change(SETTINGS, None, None, None),
        terms_of_changes(SETTINGS, None, None),
    )
    assert [each.is_change for each in terms] == [False, True, True]


def test_many_changes_have_no_key_as_each_has_its_own() -> None:
    assert terms_of_changes(SETTINGS, None, None).idempotency_key == ""


def test_terms_do_not_show_the_api_key() -> None:
    terms = terms_of_read(read_settings(api_key="sk_secret", environment={}), None, None)
    assert "sk_secret" not in repr(terms)
