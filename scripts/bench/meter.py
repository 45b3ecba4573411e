"""Processor time and memory of processes with all their children."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

MICROSECONDS: Final = 1_000_000
NANOSECONDS: Final = 1_000_000_000


class Meter:
    """Reads the processor time of process trees, as they are when it is made."""

    def __init__(self, roots: dict[str, int]) -> None:
        self._trees = {name: list(tree(pid)) for name, pid in roots.items()}

    def seconds(self) -> dict[str, float]:
        """What each tree has used up so far."""
        return {name: sum(map(_seconds_of, each)) for name, each in self._trees.items()}


def tree(pid: int) -> Iterator[psutil.Process]:
    """The process and its children, and theirs."""
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)


def resident_mib(pid: int) -> float:
    """What the tree has in memory; pages that its processes share count for each."""
    return sum(each.memory_info().rss for each in tree(pid)) / 2**20


def _seconds_of(process: psutil.Process) -> float:
    """Linux's scheduler counts nanoseconds for each thread; everywhere else there are ticks, of ten
    milliseconds as a rule, which is more than one of 64 backends uses in a second."""
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/schedstat"))
    try:
        if threads:
            return sum(int(each.read_bytes().split()[0]) for each in threads) / NANOSECONDS
        times = process.cpu_times()
    except (OSError, psutil.NoSuchProcess):  # it has ended
        return 0.0
    return float(times.user + times.system)
