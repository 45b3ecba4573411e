"""A worker's side: what its supervisor tells it, and its own end when that is gone.

One line of JSON comes by stdin, which then stays open for as long as the supervisor lives.
"""

import os
import sys
import threading
from io import FileIO
from typing import Final

import msgspec

BRIEF_LIMIT_BYTES: Final = 64 * 1024  # what a pipe holds; a brief has below one thousand


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment does not say, or says otherwise.

    `database_url` and `embedded_data_dir` are of the supervisor's embedded PostgreSQL;
    `http_listener` is an inherited descriptor.
    """

    number: int
    processor: str | None
    host: str
    grpc_port: int
    http_port: int
    http_listener: int
    grace_seconds: float
    database_url: str | None
    embedded_data_dir: str | None


def written(brief: Brief, number: int) -> bytes:
    """The brief of the worker with that number, as `read_brief` takes it."""
    return msgspec.json.encode(msgspec.structs.replace(brief, number=number)) + b"\n"


def read_brief() -> Brief:
    """Waits for the supervisor's line. From then on the process ends at once when that dies."""
    # Without a buffer, whose lock a thread that still waits would keep when the interpreter ends.
    line = FileIO(sys.stdin.fileno(), closefd=False).readline(BRIEF_LIMIT_BYTES)
    if not line:
        raise SystemExit("a worker is started by its supervisor")
    threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    return msgspec.json.decode(line, type=Brief)


def say_ready() -> None:
    """Tells the supervisor that the ports answer."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _end_with_supervisor() -> None:
    """Without a grace: whoever follows a killed supervisor wants the ports."""
    while os.read(sys.stdin.fileno(), BRIEF_LIMIT_BYTES):
        pass
    os._exit(1)
