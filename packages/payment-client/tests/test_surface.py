"""What `payment_client` shows: the twins have one face, and no protobuf or gRPC shows through."""

import inspect
import typing
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest

import payment_client
from payment_client import (
    AsyncEventPager,
    AsyncPaymentClient,
    AsyncPaymentPager,
    AsyncPayments,
    AsyncPaymentWatcher,
    AsyncRefundPager,
    EventPager,
    PaymentClient,
    PaymentPager,
    Payments,
    PaymentWatcher,
    RefundPager,
)
from payment_client._aio.iterators import AsyncPager
from payment_client._sync.iterators import Pager

TWIN_OF = {
    "payment_client._aio": "payment_client._sync",
    "Async": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
DOORS = {"__init__", *TWIN_OF.keys(), *TWIN_OF.values()}


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [
        (PaymentClient, AsyncPaymentClient),
        (Payments, AsyncPayments),
        (Pager, AsyncPager),
        (PaymentWatcher, AsyncPaymentWatcher),
    ],
)
def test_the_twins_have_the_same_methods_and_signatures(blocking: type, asynchronous: type) -> None:
    assert signatures(blocking) == signatures(asynchronous)


@pytest.mark.parametrize(
    ("pager", "asynchronous"),
    [
        (PaymentPager, AsyncPaymentPager),
        (RefundPager, AsyncRefundPager),
        (EventPager, AsyncEventPager),
    ],
)
def test_the_pagers_of_the_twins_are_of_the_same_things(pager: type, asynchronous: type) -> None:
    things, *others = (typing.get_args(kind.__orig_bases__[0]) for kind in (pager, asynchronous))  # type: ignore[attr-defined]
    assert [things] == others


def test_everything_public_is_in_all() -> None:
    shown = {
        name
        for name, value in vars(payment_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert shown == set(payment_client.__all__)


@pytest.mark.parametrize("name", payment_client.__all__)
def test_everything_public_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(payment_client, name))


@pytest.mark.parametrize("name", payment_client.__all__)
def test_no_type_of_protobuf_or_grpc_is_in_a_public_signature(name: str) -> None:
    roots = {
        leaf.__module__.partition(".")[0] for leaf in types_shown(getattr(payment_client, name))
    }
    assert roots.isdisjoint({"google", "grpc", "payment"})


def signatures(kind: type) -> dict[str, str]:
    """Every public method and how it is called, as text, in the words of the blocking twin."""
    found = {}
    for name, method in vars(kind).items():
        if isinstance(method, FunctionType) and (not name.startswith("_") or name in DOORS):
            text = str(inspect.signature(method))
            for asynchronous, blocking in TWIN_OF.items():
                text = text.replace(asynchronous, blocking)
            found[TWIN_OF.get(name, name)] = text
    return found


def types_shown(kind: type) -> Iterator[type]:
    """Every type in the fields, methods and properties of a class of ours and its bases."""
    for base in kind.__mro__:
        if not base.__module__.startswith("payment_client"):
            continue
        yield from leaves(typing.get_type_hints(base).values())
        for member in vars(base).values():
            function = member.fget if isinstance(member, property) else member
            if isinstance(function, FunctionType):
                yield from leaves(typing.get_type_hints(function).values())


def leaves(hints: typing.Iterable[object]) -> Iterator[type]:
    for hint in hints:
        if isinstance(hint, type):
            yield hint
        yield from leaves(typing.get_args(hint))
