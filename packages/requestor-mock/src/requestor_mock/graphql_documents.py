"""GraphQL documents, which are parsed, validated and measured once and not at every request.

Only a document that nothing is wrong with is kept: whatever is refused is judged anew each time,
and pushes out none that is used.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    specified_rules,
)
from strawberry.schema.schema import validate_document

from requestor_mock.graphql_inputs import values_of
from requestor_mock.graphql_limits import MAX_TOKENS, Measure, Size, WithinLimits

KEPT_DOCUMENTS: Final = 64
"""A program sends a handful. Of the usual size they take 1 MB; the largest that are kept take
0.5 MB each, so that nobody can make them take more than 32 MB."""
KEPT_LENGTH: Final = 8 * 1024
"""Characters: GraphiQL's introspection has 2,000. What is longer has its values in its text, and
will not come again."""

_RULES: Final = (*specified_rules, WithinLimits)


class Document:
    """A document that was parsed, with what is wrong with it."""

    def __init__(self, node: DocumentNode, errors: list[GraphQLError]) -> None:
        self.node = node
        self.errors = errors
        self._sizes: dict[str | None, Size] = {}

    def size_of(self, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Size:
        """The size of one of its operations, with these values of its variables."""
        name = operation.name.value if operation.name else None
        size = self._sizes.get(name)
        if size is None:
            values = values_of(self.node, variables)
            size = Measure(self.node, values).size_of(operation.selection_set)
            if size.lists == 0:  # only how long a list may be is the variables' to say
                self._sizes[name] = size
        return size


class Documents:
    """The documents of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._kept = lru_cache(KEPT_DOCUMENTS)(self._right)

    def read(self, text: str) -> Document:
        """The document in a text. Raises GraphQLSyntaxError if there is none."""
        try:
            return self._kept(text) if len(text) <= KEPT_LENGTH else self._right(text)
        except _Wrong as wrong:
            return wrong.document

    def kept(self) -> int:
        """How many documents need not be read again."""
        return self._kept.cache_info().currsize

    def _right(self, text: str) -> Document:
        """Raises _Wrong: an exception is what is not kept."""
        node = parse(text, max_tokens=MAX_TOKENS)
        document = Document(node, validate_document(self._schema, node, _RULES))
        if document.errors:
            raise _Wrong(document)
        return document


class _Wrong(Exception):
    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
