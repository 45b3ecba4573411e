"""GraphQL over HTTP: queries, mutations, and GraphiQL for a browser."""

from collections.abc import Collection
from typing import Any, Final

from litestar import MediaType, Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from requestor_mock import pages
from requestor_mock.bodies import check_content_type, parse_json, received
from requestor_mock.caller import Caller, IdempotencyKeyHeader, replay_headers, request_id_of
from requestor_mock.errors import facts_of, fields_invalid
from requestor_mock.graphql_execution import (
    NOT_EXECUTABLE,
    SCHEMA,
    Asked,
    not_executable,
    read_asked,
    told,
    told_errors,
)
from requestor_mock.graphql_socket import answer_socket
from requestor_mock.graphql_types import Context
from requestor_mock.parameters import repeated

_QUERIES: Final = frozenset({OperationType.QUERY})
_QUERIES_AND_MUTATIONS: Final = frozenset({OperationType.QUERY, OperationType.MUTATION})


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
    check_content_type(request)
    asked = read_asked(parse_json(await received(request)))
    context = Context(caller, asked.operation_name, idempotency_key)
    return await _execute(context, asked, _QUERIES_AND_MUTATIONS)


@get("/", media_type=MediaType.JSON)
async def answer_get(
    request: Request[None, None, State],
    caller: NamedDependency[Caller],
) -> Response[dict[str, Any]] | Response[str]:
    """Executes a query; for a browser that comes without one, GraphiQL."""
    if found := tuple(repeated(request)):
        raise fields_invalid(found)
    parameters = dict(request.query_params)
    if "query" not in parameters and "text/html" in request.headers.get("accept", ""):
        return Response(pages.graphiql_html(), media_type=MediaType.HTML)
    if variables := parameters.get("variables"):
        parameters["variables"] = parse_json(variables.encode())
    asked = read_asked(parameters)
    return await _execute(Context(caller, asked.operation_name), asked, _QUERIES)


async def _execute(
    context: Context, asked: Asked, allowed: Collection[OperationType]
) -> Response[dict[str, Any]]:
    try:
        result = await SCHEMA.execute(
            asked.query,
            asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
            allowed_operation_types=allowed,
        )
    except NOT_EXECUTABLE as error:
        raise not_executable(error) from None
    replayed = context.mutated if context.mutations == 1 else None
    headers = replay_headers(replayed) if replayed else {}
    return Response(_body(result, asked, context.caller.request_id), headers=headers)


def _body(result: ExecutionResult, asked: Asked, request_id: str) -> dict[str, Any]:
    errors = result.errors or []
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = list(told_errors(errors, asked, request_id))
    if not errors or any(error.path is not None for error in errors):
        body["data"] = result.data  # by the specification there is none if nothing was executed
    return body


def _answer_with_errors(
    request: Request[Any, Any, State], error: Exception
) -> Response[dict[str, Any]]:
    """Litestar's handler of what comes before any execution."""
    facts = facts_of(error, request_id_of(request.scope))
    body = {"errors": [told(facts)]}
    return Response(body, status_code=facts.http_status, media_type=MediaType.JSON)


graphql_router = Router(
    "/graphql",
    route_handlers=[answer_post, answer_get, answer_socket],
    exception_handlers={Exception: _answer_with_errors},
    include_in_schema=False,
)
