"""What the GraphQL schema is made of beside the shapes that REST has too: what a request knows,
lists as connections, and how things are described."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from payment_client import CallInfo, FieldViolation
from requestor_mock.caller import Caller
from requestor_mock.errors import fields_invalid
from requestor_mock.graphql_limits import PAGE_SIZE_LIMIT, PAGE_SIZES
from requestor_mock.parameters import check
from requestor_mock.shapes import shown


@dataclass(slots=True)
class Context:
    """One GraphQL request: who asks, and how the calls that it made were answered."""

    caller: Caller
    operation_name: str | None
    key_in_header: str | None = None
    """Counts only where one mutation alone can be meant; the door sees to that."""
    mutations: int = 0
    """How many mutation fields the operation has."""
    mutated: CallInfo | None = None
    """The last mutation's call."""


Info: TypeAlias = strawberry.Info[Context, None]

_Resolver = TypeVar("_Resolver", bound=Callable[..., Any])


def said(description: str) -> Any:
    """What the schema says of an argument."""
    return strawberry.argument(description=description)


def described(resolver: _Resolver) -> _Resolver:
    """A field, described by its docstring."""
    made: Any = strawberry.field(resolver, description=getdoc(resolver))
    return made  # type: ignore[no-any-return]


def streamed(resolver: _Resolver) -> _Resolver:
    """A field of a subscription, described by its docstring."""
    made: Any = strawberry.subscription(resolver, description=getdoc(resolver))
    return made  # type: ignore[no-any-return]


def _string_map(value: object) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return value
    raise GraphQLError("must be an object whose values are strings")


CONFIG: Final = StrawberryConfig(
    scalar_map={
        dict[str, str]: strawberry.scalar(
            name="StringMap",
            description="An object whose values are strings.",
            serialize=dict,
            parse_value=_string_map,
        )
    }
)

First: TypeAlias = Annotated[
    int, said(f"At most so many; {PAGE_SIZE_LIMIT} is the most, and 0 means the default.")
]
After: TypeAlias = Annotated[str | None, said("The endCursor of the page before.")]

_Node = TypeVar("_Node")


@strawberry.type(description="Something in a list.")
class Edge(Generic[_Node]):
    node: _Node
    cursor: str | None = strawberry.field(
        description="Where the next page starts: only a page's last one has one."
    )


@strawberry.type(description="Where a page of a list stands.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool = strawberry.field(description="Whether it was asked for with after.")
    start_cursor: str | None = strawberry.field(description="Always null: lists go forward only.")
    end_cursor: str | None = strawberry.field(description="The next page's after.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[_Node]):
    edges: list[Edge[_Node]]
    page_info: PageInfo


def page_of(field: str, first: int, after: str | None) -> dict[str, Any]:
    """The page of a list, as payment-client asks for it. Raises Refused."""
    if not 0 <= first <= PAGE_SIZE_LIMIT:
        message = f"must be from 0 to {PAGE_SIZE_LIMIT}"
        raise fields_invalid([FieldViolation(field="first", message=message)])
    check(page_token=after)
    return {"page_size": first or PAGE_SIZES[field], "page_token": after}


def connection(
    shape: type[_Node], found: Iterable[object], next_page_token: str, after: str | None
) -> Connection[_Node]:
    """The page that was asked for with `after`, of things of payment-client in their shape."""
    end = next_page_token or None
    edges = [Edge(node=shown(each, shape), cursor=None) for each in found]
    if edges:
        edges[-1].cursor = end
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=end is not None,
            has_previous_page=after is not None,
            start_cursor=None,
            end_cursor=end,
        ),
    )
