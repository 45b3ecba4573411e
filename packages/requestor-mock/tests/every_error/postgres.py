"""The PostgreSQL below a payment service, made to do nothing for a while."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONNECTIONS = 16
"""Of the service with PostgreSQL: more than are in use at once while that does not answer."""


def has_all_connections(server_pid: int) -> bool:
    """Whether PostgreSQL has all that the service may have, and the one for its health."""
    family = _family_of(server_pid)
    return sum(b"[local]" in _command_of(pid) for pid in family) > CONNECTIONS


@contextmanager
def frozen(server_pid: int) -> Iterator[None]:
    """PostgreSQL is there and does nothing."""
    family = _family_of(server_pid)
    _signal(family, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(family, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # PostgreSQL's workers come and go
            os.kill(pid, number)


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended


def _family_of(server_pid: int) -> list[int]:
    """The processes below the server, which starts nothing but PostgreSQL."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family, found = {server_pid}, {server_pid}
    while found:
        found = {pid for pid, parent in parents.items() if parent in found}
        family |= found
    return sorted(family - {server_pid})
