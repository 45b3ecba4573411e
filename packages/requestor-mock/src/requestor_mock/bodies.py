"""JSON bodies, judged as a whole: everything that is wrong is told at once and by name, and no
value is ever repeated in an answer."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from litestar import Request
from litestar.datastructures import State

from payment_client import Action, CaptureMethod, FieldViolation
from requestor_mock.errors import Refused, fields_invalid

LIMIT_BYTES: Final = 64 * 1024
"""What the contract lets a request have; whatever is larger is no request of ours."""

BODY_LIMIT_SECONDS: Final = 10.0  # for 64 KiB: a slower sender holds a connection for nothing

_NAME: Final = re.compile(r"(?!(?:\D*\d){13})[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""Plain, and with too few digits to be a card number."""

_EXPECTED: Final[dict[object, str]] = {
    str: "must be a string",
    int: "must be a whole number",
    bool: "must be true or false",
    dict[str, str]: "must be an object whose values are strings",
    Action: f"must be one of {', '.join(Action)}",
    CaptureMethod: f"must be one of {CaptureMethod.AUTOMATIC}, {CaptureMethod.MANUAL}",
}


async def received(request: Request[None, None, State]) -> bytes:
    """The whole body. Raises Refused if it does not arrive in time."""
    try:
        async with asyncio.timeout(BODY_LIMIT_SECONDS):
            return await request.body()
    except TimeoutError:
        raise Refused("MALFORMED_REQUEST", "the body did not arrive in time") from None


async def check_body(request: Request[None, None, State]) -> None:
    """Litestar's hook before a request is handled. Raises Refused if the body is not JSON, or not
    of the shape that the handler's `data` has."""
    field = request.route_handler.parsed_data_field
    if field is None:
        return
    body = await received(request)
    if not body and field.is_optional:
        return
    check_content_type(request)
    shape = _struct_in(field.annotation)
    if _is_surely_right(body, shape):
        return
    value = parse_json(body)
    if not isinstance(value, dict):
        raise Refused("MALFORMED_REQUEST", "the body must be a JSON object")
    if found := tuple(violations_of(value, shape)):
        raise fields_invalid(found)


def check_content_type(request: Request[None, None, State]) -> None:
    """Raises Refused for a body that does not say that it is JSON."""
    sent = request.headers.get("content-type")
    # Nearly everybody says it so, and to take it apart costs more than to read the body.
    if sent != "application/json" and request.content_type[0] != "application/json":
        raise Refused("MALFORMED_REQUEST", "the Content-Type must be application/json")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. Raises Refused for anything else."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Refused("MALFORMED_REQUEST", "the body is not JSON in UTF-8") from None


def _is_surely_right(body: bytes, shape: type[msgspec.Struct]) -> bool:
    """Whether nothing is wrong with a body; if in doubt not, as only `violations_of` can say what
    is, and knows more of times."""
    try:
        value = _decoder(shape).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not any(isinstance(getattr(value, name), datetime) for name in value.__struct_fields__)


@cache  # one entry for each struct of `rest_bodies`
def _decoder(shape: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(shape)


def violations_of(
    value: Mapping[str, object], shape: type[msgspec.Struct]
) -> Iterator[FieldViolation]:
    """Where `value` does not fit `shape`."""
    fields = {each.encode_name: each for each in msgspec.structs.fields(shape)}
    for name, field in fields.items():
        if name not in value and field.required:
            yield FieldViolation(field=name, message="is required")
        elif name in value and (flaw := _flaw_of(value[name], field.type)):
            yield FieldViolation(field=name, message=flaw)
    for name in value.keys() - fields.keys():
        yield FieldViolation(field=printable(name), message="is not a field of this request")


def flaw_of_time(value: object) -> str | None:
    """What is wrong with a time, which has to be RFC 3339 with an offset; None for one that is."""
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return "must be a time of RFC 3339, such as 2026-01-31T12:00:00Z"
    if moment.utcoffset() is None:
        return "needs an offset, such as Z"
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return "is out of range"
    return None


def moment(text: str | None) -> datetime | None:
    """The time that a text tells in which `flaw_of_time` finds none."""
    return None if text is None else msgspec.convert(text, datetime)


def has_lone_surrogate(value: object) -> bool:
    """Whether a JSON value has text that is no Unicode: JSON can spell it, UTF-8 cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def printable(name: str) -> str:
    """An unknown field's name, unless it is none that anybody would give: then it is not repeated,
    as it could be a card number or something that a terminal obeys."""
    return name if _NAME.fullmatch(name) else "(no name)"


def _flaw_of(value: object, annotation: Any) -> str | None:
    if value is not None and datetime in _kinds_in(annotation):
        return flaw_of_time(value)
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        return next(_EXPECTED[kind] for kind in _kinds_in(annotation) if kind in _EXPECTED)
    return "has a lone surrogate" if has_lone_surrogate(value) else None


@cache  # one entry for each body that a handler takes
def _struct_in(annotation: Any) -> type[msgspec.Struct]:
    """The struct of `Struct` or `Struct | None`."""
    kinds = (kind for kind in _kinds_in(annotation) if isinstance(kind, type))
    return next(kind for kind in kinds if issubclass(kind, msgspec.Struct))


def _kinds_in(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, from the outside in."""
    yield annotation
    if get_origin(annotation) in (Annotated, UnionType, Union):
        for each in get_args(annotation):
            yield from _kinds_in(each)
