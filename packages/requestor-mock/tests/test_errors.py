"""The one judge of failures."""

import logging
from datetime import timedelta

import pytest

from payment.v1.errors import ERRORS
from payment_client import Internal, PaymentError, Unavailable
from requestor_mock.errors import OWN, extensions, facts_of, problem


@pytest.mark.parametrize("reason", OWN)
def test_the_mocks_own_reasons_are_the_contracts(reason: str) -> None:
    row, contracted = OWN[reason], ERRORS[reason]
    assert (row.code, row.http_status, row.title) == (
        contracted.code,
        contracted.http_status,
        contracted.title,
    )


def test_a_fault_tells_nothing_but_the_request_id() -> None:
    facts = facts_of(RuntimeError("secret"), "r-1")
    assert (facts.reason, facts.http_status, facts.request_id) == ("INTERNAL_ERROR", 500, "r-1")
    assert "secret" not in repr(facts)


def test_a_fault_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        try:
            raise RuntimeError("secret")
        except RuntimeError as error:
            facts_of(error, "r-1")
    assert "r-1" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "test_errors.py" in caplog.text


def test_the_words_of_grpc_are_not_passed_on() -> None:
    error = Unavailable(
        "failed to connect to 10.0.0.7", reason="UNAVAILABLE", code="UNAVAILABLE", title="Away."
    )
    assert facts_of(error, "r-1").detail == "Away."


def test_the_words_of_a_broken_answer_are_not_passed_on() -> None:
    error = Internal("no time: 'secret'", reason="MALFORMED_ANSWER", code="INTERNAL", title="Odd.")
    assert facts_of(error, "r-1").detail == "Odd."


def test_the_words_of_the_service_are_passed_on() -> None:
    error = PaymentError("at most 1.00 is left", reason="AMOUNT_EXCEEDS_CAPTURABLE")
    assert facts_of(error, "r-1").detail == "at most 1.00 is left"


def test_the_services_own_request_id_wins() -> None:
    assert facts_of(PaymentError("no", request_id="theirs"), "ours").request_id == "theirs"


@pytest.mark.parametrize("wait", [timedelta(seconds=1.5), None])
def test_both_doors_tell_how_long_to_wait(wait: timedelta | None) -> None:
    facts = facts_of(PaymentError("no", retry_after=wait), "r-1")
    expected = None if wait is None else 1_500
    assert problem(facts, "/").retry_after_ms == expected
    assert extensions(facts)["retry_after_ms"] == expected
