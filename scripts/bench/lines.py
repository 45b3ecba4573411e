"""What the load generator's two protocols have in common: a connection, and the score of a run."""

import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

SILENCE_LIMIT_SECONDS: Final = 10.0
"""A server that takes or says nothing for so long is stuck; the run ends with an error."""
RECEIVE_BYTES: Final = 256 * 1024  # some hundred answers in one system call

Due: TypeAlias = tuple[bytes, float]
"""What to send, and when it should have been: latency is counted from then."""


class ServerLeft(Exception):
    """The server closed a connection or broke the protocol; the message says how."""


@dataclass
class Score:
    """What became of the calls. `failed` counts by what the server said."""

    answered: int = 0
    replayed: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Line(Protocol):
    """One connection with calls on it. Writing blocks: a server that does not read is stuck."""

    def fileno(self) -> int:
        """For a selector."""

    def post(self, calls: Sequence[Due]) -> None:
        """Sends the calls as soon as the protocol allows."""

    def receive(self) -> list[float]:
        """Reads what there is; returns when the calls that it answers were due."""

    def close(self) -> None:
        """Nothing is under way any more."""


def connected(host: str, port: int) -> socket.socket:
    """A connection that sends at once and fails rather than waits for ever."""
    line = socket.create_connection((host, port), timeout=SILENCE_LIMIT_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line
