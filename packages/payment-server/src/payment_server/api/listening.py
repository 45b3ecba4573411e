"""Taking a port, alone or for several processes of ours, with a clear word where that fails."""

import errno
import os
import socket
from typing import Final

BACKLOG: Final = 2_048  # uvicorn's own default; the kernel caps it at its own limit


class CannotListen(Exception):
    """The address cannot be had; `is_taken` says that another program has it."""

    def __init__(self, address: str, error: OSError) -> None:
        self.is_taken = error.errno == errno.EADDRINUSE
        said = (
            "is taken by another program" if self.is_taken else f"cannot be used: {_words(error)}"
        )
        super().__init__(f"{address} {said}")


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises CannotListen."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(address_of(host, port), error) from error


def held_port(host: str, port: int) -> socket.socket:
    """A port for processes of ours to listen on together, as SO_REUSEPORT lets them.

    The socket listens to nobody; while it is open nobody else gets the port. Raises CannotListen.
    """
    held = socket.socket(_family(host))
    try:
        # As a server that listens alone: what listens there already is in the way, and what a
        # former one left in TIME_WAIT is not. Only then may others share, who ask for it.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        held.close()
        raise CannotListen(address_of(host, port), error) from error
    return held


def port_of(listener: socket.socket) -> int:
    """The port that it is bound to."""
    port: int = listener.getsockname()[1]
    return port


def address_of(host: str, port: int) -> str:
    """host:port, with the brackets that IPv6 wants."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
