"""Processor time and memory of processes with all their children."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

MICROSECONDS: Final = 1_000_000
NANOSECONDS: Final = 1_000_000_000


class Meter:
    """Reads the processor time of process trees.

    A process that has ended keeps what it was last seen with; one that has begun counts from its
    beginning on. So autovacuum's workers, which come and go, are not missed.
    """

    def __init__(self, roots: dict[str, int]) -> None:
        self._roots = roots
        self._seen: dict[str, dict[psutil.Process, float]] = {name: {} for name in roots}

    def seconds(self) -> dict[str, float]:
        """What each tree has used up so far."""
        for seen in self._seen.values():
            seen.update({each: _seconds_of(each, before) for each, before in seen.items()})
        for name, root in self._roots.items():  # afterwards: to look for them takes milliseconds
            seen = self._seen[name]
            seen.update({each: _seconds_of(each, 0.0) for each in tree(root) if each not in seen})
        return {name: sum(seen.values()) for name, seen in self._seen.items()}


def tree(pid: int) -> Iterator[psutil.Process]:
    """The process and its children, and theirs; nothing when it has ended."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        yield from (root, *root.children(recursive=True))


def resident_mib(pid: int) -> float:
    """What the tree has in memory; pages that its processes share count for each."""
    return sum(each.memory_info().rss for each in tree(pid)) / 2**20


def _seconds_of(process: psutil.Process, before: float) -> float:
    """Linux's scheduler counts nanoseconds for each thread; everywhere else there are ticks, of ten
    milliseconds as a rule, which is more than one of 64 backends uses in a second."""
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    try:
        if threads:
            used = sum(int(each.read_bytes().split()[0]) for each in threads) / NANOSECONDS
            return max(used, before)  # a thread that has ended is not among them any more
        times = process.cpu_times()
    except (OSError, psutil.NoSuchProcess):  # it has ended
        return before
    return float(times.user + times.system)
