"""How much a GraphQL document may ask for.

Fragments are measured once each: strawberry's own limiters walk into every spread anew, so that a
hundred fragments that each spread the next one twice keep them busy for ever.
"""

from dataclasses import dataclass
from typing import Final

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

MAX_DEPTH: Final = 8  # payments, edges, node, decline and a field of it are five
MAX_ALIASES: Final = 15  # each aliased field at the root is a call of its own
MAX_TOKENS: Final = 1_000  # introspection has 163, all of a payment about 60


@dataclass(frozen=True, slots=True)
class Size:
    """What a selection asks for, with the fragments that it spreads."""

    fields: int = 0
    """On its first level, without what introspects."""
    depth: int = 0
    """Levels of fields; what introspects counts as none, as graphql-core limits it by itself."""
    aliases: int = 0


class Measure:
    """Measures the selections of one document."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each.selection_set
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._measured: dict[str, Size] = {}

    def size_of(self, selections: SelectionSetNode | None) -> Size:
        """The size of one selection set."""
        sizes = [self._size(each) for each in selections.selections] if selections else []
        return Size(
            fields=sum(size.fields for size in sizes),
            depth=max((size.depth for size in sizes), default=0),
            aliases=sum(size.aliases for size in sizes),
        )

    def _size(self, selection: SelectionNode) -> Size:
        if isinstance(selection, FieldNode):
            below = self.size_of(selection.selection_set)
            introspects = selection.name.value.startswith("__")
            return Size(
                fields=0 if introspects else 1,
                depth=0 if introspects else 1 + below.depth,
                aliases=below.aliases + (selection.alias is not None),
            )
        if isinstance(selection, InlineFragmentNode):
            return self.size_of(selection.selection_set)
        if isinstance(selection, FragmentSpreadNode):
            return self._size_of_fragment(selection.name.value)
        raise TypeError(f"{selection.kind} is no selection")

    def _size_of_fragment(self, name: str) -> Size:
        if name not in self._measured:
            self._measured[name] = Size()  # ends a circle, which another rule refuses
            self._measured[name] = self.size_of(self._fragments.get(name))
        return self._measured[name]


class WithinLimits(ASTValidationRule):
    """Refuses an operation that is too deep or has too many aliases."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: object) -> None:
        size = Measure(self.context.document).size_of(node.selection_set)
        if size.depth > MAX_DEPTH:
            self._refuse(f"a depth of {size.depth}; at most {MAX_DEPTH} is allowed", node)
        if size.aliases > MAX_ALIASES:
            self._refuse(f"{size.aliases} aliases; at most {MAX_ALIASES} are allowed", node)

    def _refuse(self, what: str, node: OperationDefinitionNode) -> None:
        self.report_error(GraphQLError(f"the operation has {what}", node))
