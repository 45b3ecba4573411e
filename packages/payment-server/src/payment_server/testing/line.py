"""A way to the service that a test may break, for tests of what callers do then.

It carries bytes and knows nothing of what they mean: what callers meet is what a network does.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, Final, Self

CONNECT_LIMIT_SECONDS: Final = 5.0
"""The service is on this machine and listens."""
LOOK_SECONDS: Final = 0.01
"""How often the line looks whether it is to end: what a test with one pays at most."""
CHUNK_BYTES: Final = 64 * 1024


class _State(Enum):
    WHOLE = "whole"
    LOSES_REPLIES = "loses replies"
    CUT = "cut"


class PaymentLine:
    """The fixture `payment_line`: give a client its `target`, and then break it."""

    def __init__(self, service_target: str) -> None:
        host, _, port = service_target.rpartition(":")
        self._service = (host, int(port))
        self._state = _State.WHOLE
        self._ends = set[socket.socket]()
        self._changing = Lock()
        self._server = _Server(self._carry)
        self.target = f"127.0.0.1:{self._server.server_address[1]}"
        """host:port, as clients take it: the service, by this line."""

    def lose_replies(self) -> None:
        """From now on what is asked arrives and happens, and nothing comes back.

        Who is not connected yet does not get through: a first call has to have been before.
        """
        self._become(_State.LOSES_REPLIES)

    def cut(self) -> None:
        """Ends every connection, and those that are tried: the service is not reached."""
        self._become(_State.CUT)

    def mend(self) -> None:
        """All is well again, on new connections."""
        self._become(_State.WHOLE)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(LOOK_SECONDS,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._become(_State.CUT)
        self._server.server_close()

    def _become(self, state: _State) -> None:
        with self._changing:
            self._state = state
            ends = set() if state is _State.LOSES_REPLIES else set(self._ends)
        for each in ends:
            _end(each)

    def _carry(self, caller: socket.socket) -> None:
        """One connection, in a thread of its own, and its replies in another one."""
        # An OSError: the service has gone, and so goes the caller's connection.
        with (
            suppress(OSError),
            socket.create_connection(self._service, CONNECT_LIMIT_SECONDS) as service,
        ):
            service.settimeout(None)
            with self._changing:
                if self._state is _State.CUT:
                    return
                self._ends |= {caller, service}
            replies = Thread(target=self._carry_replies, args=(service, caller), daemon=True)
            replies.start()
            _pump(caller, service)
            replies.join()
            with self._changing:
                self._ends -= {caller, service}

    def _carry_replies(self, service: socket.socket, caller: socket.socket) -> None:
        _pump(service, caller, lambda: self._state is _State.LOSES_REPLIES)


class _Server(ThreadingTCPServer):
    """Hands each connection over, in a thread."""

    daemon_threads = True

    def __init__(self, carry: Callable[[socket.socket], None]) -> None:
        super().__init__(("127.0.0.1", 0), BaseRequestHandler)
        self._carry = carry

    def finish_request(self, request: Any, client_address: object) -> None:  # noqa: ARG002
        self._carry(request)


def _pump(
    source: socket.socket, sink: socket.socket, loses: Callable[[], bool] = lambda: False
) -> None:
    """Carries what comes until either end is gone, and then ends both."""
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            if not loses():
                sink.sendall(data)
    _end(source)
    _end(sink)


def _end(connection: socket.socket) -> None:
    """Ends it for whoever waits in it; who opened it closes it."""
    with suppress(OSError):  # it has ended
        connection.shutdown(socket.SHUT_RDWR)
