"""What a request to /v1 has to be before its operation sees it: from no other site's page, with a
body of its operation's shape, with parameters that the operation has. All that is wrong is told at
once, and no value is repeated in an answer."""

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from types import NoneType
from typing import Annotated, Any, Final, TypeVar, get_args

import msgspec
from msgspec import Meta

from payment_server.api.parameters import HttpRequest
from payment_server.domain.commands import is_tellable
from payment_server.domain.errors import InvalidRequest, MalformedRequest, Violation

Body = TypeVar("Body", bound=msgspec.Struct)

_JSON: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json")
_METADATA_FILTER: Final = re.compile(r"metadata\[(.+)\]")
NO_SUCH_VALUE: Final = "is none of the values that it may have"
_EMPTY: Final = "must not be empty; leave it out"
_NO_TIME: Final = "must be a time of RFC 3339 with its offset from UTC"


async def check_change(request: HttpRequest) -> None:
    """Litestar's hook before a request is handled: judges those that may change something.

    Raises MalformedRequest, InvalidRequest.
    """
    if request.method != "POST":
        return
    _refuse_foreign_page(request)
    field = request.route_handler.parsed_data_field
    if field is None or (field.is_optional and not await request.body()):
        return
    if _JSON.fullmatch(request.content_type[0].lower()) is None:
        raise MalformedRequest("the Content-Type of a body must be application/json")
    body = await request.json()
    if body is None and field.is_optional:
        return
    if not isinstance(body, dict):
        raise MalformedRequest("the body must be a JSON object")
    _refuse(_wrong_fields(body, _shape_of(field.annotation)))


def item_of(value: object, shape: type[Body]) -> Body:
    """An item of a list, judged as a body of its own would be.

    Raises MalformedRequest, InvalidRequest.
    """
    if not isinstance(value, dict):
        raise MalformedRequest("the request must be a JSON object")
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        _refuse(_wrong_fields(value, shape))
        raise


def check_query(
    request: HttpRequest, names: Collection[str], *, times: Collection[str] = ()
) -> None:
    """Judges the query as a whole: `names` are the parameters that the operation has, `times` those
    that are times. Raises InvalidRequest."""
    _refuse(_wrong_parameters(request, names, times))


def metadata_keys(request: HttpRequest) -> dict[str, str]:
    """The `metadata[key]` parameters, and the key of each."""
    matches = {name: _METADATA_FILTER.fullmatch(name) for name in request.query_params}
    return {name: match[1] for name, match in matches.items() if match}


def read_time(field: str, text: str) -> datetime:
    """A time of RFC 3339 that says its offset. Raises InvalidRequest."""
    try:
        moment: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError:
        raise InvalidRequest([Violation(field, _NO_TIME)]) from None
    return moment


def _refuse_foreign_page(request: HttpRequest) -> None:
    """A page of any site may make a browser send a POST, to a service on this very machine too,
    and with a body or without; but the browser then names the page's origin, which other programs
    do not have."""
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise MalformedRequest("a page of another origin may not ask for this")


def _wrong_fields(body: dict[str, Any], shape: type[msgspec.Struct]) -> Iterator[Violation]:
    fields = {each.encode_name: each for each in msgspec.structs.fields(shape)}
    for name, field in fields.items():
        if name not in body:
            if field.required:
                yield Violation(name, "is required")
        elif (flaw := _flaw_of(body[name], field.type)) is not None:
            yield Violation(name, flaw)
    for name in body:
        if name not in fields:
            yield Violation(_tellable(name), "is no field of this request")


def _flaw_of(value: object, annotation: Any) -> str | None:
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        if value == "":
            return _EMPTY
        told = str(error).partition(" - at ")[0]
        return NO_SUCH_VALUE if told.startswith("Invalid enum value") else told
    return None


def _shape_of(annotation: Any) -> type[msgspec.Struct]:
    """The struct of `Struct` or `Struct | None`."""
    shape: type[msgspec.Struct]
    [shape] = {*(get_args(annotation) or (annotation,))} - {NoneType}
    return shape


def _wrong_parameters(
    request: HttpRequest, names: Collection[str], times: Collection[str]
) -> Iterator[Violation]:
    query = request.query_params
    for name in dict.fromkeys(query):
        if name not in names:
            yield Violation(_tellable(name), "is no parameter of this list")
        elif len(query.getall(name)) > 1:
            yield Violation(_tellable(name), "is given several times")
        elif not query[name] and not _METADATA_FILTER.fullmatch(name):
            yield Violation(name, _EMPTY)
        elif name in times and not _is_time(query[name]):
            yield Violation(name, _NO_TIME)


def _is_time(text: str) -> bool:
    """Litestar itself would take a number for seconds since 1970."""
    try:
        read_time("", text)
    except InvalidRequest:
        return False
    return True


def _tellable(name: str) -> str:
    """The name that a caller chose for a field, or none where it must not be repeated."""
    if is_tellable(name):
        return name
    entry = _METADATA_FILTER.fullmatch(name)
    return f"metadata.{entry[1]}" if entry and is_tellable(entry[1]) else ""


def _refuse(found: Iterator[Violation]) -> None:
    if violations := tuple(found):
        raise InvalidRequest(violations)
