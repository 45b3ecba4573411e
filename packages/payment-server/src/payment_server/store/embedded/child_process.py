"""Children that die with their parent, waited for without threads on any event loop.

On Linux the kernel sends the death signal the moment the thread that launched the child ends, for
whatever reason; so launch from the thread of the event loop, never from a pool's. Elsewhere a
child outlives a parent that is killed. It must never run Python in a forked child (see `tether`).
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NewType

from payment_server.store.embedded import tether

_POLL_SECONDS: Final = 0.02  # only where the system cannot tell us; nobody notices this delay
_INPUT_LIMIT_BYTES: Final = 4096  # what every system's pipe takes before anybody reads

Identity = NewType("Identity", str)
"""As whom a child runs: AS_SELF, `in_namespace(…)` or `as_user(…)`."""

AS_SELF: Final = Identity("self")


def as_user(uid: int, gid: int) -> Identity:
    """The child becomes that user, without supplementary groups; only root can do that."""
    return Identity(f"user:{uid}:{gid}")


def in_namespace(uid: int, gid: int) -> Identity:
    """The child believes to be that user, in a user namespace; to the rest it stays who we are."""
    return Identity(f"namespace:{uid}:{gid}")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: `status` as in subprocess (negative: a signal), stdout with stderr."""

    status: int
    output: str


class ChildProcess:
    """A running program. It has a session of its own, so that Ctrl-C reaches only us."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @classmethod
    def launch(
        cls,
        command: Sequence[str | Path],
        *,
        identity: Identity = AS_SELF,
        death_signal: signal.Signals = signal.SIGKILL,
        stdin: int = subprocess.DEVNULL,
        output: int = subprocess.DEVNULL,
        kept_fds: Sequence[int] = (),
    ) -> "ChildProcess":
        """Starts `command` (an absolute path first) with stdout and stderr going to `output`.

        The descriptors `kept_fds` stay open in the child and its children. What the system
        refuses shows as exit status `tether.REFUSED`; only a failing fork raises OSError.
        """
        interpreter = [sys.executable, "-I", "-S", tether.__file__]
        tie = [str(os.getpid()), str(int(death_signal)), identity]
        return cls(
            subprocess.Popen(
                [*interpreter, *tie, *map(str, command)],
                stdin=stdin,
                stdout=output,
                stderr=output,
                pass_fds=kept_fds,
                start_new_session=True,
            )
        )

    @property
    def pid(self) -> int:
        """Its process id, which stays the same over exec."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    async def exited(self) -> int:
        """Waits for the end, however often asked; the status is negative for a signal."""
        while (status := self._popen.poll()) is None:
            await _end_of(self.pid)
        return status

    async def stop(self, *steps: tuple[signal.Signals, float]) -> bool:
        """Sends each signal and gives it so many seconds; False if it outlived them all."""
        for number, limit_seconds in steps:
            self._popen.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_seconds):
                    await self.exited()
                    return True
        return False


async def run(
    command: Sequence[str | Path],
    *,
    limit_seconds: float,
    identity: Identity = AS_SELF,
    stdin: bytes = b"",
    kept_fds: Sequence[int] = (),
) -> Finished:
    """Runs `command` to its end, or kills it after the limit (status -9)."""
    with tempfile.TemporaryFile() as output, _pipe_holding(stdin) as readable:
        child = ChildProcess.launch(
            command, identity=identity, stdin=readable, output=output.fileno(), kept_fds=kept_fds
        )
        try:
            async with asyncio.timeout(limit_seconds):
                status = await child.exited()
        except TimeoutError:
            status = -signal.SIGKILL
        finally:
            await child.stop((signal.SIGKILL, limit_seconds))
        output.seek(0)
        return Finished(status, output.read().decode(errors="replace"))


@contextlib.contextmanager
def _pipe_holding(content: bytes) -> Iterator[int]:
    """The readable end of a pipe that already holds everything, so that nobody can block."""
    if len(content) > _INPUT_LIMIT_BYTES:
        raise ValueError(f"{len(content)} bytes of input may not fit into a pipe")
    readable, writable = os.pipe()
    try:
        os.write(writable, content)
        os.close(writable)
        yield readable
    finally:
        os.close(readable)


async def _end_of(pid: int) -> None:
    """Returns when the process ends, or a little later where the kernel cannot watch it."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # no Linux, or one older than 5.3
        await asyncio.sleep(_POLL_SECONDS)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
