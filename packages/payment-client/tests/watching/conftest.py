"""Services of foreign make that a watcher meets."""

from collections.abc import Iterator
from threading import Event as Flag
from typing import TYPE_CHECKING

import grpc
import pytest

from payment.v1 import payment_pb2 as pb

if TYPE_CHECKING:
    from conftest import ForeignServer

FOR_EVER_SECONDS = 60
"""How long the foreign server keeps what nobody ends; the end of the test ends it."""


@pytest.fixture
def one_at_a_time(foreign: "ForeignServer") -> "ForeignServer":
    """Greets, tells the one event behind the cursor, and breaks off."""

    def stream(
        request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        yield foreign.greeting(request)
        yield foreign.step(int(request.cursor or 0) + 1)
        context.abort(grpc.StatusCode.UNAVAILABLE, "")

    foreign.stream = stream
    return foreign


@pytest.fixture
def greeter(foreign: "ForeignServer") -> "ForeignServer":
    """Greets, and then says nothing."""

    def stream(
        request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        over = Flag()
        context.add_callback(over.set)
        yield foreign.greeting(request)
        over.wait(FOR_EVER_SECONDS)

    foreign.stream = stream
    return foreign


@pytest.fixture
def speechless(foreign: "ForeignServer") -> "ForeignServer":
    """Takes the call, and never says anything."""

    def stream(
        _request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        over = Flag()
        context.add_callback(over.set)
        over.wait(FOR_EVER_SECONDS)
        yield from ()

    foreign.stream = stream
    return foreign


@pytest.fixture
def hung_up(greeter: "ForeignServer") -> Flag:
    """Set when a stream has ended at the server."""
    inner, flag = greeter.stream, Flag()

    def stream(
        request: pb.WatchPaymentsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchPaymentsResponse]:
        context.add_callback(flag.set)
        yield from inner(request, context)

    greeter.stream = stream
    return flag
