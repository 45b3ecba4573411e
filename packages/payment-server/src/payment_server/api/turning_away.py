"""Leaving a port that other processes go on serving, without a connection lost.

The kernel resets what waits in the queue of a listener that is closed, and what is still shaking
hands with it. So a listener that is about to be closed first takes nothing new: the first packet of
a connection is dropped, and is sent again, a second later, to those who stay. It is found among the
process's own descriptors, because no gRPC server lends its listener out. For Linux.
"""

import ctypes
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from payment_server.api.listening import port_of

log = logging.getLogger(__name__)

_DESCRIPTORS: Final = Path("/proc/self/fd")
_SO_ATTACH_FILTER: Final = 26  # <asm-generic/socket.h>; the module `socket` does not have it

_WITHOUT_FIRST_PACKETS: Final = (  # classic BPF over a TCP header: code, jump if so, if not, value
    (0x30, 0, 0, 13),  # the flags
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # are SYN alone:
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF_FFFF),  # otherwise take all of it
)


def turn_away(port: int) -> bool:
    """From now on this process is given no new connection to the port; false, with a warning in the
    log, where the kernel does not let us: some let root alone."""
    code = b"".join(struct.pack("HBBI", *each) for each in _WITHOUT_FIRST_PACKETS)
    held = ctypes.create_string_buffer(code, len(code))  # alive until the kernel has copied it
    program = struct.pack("@HP", len(_WITHOUT_FIRST_PACKETS), ctypes.addressof(held))
    turned = 0
    for entry in _DESCRIPTORS.iterdir():
        with suppress(OSError), _lent(int(entry.name)) as candidate:
            if _listens_on(candidate, port):
                candidate.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
                turned += 1
    if not turned:
        log.warning("no listener on port %d can turn connections away; some may be lost", port)
    return bool(turned)


@contextmanager
def _lent(descriptor: int) -> Iterator[socket.socket]:
    """A socket of somebody else's, who goes on to own it. Raises OSError where it is none."""
    borrowed = socket.socket(fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _listens_on(candidate: socket.socket, port: int) -> bool:
    is_internet = candidate.family in (socket.AF_INET, socket.AF_INET6)
    return (
        is_internet
        and bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        and port_of(candidate) == port
    )
