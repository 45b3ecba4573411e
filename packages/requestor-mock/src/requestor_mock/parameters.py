"""What lists and watches are asked for, by query parameters or by arguments of GraphQL: judged as
bodies are, all that is wrong at once and no value repeated."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from litestar import Request
from litestar.datastructures import State

from payment_client import FieldViolation, PaymentStatus
from requestor_mock.bodies import flaw_of_time, printable
from requestor_mock.errors import fields_invalid

_METADATA: Final = re.compile(r"metadata\[(.+)\]")


def _flaw_of_nothing(text: str) -> str | None:
    """A variable that is empty by mistake must not mean everybody."""
    return None if text else "must not be empty; leave it out"


def _flaw_of_status(text: str) -> str | None:
    return "cannot be unknown" if text == PaymentStatus.UNKNOWN else None


_FLAWS: Final[Mapping[str, Callable[[str], str | None]]] = MappingProxyType(
    {
        "customer_id": _flaw_of_nothing,
        "payment_id": _flaw_of_nothing,
        "page_token": _flaw_of_nothing,
        "cursor": _flaw_of_nothing,
        "status": _flaw_of_status,
        "created_from": flaw_of_time,  # Litestar would take a bare number for a Unix time
        "created_before": flaw_of_time,
        "expires_at": flaw_of_time,
    }
)
"""What the types of parameters and arguments cannot tell, by the names of the contract."""


def check(**given: str | None) -> None:
    """Raises Refused for values of which something is wrong; None is none."""
    if found := tuple(_wrong_values(given)):
        raise fields_invalid(found)


def check_parameters(request: Request[None, None, State], known: Collection[str]) -> None:
    """Raises Refused for parameters that the request does not have, for those of which one would
    win by chance, and for wrong values. `metadata` stands for every metadata[key]."""
    names = {name: _METADATA.sub("metadata", name) for name in request.query_params}
    found = [
        *(
            FieldViolation(field=printable(name), message="is not a parameter of this request")
            for name, stem in names.items()
            if stem not in known or name == "metadata"
        ),
        *repeated(request),
        *_wrong_values({name: request.query_params.get(name) for name in _FLAWS if name in known}),
    ]
    if found:
        raise fields_invalid(found)


def metadata_of(request: Request[None, None, State]) -> dict[str, str]:
    """The entries that are asked for as metadata[key]=value."""
    matches = {name: _METADATA.fullmatch(name) for name in request.query_params}
    return {match[1]: request.query_params[name] for name, match in matches.items() if match}


def repeated(request: Request[None, None, State]) -> Iterator[FieldViolation]:
    """Parameters that are given several times."""
    for name in dict.fromkeys(request.query_params):
        if len(request.query_params.getall(name)) > 1:
            yield FieldViolation(field=printable(name), message="is given several times")


def _wrong_values(given: Mapping[str, str | None]) -> Iterator[FieldViolation]:
    for name, text in given.items():
        if text is not None and (flaw := _FLAWS[name](text)):
            yield FieldViolation(field=name, message=flaw)
