"""gRPC over HTTP/2 as a load generator needs it: requests encoded beforehand, answers by bytes.

A client library in Python costs as much as the server that it measures. This is no library: it
knows what servers answer to its own calls, and takes everything else for an error. It must never
count an answer whose grpc-status it has not read.
"""

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import hpack

from scripts.bench.lines import RECEIVE_BYTES, Due, Score, ServerLeft, connected

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
"""Frame types, flags and settings of RFC 9113, those that occur here."""

FRAME_HEAD: Final = struct.Struct(">BHBBI")  # length (24 bits, in two parts), type, flags, stream
FRAME_HEAD_BYTES: Final = FRAME_HEAD.size
FRAME_LIMIT_BYTES: Final = 16_384  # of a frame's payload, unless the other side takes more
GRPC_HEAD_BYTES: Final = 5  # of a message: compressed or not, and its length
FIRST_WINDOW_BYTES: Final = 65_535  # what each side may send before it is told more (RFC 9113)
OUR_WINDOW_BYTES: Final = 2**30
REFILL_BYTES: Final = 2**28  # the server is told of room long before OUR_WINDOW_BYTES are used up
FIRST_DYNAMIC_INDEX: Final = 62  # behind HPACK's static table; the newest entry
METHOD_POST, SCHEME_HTTP = b"\x83", b"\x86"  # entries of the static table
BLOCKS_LIMIT: Final = 8_192
"""Header blocks whose meaning is remembered: more than one run's requests bring about."""

Encoded = tuple[bytes, bytes]
"""A call's frames up to its stream, and from there up to the next mention of it."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return head(kind, flags, len(payload)) + stream.to_bytes(4, "big") + payload


def head(kind: int, flags: int, length: int) -> bytes:
    """A frame's head without the stream's four bytes."""
    return length.to_bytes(3, "big") + bytes((kind, flags))


class Requests:
    """The header blocks of one connection's calls to one method, encoded once.

    What all calls have in common goes into HPACK's dynamic table with the first call, as with any
    client; `changing` is said anew by each call, in turn.
    """

    def __init__(
        self,
        method: str,
        constant: Mapping[str, str],
        changing: Sequence[Mapping[str, str]],
        message_bytes: int,
    ) -> None:
        common = {
            ":authority": "localhost",
            ":path": method,
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "bench",
            **constant,
        }
        begin = METHOD_POST + SCHEME_HTTP
        entered = begin + b"".join(_literal(0x40, *each) for each in common.items())
        newest = FIRST_DYNAMIC_INDEX + len(common) - 1
        referred = begin + bytes(0x80 | newest - place for place in range(len(common)))
        said = [b"".join(_literal(0x00, *each) for each in item.items()) for item in changing]
        self.data_bytes: Final = GRPC_HEAD_BYTES + message_bytes
        self.is_one_frame: Final = self.data_bytes <= FRAME_LIMIT_BYTES
        flags = END_STREAM if self.is_one_frame else 0
        data = head(DATA, flags, min(self.data_bytes, FRAME_LIMIT_BYTES))
        self._first = _encoded(entered + said[0], data)
        self._others = [_encoded(referred + each, data) for each in said]
        self.message_head: Final = b"\0" + message_bytes.to_bytes(4, "big")

    def in_frames(self, message: bytes, stream: bytes) -> bytes:
        """A message that is more than one frame's, with the heads of the others in between."""
        at = FRAME_LIMIT_BYTES - GRPC_HEAD_BYTES
        parts = [message[:at]]
        while at < len(message):
            part = message[at : at + FRAME_LIMIT_BYTES]
            at += len(part)
            parts += (head(DATA, END_STREAM if at == len(message) else 0, len(part)), stream, part)
        return b"".join(parts)

    def __iter__(self) -> Iterator[Encoded]:
        return itertools.chain((self._first,), itertools.cycle(self._others))


def _encoded(block: bytes, data: bytes) -> Encoded:
    return head(HEADERS, END_HEADERS, len(block)), block + data


def _literal(kind: int, name: str, value: str) -> bytes:
    """A header in full, without Huffman's code; 0x40 enters it into the table, 0x00 does not."""
    return bytes((kind,)) + _text(name) + _text(value)


def _text(text: str) -> bytes:
    if len(text) >= 0x7F:
        raise ValueError("longer texts have lengths of more than one byte")
    return bytes((len(text),)) + text.encode("ascii")


