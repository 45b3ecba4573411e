"""How much a GraphQL document may ask for.

A list within a list counts as often as the outer one may have things: lists multiply. Fragments
are measured once each: strawberry's own limiters walk into every spread anew, so that a hundred
fragments that each spread the next one twice keep them busy for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

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
    Undefined,
)

from requestor_mock.graphql_inputs import plain_value

MAX_DEPTH: Final = 10  # payments, edges, node, events, edges, node, payment, decline, code are nine
MAX_ALIASES: Final = 15  # each aliased field at the root is a call of its own
MAX_TOKENS: Final = 1_000  # introspection has 163, all of a payment about 70
MAX_LISTS: Final = 128  # each is a call; 50 payments with both of their lists make 101
MAX_ROWS: Final = 2_000  # full ones are 1.5 MB and 0.3 s of CPU; those 50 payments have 1,550

PAGE_SIZE_LIMIT: Final = 100  # of one list; ten full ones and their parents stay below MAX_ROWS
PAGE_SIZES: Final = MappingProxyType({"payments": 50, "refunds": 10, "events": 20})
"""Every field that is a list, and how much it has where `first` says nothing: few payments have
more refunds or events."""


NO_VALUES: Final[Mapping[str, Any]] = MappingProxyType({})
"""Where lists do not matter, their sizes need not be known."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a selection asks for, with the fragments that it spreads."""

    fields: int = 0
    """On its first level, without what introspects."""
    depth: int = 0
    """Levels of fields; what introspects counts as none, as graphql-core limits it by itself."""
    aliases: int = 0
    lists: int = 0
    """Pages that it may fetch."""
    rows: int = 0
    """Things that these pages may have."""


class Measure:
    """Measures the selections of one document, given its variables' values."""

    def __init__(self, document: DocumentNode, values: Mapping[str, Any]) -> None:
        self._values = values
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
            lists=sum(size.lists for size in sizes),
            rows=sum(size.rows for size in sizes),
        )

    def _size(self, selection: SelectionNode) -> Size:
        if isinstance(selection, FieldNode):
            return self._size_of_field(selection)
        if isinstance(selection, InlineFragmentNode):
            return self.size_of(selection.selection_set)
        if isinstance(selection, FragmentSpreadNode):
            return self._size_of_fragment(selection.name.value)
        raise TypeError(f"{selection.kind} is no selection")

    def _size_of_field(self, field: FieldNode) -> Size:
        below = self.size_of(field.selection_set)
        introspects = field.name.value.startswith("__")
        is_list = field.name.value in PAGE_SIZES
        page_size = self._page_size(field) if is_list else 1
        return Size(
            fields=0 if introspects else 1,
            depth=0 if introspects else 1 + below.depth,
            aliases=below.aliases + (field.alias is not None),
            lists=is_list + page_size * below.lists,
            rows=page_size * (is_list + below.rows),
        )

    def _page_size(self, field: FieldNode) -> int:
        """What `first` says; the most that there is for what the list itself will refuse."""
        given = [
            plain_value(each.value, self._values)
            for each in field.arguments or ()
            if each.name.value == "first"
        ]
        if not given or given[0] in (Undefined, 0):
            return PAGE_SIZES[field.name.value]
        size = given[0]
        is_size = isinstance(size, int) and 1 <= size <= PAGE_SIZE_LIMIT
        return size if is_size else PAGE_SIZE_LIMIT

    def _size_of_fragment(self, name: str) -> Size:
        if name not in self._measured:
            self._measured[name] = Size()  # ends a circle, which another rule refuses
            self._measured[name] = self.size_of(self._fragments.get(name))
        return self._measured[name]


def excess_of_lists(size: Size) -> str | None:
    """What an operation's lists have too much of, in words; None where they are within limits."""
    if size.lists > MAX_LISTS:
        return f"the operation asks for up to {size.lists} lists; at most {MAX_LISTS} are allowed"
    if size.rows > MAX_ROWS:
        return (
            f"the operation's lists have up to {size.rows} entries; at most {MAX_ROWS} are"
            " allowed: ask for fewer with first"
        )
    return None


class WithinLimits(ASTValidationRule):
    """Refuses an operation that is too deep or has too many aliases."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: object) -> None:
        size = Measure(self.context.document, NO_VALUES).size_of(node.selection_set)
        if size.depth > MAX_DEPTH:
            self._refuse(f"a depth of {size.depth}; at most {MAX_DEPTH} is allowed", node)
        if size.aliases > MAX_ALIASES:
            self._refuse(f"{size.aliases} aliases; at most {MAX_ALIASES} are allowed", node)

    def _refuse(self, what: str, node: OperationDefinitionNode) -> None:
        self.report_error(GraphQLError(f"the operation has {what}", node))
