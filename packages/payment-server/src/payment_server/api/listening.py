"""Taking a port, with a clear word where that fails."""

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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(address_of(host, port), error) from error


def address_of(host: str, port: int) -> str:
    """host:port, with the brackets that IPv6 wants."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