class Answers:
    """What header blocks say. Servers are told to keep no table (HEADER_TABLE_SIZE 0), so a block
    means the same wherever it comes, and each is decoded once."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, bool]] = {}

    def of(self, block: bytes) -> tuple[str, bool]:
        """The status ("0" is OK) and whether the answer says that it is a replay."""
        known = self._known.get(block)
        if known is None:
            headers = dict(hpack.Decoder().decode(block, raw=True))
            status = headers.get(b"grpc-status", b"none").decode()
            if status != "0":
                status = f"{status}: {headers.get(b'grpc-message', b'').decode()}"
            known = status, b"idempotency-replayed" in headers
            if len(self._known) < BLOCKS_LIMIT:
                self._known[block] = known
        return known


class Http2Line:
    """One connection with calls of one method and one length."""

    def __init__(self, port: int, requests: Requests, answers: Answers, score: Score) -> None:
        self._socket = connected("127.0.0.1", port)
        self._requests, self._answers, self._score = requests, answers, score
        self._encoded = iter(requests)
        self._due_at: dict[int, float] = {}
        self._waiting: list[Due] = []
        self._window_bytes = FIRST_WINDOW_BYTES
        self._taken_bytes = 0
        self._next_stream = 1
        self._rest = b""
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, OUR_WINDOW_BYTES)
        self._socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, settings)
            + frame(WINDOW_UPDATE, 0, 0, OUR_WINDOW_BYTES.to_bytes(4, "big"))
        )

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def post(self, calls: Sequence[Due]) -> None:
        """Sends what the server's window has room for; the rest follows when it says so."""
        self._waiting += calls
        fits = self._window_bytes // self._requests.data_bytes
        if not self._waiting or not fits:
            return
        output: list[bytes] = []
        message_head = self._requests.message_head
        for (message, due_at), (begin, end) in zip(
            self._waiting[:fits], self._encoded, strict=False
        ):
            stream = self._next_stream.to_bytes(4, "big")
            if not self._requests.is_one_frame:
                message = self._requests.in_frames(message, stream)  # noqa: PLW2901 - the same, cut
            output += (begin, stream, end, stream, message_head, message)
            self._due_at[self._next_stream] = due_at
            self._next_stream += 2
        sent = len(self._waiting[:fits])
        del self._waiting[:fits]
        self._window_bytes -= sent * self._requests.data_bytes
        self._socket.sendall(b"".join(output))

    def receive(self) -> list[float]:
        received = self._socket.recv(RECEIVE_BYTES)
        if not received:
            raise ServerLeft("the server closed the connection")
        data = self._rest + received
        answered: list[float] = []
        at, end = 0, len(data)
        while end - at >= FRAME_HEAD_BYTES:
            high, low, kind, flags, stream = FRAME_HEAD.unpack_from(data, at)
            begin = at + FRAME_HEAD_BYTES
            after = begin + (high << 16 | low)
            if after > end:
                break
            if kind == HEADERS:
                if flags & END_STREAM:
                    answered.append(self._due_at.pop(stream))
                    self._judge(flags, data[begin:after])
            elif kind == DATA:
                self._taken_bytes += after - begin
            else:
                self._heed(kind, flags, stream, data[begin:after])
            at = after
        self._rest = data[at:]
        if self._taken_bytes > REFILL_BYTES:
            self._socket.sendall(frame(WINDOW_UPDATE, 0, 0, self._taken_bytes.to_bytes(4, "big")))
            self._taken_bytes = 0
        return answered

    def _judge(self, flags: int, block: bytes) -> None:
        if flags & (END_HEADERS | PADDED | PRIORITY) != END_HEADERS:
            raise ServerLeft("headers come in a form that is not expected here")
        status, is_replay = self._answers.of(block)
        if status == "0":
            self._score.answered += 1
            self._score.replayed += is_replay
        else:
            self._score.failed[status] += 1

    def _heed(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """What is not an answer: most of it is bookkeeping."""
        if kind == WINDOW_UPDATE and stream == 0:
            self._window_bytes += int.from_bytes(payload, "big")
            self.post(())
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RST_STREAM, GOAWAY):
            raise ServerLeft(f"frame {kind} on stream {stream}: {payload[:200]!r}")
