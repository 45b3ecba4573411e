"""Which gRPC server carries the service: grpcio's, or pygrpc-native's, whose HTTP/2 is in Rust.

Both take the same handlers, and nothing above may depend on which of them it is.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import grpc


class Transport(StrEnum):
    """A gRPC server, by its name in PAYMENT_GRPC_TRANSPORT."""

    GRPCIO = "grpcio"
    NATIVE = "native"


AUTO: Final = Transport.GRPCIO
"""What `auto` stands for. Release 0.5 of pygrpc-native reads a message to its end, however long,
and unpacks it before it looks at the limit: a single call, of 300 KB when it is compressed, takes a
gigabyte. Who is sure of all callers may ask for it."""

IO_THREADS: Final = 1
"""Of pygrpc-native, which has two by default. One does half as much for a call as the loop does,
and two share the calls by waking each other."""


QUIET_TURNS: Final = {Transport.GRPCIO: 48, Transport.NATIVE: 8}
"""Turns of the loop without a call that may lie between two of a burst. grpcio hands over one call
at a time, from a thread of its own: with 16 a change, which goes through three statements, costs a
tenth more, and with 4 the batches are of two or three. pygrpc-native hands over all that it has
read: with 48 reads and changes take a twentieth more."""


class TransportMissing(Exception):
    """The transport that was asked for is not installed; the message says what to do."""


def chosen(wish: str) -> Transport:
    """What the setting means here. Raises TransportMissing."""
    transport = AUTO if wish == "auto" else Transport(wish)
    if transport is Transport.NATIVE:
        try:
            import pygrpc_native.aio  # noqa: F401 - asked whether it is there
        except ImportError as error:
            raise TransportMissing(
                "PAYMENT_GRPC_TRANSPORT is native, which needs payment-server[native] installed"
            ) from error
    return transport


def server_of(transport: Transport, options: Sequence[tuple[str, int]]) -> grpc.aio.Server:
    """A server without handlers or a port; grpcio's own names of the options."""
    if transport is Transport.NATIVE:
        import pygrpc_native.aio

        return pygrpc_native.aio.Server(options=options, io_threads=IO_THREADS)
    return grpc.aio.server(options=options)
