"""The GraphQL door: executes a document within limits and tells failures by the one table."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec
import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    ValueNode,
    get_operation_ast,
    parse,
)
from litestar import MediaType, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import (
    AddValidationRules,
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from payment_client import FieldViolation
from requestor_mock import pages
from requestor_mock.bodies import parse_json, received
from requestor_mock.caller import Caller, IdempotencyKeyHeader, replay_headers, request_id_of
from requestor_mock.errors import Refused, extensions, facts_of, fields_invalid
from requestor_mock.graphql_inputs import wrong_arguments
from requestor_mock.graphql_limits import MAX_TOKENS, Measure, WithinLimits
from requestor_mock.graphql_schema import CONFIG, Context, Mutation, Query

CACHED_DOCUMENTS: Final = 128  # a program sends a handful; at this many a cache stays below 10 MB

_QUERIES: Final = frozenset({OperationType.QUERY})
_ALL: Final = frozenset({OperationType.QUERY, OperationType.MUTATION})


class _OneMeaning(SchemaExtension):
    """Refuses what could mean several things: a document of several operations without a choice,
    and an Idempotency-Key header for several mutations."""

    def on_execute(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        document = self.execution_context.graphql_document
        assert document is not None  # noqa: S101 - it was parsed and validated
        if context.operation_name is None and get_operation_ast(document) is None:
            raise Refused("MALFORMED_REQUEST", "the document has several operations: choose one")
        context.mutations = _count_mutations(document, context.operation_name)
        if context.key_in_header is not None and context.mutations > 1:
            message = "counts only with exactly one mutation; use the argument idempotencyKey"
            raise fields_invalid([FieldViolation(field="idempotency_key", message=message)])
        yield


def _count_mutations(document: DocumentNode, operation_name: str | None) -> int:
    """How many mutation fields the operation has, whatever it skips."""
    operation = get_operation_ast(document, operation_name)
    if operation is None or operation.operation.value != "mutation":
        return 0
    return Measure(document).size_of(operation.selection_set).fields


class _Schema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Logs nothing: the library's lines have what callers sent. `facts_of` logs faults."""


SCHEMA: Final = _Schema(
    query=Query,
    mutation=Mutation,
    config=CONFIG,
    extensions=[
        lambda: AddValidationRules([WithinLimits]),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
        lambda: ParserCache(maxsize=CACHED_DOCUMENTS),
        lambda: ValidationCache(maxsize=CACHED_DOCUMENTS),
        _OneMeaning,
    ],
)


class _Asked(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """The body of a GraphQL request; `extensions` and the like are let pass unread."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


# A handler of our own: the library's keeps the answer in progress on the controller that all
# requests share, and answers what it cannot read in plain text.
@post("/", status_code=200)
async def answer_post(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response[dict[str, Any]]:
    """Executes a query or a mutation."""
    # Whatever a browser sends across sites without asking first is no application/json.
    if request.content_type[0] != "application/json":
        raise Refused("MALFORMED_REQUEST", "the Content-Type must be application/json")
    asked = _asked(parse_json(await received(request)))
    return await _execute(Context(caller, asked.operation_name, idempotency_key), asked, _ALL)


@get("/", media_type=MediaType.JSON)
async def answer_get(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
) -> Response[dict[str, Any]] | Response[str]:
    """Executes a query; for a browser that comes without one, GraphiQL."""
    parameters = dict(request.query_params)
    if "query" not in parameters and "text/html" in request.headers.get("accept", ""):
        return Response(pages.graphiql_html(), media_type=MediaType.HTML)
    if variables := parameters.get("variables"):
        parameters["variables"] = parse_json(variables.encode())
    asked = _asked(parameters)
    return await _execute(Context(caller, asked.operation_name), asked, _QUERIES)


def _asked(value: object) -> _Asked:
    try:
        return msgspec.convert(value, _Asked)
    except msgspec.ValidationError:
        raise Refused(
            "MALFORMED_REQUEST",
            "the request must be an object with the string query, and at most the object"
            " variables and the string operationName",
        ) from None


async def _execute(
    context: Context, asked: _Asked, allowed: Collection[OperationType]
) -> Response[dict[str, Any]]:
    try:
        result = await SCHEMA.execute(
            asked.query,
            asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
            allowed_operation_types=allowed,
        )
    except (MissingQueryError, CannotGetOperationTypeError):
        raise Refused("MALFORMED_REQUEST", "the document has no such operation") from None
    except InvalidOperationTypeError:
        raise Refused("MALFORMED_REQUEST", "GET takes queries only, POST mutations too") from None
    replayed = context.mutated if context.mutations == 1 else None
    headers = replay_headers(replayed) if replayed else {}
    return Response(_body(result, asked, context.caller.request_id), headers=headers)


def _body(result: ExecutionResult, asked: _Asked, request_id: str) -> dict[str, Any]:
    errors = result.errors or []
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = list(_told_errors(errors, asked, request_id))
    if not errors or any(error.path is not None for error in errors):
        body["data"] = result.data  # by the specification there is none if nothing was executed
    return body


def _told_errors(
    errors: list[GraphQLError], asked: _Asked, request_id: str
) -> Iterator[dict[str, Any]]:
    """A failed call as what it failed with; what the library itself found, in words of ours
    wherever its own could repeat a value."""
    wrong: list[FieldViolation] | None = None
    for error in errors:
        cause = error.original_error
        if cause is not None and not isinstance(cause, GraphQLError):
            yield _told(error, cause, request_id)
        elif isinstance(error, GraphQLSyntaxError):
            yield _told(error, Refused("MALFORMED_REQUEST", _without_token(error)), request_id)
        elif wrong is None and (wrong := _wrong_arguments(asked)):
            yield _told(error, fields_invalid(wrong), request_id)
        elif not wrong:
            yield _told(error, Refused("MALFORMED_REQUEST", _without_value(error)), request_id)


def _without_value(error: GraphQLError) -> str:
    of_a_literal = any(isinstance(node, ValueNode) for node in error.nodes or ())
    of_a_variable = error.original_error is not None
    if of_a_literal or of_a_variable:
        return "a value is not of the type that the schema asks for"
    return error.message


def _without_token(error: GraphQLSyntaxError) -> str:
    return error.message.partition(", found ")[0].partition(" '")[0].partition(' "')[0]


def _wrong_arguments(asked: _Asked) -> list[FieldViolation]:
    schema = SCHEMA._schema  # noqa: SLF001 - the one way to graphql-core's view of the schema
    document = parse(asked.query, max_tokens=MAX_TOKENS)
    return wrong_arguments(schema, document, asked.variables or {})


def _told(error: GraphQLError, cause: BaseException, request_id: str) -> dict[str, Any]:
    facts = facts_of(cause, request_id)
    return {**error.formatted, "message": facts.detail, "extensions": extensions(facts)}


def _answer_with_errors(
    request: Request[Any, Any, State], error: Exception
) -> Response[dict[str, Any]]:
    """Litestar's handler of what comes before any execution."""
    facts = facts_of(error, request_id_of(request.scope))
    told = {"message": facts.detail, "extensions": extensions(facts)}
    return Response({"errors": [told]}, status_code=facts.http_status, media_type=MediaType.JSON)


graphql_router = Router(
    "/graphql",
    route_handlers=[answer_post, answer_get],
    exception_handlers={Exception: _answer_with_errors},
    include_in_schema=False,
)
