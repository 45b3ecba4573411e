"""HTTP/1.1 as a load generator needs it: one call at a time on each connection.

It must never count an answer whose status it has not read, nor a GraphQL answer with errors.
"""

import re
from collections.abc import Sequence
from typing import Final

from scripts.bench.lines import RECEIVE_BYTES, Due, Score, ServerLeft, connected

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_STATUS: Final = slice(len("HTTP/1.1 "), len("HTTP/1.1 200"))


def post_request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request in full. Whatever is to change later must keep its length."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


class Http1Line:
    """One connection."""

    def __init__(self, port: int, score: Score) -> None:
        self._socket = connected("127.0.0.1", port)
        self._score = score
        self._due_at: float | None = None
        self._waiting: list[Due] = []
        self._received = b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def post(self, calls: Sequence[Due]) -> None:
        """Sends a call when the one before is answered."""
        self._waiting += calls
        if self._due_at is None and self._waiting:
            request, self._due_at = self._waiting.pop(0)
            self._socket.sendall(request)

    def receive(self) -> list[float]:
        received = self._socket.recv(RECEIVE_BYTES)
        if not received or self._due_at is None:
            raise ServerLeft("the server closed the connection or answered what nobody asked")
        self._received += received
        head, end, body = self._received.partition(_HEAD_END)
        if not end:
            return []
        length = _LENGTH.search(head)
        if length is None:
            raise ServerLeft("an answer has no length")
        if len(body) < int(length[1]):
            return []
        self._judge(head, body)
        answered, self._due_at, self._received = self._due_at, None, b""
        self.post(())
        return [answered]

    def _judge(self, head: bytes, body: bytes) -> None:
        status = head[_STATUS]
        if status in (b"200", b"201") and b'"errors"' not in body:
            self._score.answered += 1
        else:
            self._score.failed[f"HTTP {status.decode()} {body[:200].decode()}"] += 1
