"""GraphQL arguments, judged as a whole: the same violations as REST tells, in our own words, as
the library's repeat the values."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    GraphQLSchema,
    ObjectValueNode,
    OperationDefinitionNode,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    assert_leaf_type,
    is_enum_type,
    is_required_argument,
    is_required_input_field,
    value_from_ast_untyped,
    visit,
)

from payment_client import FieldViolation
from requestor_mock.bodies import printable


def wrong_arguments(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
) -> list[FieldViolation]:
    """What is wrong with the arguments of a document that fits the schema otherwise."""
    types = TypeInfo(schema)
    found: dict[FieldViolation, None] = {}

    def judge(node: FieldNode | DirectiveNode, arguments: Mapping[str, GraphQLArgument]) -> None:
        given = {each.name.value: plain_value(each.value, values) for each in node.arguments or ()}
        for name, argument in arguments.items():
            value = given.get(name, Undefined)
            if value is not Undefined or is_required_argument(argument):
                found.update(dict.fromkeys(_judge(name, value, argument.type)))

    class Arguments(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            if definition := types.get_field_def():
                judge(node, definition.args)

        def enter_directive(self, node: DirectiveNode, *_: object) -> None:
            if definition := types.get_directive():
                judge(node, definition.args)

    values = values_of(document, variables)
    visit(document, TypeInfoVisitor(types, Arguments()))
    return list(found)


def values_of(document: DocumentNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What the variables of a document stand for, with their defaults."""
    return {**_defaults(document), **variables}


class _Quoted(str):
    """A string literal, which is no member of an enum even if it is spelled like one."""


class _Word(str):
    """An enum literal, which is no string."""


def plain_value(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """The value that a literal stands for; Undefined for a variable that is not given."""
    match node:
        case VariableNode():
            return variables.get(node.name.value, Undefined)
        case ObjectValueNode():
            return {each.name.value: plain_value(each.value, variables) for each in node.fields}
        case StringValueNode():
            return _Quoted(node.value)
        case EnumValueNode():
            return _Word(node.value)
        case _:
            try:
                return value_from_ast_untyped(node, dict(variables))
            except ValueError:  # more digits than Python reads: of no type that we ask for
                return math.inf


def _defaults(document: DocumentNode) -> dict[str, Any]:
    return {
        variable.variable.name.value: plain_value(variable.default_value, {})
        for operation in document.definitions
        if isinstance(operation, OperationDefinitionNode)
        for variable in operation.variable_definitions or ()
        if variable.default_value is not None
    }


def _judge(name: str, value: Any, kind: GraphQLInputType) -> Iterator[FieldViolation]:
    if isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
        if value is None or value is Undefined:
            yield _violation(name, "is required")
            return
    if value is None or value is Undefined:
        return
    if isinstance(kind, GraphQLInputObjectType):
        yield from _judge_object(name, value, kind)
        return
    try:
        assert_leaf_type(kind).parse_value(value)
        fits = not isinstance(value, _Quoted if is_enum_type(kind) else _Word)
    except GraphQLError:
        fits = False
    if not fits:
        yield _violation(name, f"must be of the type {kind}")


def _judge_object(name: str, value: Any, kind: GraphQLInputObjectType) -> Iterator[FieldViolation]:
    if not isinstance(value, dict):
        yield _violation(name, "must be an object")
        return
    for field_name, field in kind.fields.items():
        if field_name in value or is_required_input_field(field):
            yield from _judge(field_name, value.get(field_name, Undefined), field.type)
    for unknown in value.keys() - kind.fields.keys():
        yield _violation(unknown, f"is not a field of {kind}")


def _violation(name: str, message: str) -> FieldViolation:
    # The name that the contract has: customerId is customer_id on every other surface.
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", printable(name)).lower()
    return FieldViolation(field=snake, message=message)
