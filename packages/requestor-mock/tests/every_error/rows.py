"""What a surface has to tell of a row of the contract's table: these facts, and nothing else."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from every_error.doors import Told

from payment.v1.errors import Row


def assert_row(
    told: Told | None,
    surface: str,
    row: Row,
    *,
    fields: Iterable[str] = (),
    facts: Mapping[str, str] = MappingProxyType({}),
    retry_after_ms: int | None = None,
    subject: str = "",
) -> None:
    assert told is not None, f"{surface} refuses nothing"
    assert (surface, told.reason, told.code) == (surface, row.reason, row.code)
    assert told.http_status == (None if surface == "grpc" else row.http_status)
    assert told.title in (row.title, None)
    assert (told.fields, told.metadata) == (sorted(fields), dict(facts))
    assert told.retry_after_ms == retry_after_ms
    if surface == "grpc":
        _assert_details(told, row, subject)


def _assert_details(told: Told, row: Row, subject: str) -> None:
    """gRPC's details are those that fit the row (AIP-193)."""
    fitting = {
        "BadRequest": bool(told.fields),
        "PreconditionFailure": row.code == "FAILED_PRECONDITION",
        "ResourceInfo": row.code == "NOT_FOUND",
        "RetryInfo": told.retry_after_ms is not None,
    }
    expected = {"ErrorInfo", "RequestInfo", *(name for name, fits in fitting.items() if fits)}
    assert set(told.details) == expected
    if "PreconditionFailure" in expected:
        (violation,) = told.details["PreconditionFailure"].violations
        assert (violation.type, violation.subject) == (row.reason, subject)
    if "ResourceInfo" in expected:
        kind = row.reason.removesuffix("_NOT_FOUND").title()
        info = told.details["ResourceInfo"]
        assert (info.resource_type, info.resource_name) == (f"payment.v1.{kind}", subject)
