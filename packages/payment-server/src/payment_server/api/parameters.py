"""What the operations of /v1 have in common beside their bodies: whose payments, under which key,
and what an answer says in its headers and its documentation."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Request
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter

from payment_server.api.faults import Problem
from payment_server.domain import commands
from payment_server.domain.idempotency import Replay
from payment_server.payments import Outcome

HttpRequest = Request[Any, Any, State]

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The refusals of an operation, for its documentation; any may come too often."""
    return {
        status: ResponseSpec(
            Problem,
            generate_examples=False,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_MEDIA_TYPE,
        )
        for status in sorted({*statuses, 429})
    }


def reference_to(body: str) -> dict[str, str]:
    """The schema of another body, where a type does not say it."""
    return {"$ref": f"#/components/schemas/{body}"}


def merchant_id_of(
    merchant: Annotated[
        str,
        HeaderParameter(
            name="X-Merchant-Id", description='Whose payments, in the sandbox; "default" if absent.'
        ),
    ] = "",
) -> str:
    return commands.merchant_id(merchant)


def keys_of(
    request: HttpRequest,
    key: Annotated[  # noqa: ARG001 - documented here, and read with its repetitions below
        str,
        HeaderParameter(
            name="Idempotency-Key",
            description="At most 255 printable ASCII characters; one key has one effect for ever.",
        ),
    ] = "",
) -> list[str]:
    keys: list[str] = request.headers.getall("idempotency-key", [])
    return keys


MERCHANT: Final = {"merchant_id": Provide(merchant_id_of, sync_to_thread=False)}
"""The dependency `merchant_id`: whose payments. Raises InvalidRequest."""

MERCHANT_AND_KEYS: Final = {**MERCHANT, "keys": Provide(keys_of, sync_to_thread=False)}
"""Beside it the dependency `keys`: every Idempotency-Key header."""


def replayed(outcome: Outcome) -> dict[str, str]:
    """The header of an answer that was given before."""
    return {} if outcome.replay is Replay.NO else {"Idempotency-Replayed": outcome.replay}
