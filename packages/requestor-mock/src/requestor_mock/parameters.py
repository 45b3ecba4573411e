"""Query parameters, judged as bodies are: all that is wrong at once, and no value repeated."""

from collections.abc import Collection, Iterator
from typing import Final

from litestar import Request
from litestar.datastructures import State

from payment_client import FieldViolation
from requestor_mock.bodies import flaw_of_time, printable
from requestor_mock.errors import fields_invalid

_PAGE: Final = ("page_size", "page_token")


def check_page(request: Request[None, None, State]) -> None:
    """Raises Refused for anything but a page_size and a page_token, each at most once."""
    if found := tuple(wrong_names(request, _PAGE)):
        raise fields_invalid(found)


def wrong_names(
    request: Request[None, None, State], known: Collection[str]
) -> Iterator[FieldViolation]:
    """Parameters that the request does not have, and those of which one would win by chance."""
    for name in dict.fromkeys(request.query_params):
        if name not in known:
            yield FieldViolation(
                field=printable(name), message="is not a parameter of this request"
            )
    yield from repeated(request)


def repeated(request: Request[None, None, State]) -> Iterator[FieldViolation]:
    """Parameters that are given several times."""
    for name in dict.fromkeys(request.query_params):
        if len(request.query_params.getall(name)) > 1:
            yield FieldViolation(field=printable(name), message="is given several times")


def wrong_times(
    request: Request[None, None, State], names: Collection[str]
) -> Iterator[FieldViolation]:
    """Times that are none. Litestar would take a bare number for a Unix time."""
    for name in names:
        text = request.query_params.get(name)
        if text is not None and (flaw := flaw_of_time(text)):
            yield FieldViolation(field=name, message=flaw)
