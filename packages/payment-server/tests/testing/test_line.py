"""A line carries bytes to a service and back, until a test breaks it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from payment_server.testing import PaymentLine

LIMIT_SECONDS = 10
SILENCE_SECONDS = 0.3


class Shouting:
    """A service that says what it hears again, louder."""

    def __init__(self) -> None:
        self.heard = b""
        self.has_heard = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        try:
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()
        except OSError:
            return

    def _answer(self, caller: socket.socket) -> None:
        with caller:
            while said := caller.recv(1024):
                self.heard += said
                self.has_heard.set()
                caller.sendall(said.upper())


@pytest.fixture
def service() -> Iterator[Shouting]:
    with closing(Shouting()) as running:
        yield running


@pytest.fixture
def line(service: Shouting) -> Iterator[PaymentLine]:
    with PaymentLine(service.target) as whole:
        yield whole


def connected(line: PaymentLine) -> socket.socket:
    host, _, port = line.target.rpartition(":")
    return socket.create_connection((host, int(port)), LIMIT_SECONDS)


def asked(caller: socket.socket, words: bytes) -> bytes:
    """What comes back; nothing where the line has ended."""
    try:
        caller.sendall(words)
        return caller.recv(1024)
    except ConnectionError:
        return b""


def test_it_carries_both_ways(line: PaymentLine) -> None:
    with connected(line) as caller:
        assert asked(caller, b"one") == b"ONE"
        assert asked(caller, b"two") == b"TWO"


def test_lost_replies_were_asked_for_all_the_same(line: PaymentLine, service: Shouting) -> None:
    with connected(line) as caller:
        assert asked(caller, b"one") == b"ONE"
        service.has_heard.clear()
        line.lose_replies()
        caller.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            asked(caller, b"two")
        assert service.has_heard.wait(LIMIT_SECONDS)
        assert service.heard == b"onetwo"


def test_a_mended_line_ends_the_connections_that_missed_something(line: PaymentLine) -> None:
    with connected(line) as caller, connected(line) as other:
        assert asked(caller, b"one") == b"ONE"
        line.lose_replies()
        caller.sendall(b"two")
        line.mend()
        assert asked(caller, b"three") == b""
        other.close()
    with connected(line) as caller:
        assert asked(caller, b"four") == b"FOUR"


def test_a_cut_line_lets_nobody_through(line: PaymentLine, service: Shouting) -> None:
    with connected(line) as before:
        assert asked(before, b"one") == b"ONE"
        line.cut()
        assert asked(before, b"two") == b""
        with connected(line) as later:
            assert asked(later, b"three") == b""
    assert service.heard == b"one"


def test_without_a_service_the_connection_ends() -> None:
    with closing(Shouting()) as gone:
        pass
    with PaymentLine(gone.target) as line, connected(line) as caller:
        assert asked(caller, b"one") == b""


def test_nobody_listens_any_more_when_it_is_over(service: Shouting) -> None:
    with PaymentLine(service.target) as line, connected(line) as caller:
        assert asked(caller, b"one") == b"ONE"
    with pytest.raises(ConnectionRefusedError):
        connected(line)
