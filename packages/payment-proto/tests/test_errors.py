"""The table of errors is one that programs can rely on."""

import re

import grpc
import pytest

from payment.v1.errors import ERRORS, OUTCOME_UNKNOWN_WITHOUT_KEY, Row, row_of

ROWS = [*ERRORS.values(), OUTCOME_UNKNOWN_WITHOUT_KEY]
CODES = {code.name for code in grpc.StatusCode}

# What a foreign client, which knows the gRPC code alone, would make of it on HTTP.
CLASSES = {"INTERNAL": 500, "UNKNOWN": 500, "UNAVAILABLE": 503, "NOT_FOUND": 404}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.reason}-{row.code}")
class TestEveryRow:
    def test_the_reason_is_as_google_prescribes(self, row: Row) -> None:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", row.reason)
        assert len(row.reason) <= 63

    def test_the_code_is_one_of_grpc(self, row: Row) -> None:
        assert row.code in CODES - {"OK"}

    def test_the_http_status_blames_the_same_side(self, row: Row) -> None:
        expected = CLASSES.get(row.code)
        assert row.http_status == expected if expected else 400 <= row.http_status < 500

    def test_the_title_is_a_sentence(self, row: Row) -> None:
        assert re.fullmatch(r"[A-Z].*\.", row.title)

    def test_it_is_found_by_what_travels(self, row: Row) -> None:
        assert row_of(row.reason, row.code) is row


def test_a_reason_of_somebody_else_is_not_found() -> None:
    assert row_of("QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED") is None
