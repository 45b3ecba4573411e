"""How a GraphQL document is executed within limits, and its failures told by the one table:
whichever door it came through."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import strawberry
from graphql import (
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    ValueNode,
    get_operation_ast,
    parse,
)
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext

from payment_client import FieldViolation
from requestor_mock.errors import Facts, Refused, extensions, facts_of, fields_invalid
from requestor_mock.graphql_documents import Documents
from requestor_mock.graphql_inputs import wrong_arguments
from requestor_mock.graphql_limits import MAX_TOKENS, excess_of_lists
from requestor_mock.graphql_mutations import Mutation
from requestor_mock.graphql_schema import Query, Subscription
from requestor_mock.graphql_types import CONFIG, Context

NOT_EXECUTABLE: Final = (MissingQueryError, CannotGetOperationTypeError, InvalidOperationTypeError)
"""What the library raises for a document without an operation that this door takes."""


class _Within(SchemaExtension):
    """Takes documents from those that are known; refuses what could mean several things (a document
    of several operations without a choice, an Idempotency-Key header for several mutations), and
    lists that multiply beyond the limits. One extension, as each costs at every request."""

    def on_parse(self) -> Iterator[None]:
        query = self.execution_context.query
        assert query is not None  # noqa: S101 - a document without text was refused
        self._document = DOCUMENTS.read(query)
        self.execution_context.graphql_document = self._document.node
        yield

    def on_validate(self) -> Iterator[None]:
        self.execution_context.pre_execution_errors = self._document.errors
        yield

    def on_execute(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        operation = get_operation_ast(self._document.node, context.operation_name)
        if operation is None:
            raise Refused("MALFORMED_REQUEST", "the document has several operations: choose one")
        self._judge(context, operation)
        yield

    def _judge(self, context: Context, operation: OperationDefinitionNode) -> None:
        # Here and not in validation, as the sizes of lists are values of variables.
        size = self._document.size_of(operation, self.execution_context.variables or {})
        if excess := excess_of_lists(size):
            raise Refused("MALFORMED_REQUEST", excess)
        if operation.operation.value == "mutation":
            context.mutations = size.fields  # whatever it skips
        if context.key_in_header is not None and context.mutations > 1:
            message = "counts only with exactly one mutation; use the argument idempotencyKey"
            raise fields_invalid([FieldViolation(field="idempotency_key", message=message)])


class _Schema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Logs nothing: the library's lines have what callers sent. `facts_of` logs faults."""


SCHEMA: Final = _Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=CONFIG,
    extensions=[_Within],
)

DOCUMENTS: Final = Documents(SCHEMA._schema)  # noqa: SLF001 - the one way to graphql-core's schema


class Asked(msgspec.Struct, frozen=True, rename={"operation_name": "operationName"}):
    """What a GraphQL request asks; `extensions` and the like are let pass unread."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = None


def read_asked(value: object) -> Asked:
    """The request in a JSON value. Raises Refused for a value that is none."""
    try:
        return msgspec.convert(value, Asked)
    except msgspec.ValidationError:
        raise Refused(
            "MALFORMED_REQUEST",
            "the request must be an object with the string query, and at most the object"
            " variables and the string operationName",
        ) from None


def not_executable(error: BaseException) -> Refused:
    """The refusal for one of `NOT_EXECUTABLE`."""
    if isinstance(error, InvalidOperationTypeError):
        takes = "GET takes queries, POST mutations too, a WebSocket takes subscriptions"
        return Refused("MALFORMED_REQUEST", takes)
    return Refused("MALFORMED_REQUEST", "the document has no such operation")


def told_errors(
    errors: list[GraphQLError], asked: Asked, request_id: str
) -> Iterator[dict[str, Any]]:
    """A failed call as what it failed with; what the library itself found, in words of ours
    wherever its own could repeat a value."""
    wrong: list[FieldViolation] | None = None
    for error in errors:
        cause = error.original_error
        if isinstance(cause, NOT_EXECUTABLE):
            cause = not_executable(cause)
        elif isinstance(error, GraphQLSyntaxError):
            cause = Refused("MALFORMED_REQUEST", _without_token(error))
        elif cause is None or isinstance(cause, GraphQLError) or _is_of_a_literal(error):
            if wrong:
                continue  # all of them are told with the first
            wrong = _wrong_arguments(asked)
            words = _without_value(error)
            cause = fields_invalid(wrong) if wrong else Refused("MALFORMED_REQUEST", words)
        yield {**error.formatted, **told(facts_of(cause, request_id))}


def told(facts: Facts) -> dict[str, Any]:
    """One failure as an element of `errors`."""
    return {"message": facts.detail, "extensions": extensions(facts)}


def _without_value(error: GraphQLError) -> str:
    of_a_variable = error.original_error is not None
    if of_a_variable or _is_of_a_literal(error):
        return "a value is not of the type that the schema asks for"
    return error.message


def _is_of_a_literal(error: GraphQLError) -> bool:
    return any(isinstance(node, ValueNode) for node in error.nodes or ())


def _without_token(error: GraphQLSyntaxError) -> str:
    return error.message.partition(", found ")[0].partition(" '")[0].partition(' "')[0]


def _wrong_arguments(asked: Asked) -> list[FieldViolation]:
    schema = SCHEMA._schema  # noqa: SLF001 - the one way to graphql-core's view of the schema
    document = parse(asked.query, max_tokens=MAX_TOKENS)
    return wrong_arguments(schema, document, asked.variables or {})
