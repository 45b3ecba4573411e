"""Children: as whom they run, what they get, and that they die."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import uvloop

from payment_server.store.embedded import tether
from payment_server.store.embedded.child_process import (
    AS_SELF,
    ChildProcess,
    Finished,
    Identity,
    as_user,
    in_namespace,
    run,
)

_LIMIT_SECONDS = 20.0
_SLEEP = ("/bin/sleep", "600")
_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
_IDENTITIES = [AS_SELF, in_namespace(65534, 65534), as_user(65534, 65534)]
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

_PARENT = """
import sys, time
from payment_server.store.embedded.child_process import ChildProcess, Identity
child = ChildProcess.launch(["/bin/sleep", "600"], identity=Identity(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


def _parent_of_a_child_as(identity: Identity) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _PARENT, identity]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def _output(*command: str, **options: Any) -> str:
    finished: Finished = await run(command, limit_seconds=_LIMIT_SECONDS, **options)
    assert finished.status == 0, finished.output
    return finished.output


@pytest.mark.parametrize(
    "identity", [AS_SELF, *(pytest.param(each, marks=_as_root) for each in _IDENTITIES[1:])]
)
async def test_a_child_dies_with_a_killed_parent(
    identity: Identity, eventually: Any, is_gone: Callable[[psutil.Process], bool]
) -> None:
    with _parent_of_a_child_as(identity) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        await eventually(lambda: child.name() == "sleep")
        parent.kill()
    await eventually(lambda: is_gone(child), 2.0)


async def test_a_child_whose_parent_is_gone_already_does_not_begin() -> None:
    orphan = [sys.executable, tether.__file__, "1", "9", "self", "/bin/echo", "began"]
    assert await _output(*orphan) == ""


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_end_is_noticed_on_either_event_loop(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def outcome() -> tuple[int, int]:
        child = ChildProcess.launch(_SLEEP)
        first, second = asyncio.create_task(child.exited()), asyncio.create_task(child.exited())
        await asyncio.sleep(0)
        assert await child.stop((signal.SIGTERM, _LIMIT_SECONDS))
        return await first, await second

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(outcome()) == (-signal.SIGTERM, -signal.SIGTERM)


async def test_a_child_that_ignores_a_signal_gets_the_next(eventually: Any) -> None:
    with tempfile.TemporaryFile() as output:
        child = ChildProcess.launch([sys.executable, "-c", _STUBBORN], output=output.fileno())
        await eventually(lambda: os.fstat(output.fileno()).st_size > 0)
        assert not await child.stop((signal.SIGTERM, 0.05))
        assert child.is_running
        assert await child.stop((signal.SIGTERM, 0.05), (signal.SIGKILL, _LIMIT_SECONDS))
        assert await child.exited() == -signal.SIGKILL


async def test_a_program_that_takes_too_long_is_killed() -> None:
    assert (await run(_SLEEP, limit_seconds=0.1)).status == -signal.SIGKILL


async def test_a_program_reads_what_it_is_given() -> None:
    assert await _output("/bin/cat", stdin=b"words") == "words"


async def test_input_that_a_pipe_may_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="5000 bytes"):
        await run(["/bin/cat"], stdin=b"x" * 5000, limit_seconds=_LIMIT_SECONDS)


async def test_a_program_that_is_not_there_is_a_refusal_that_names_it() -> None:
    finished = await run(["/no/such/program"], limit_seconds=_LIMIT_SECONDS)
    assert finished.status == tether.REFUSED
    assert "/no/such/program" in finished.output


async def test_a_child_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    names = {line.partition("=")[0] for line in (await _output("/usr/bin/env")).splitlines()}
    assert names == {"PATH", "LC_ALL"}


async def test_a_kept_descriptor_stays_open_in_the_child() -> None:
    with tempfile.TemporaryFile() as kept:
        shown = await _output("/bin/ls", "/proc/self/fd", kept_fds=(kept.fileno(),))
        assert str(kept.fileno()) in shown.split()


@_as_root
@pytest.mark.parametrize("identity", _IDENTITIES[1:])
async def test_another_identity_is_not_root(identity: Identity) -> None:
    assert await _output("/usr/bin/id", "-u", identity=identity) == "65534\n"


@_as_root
@pytest.mark.parametrize("identity", _IDENTITIES[1:])
async def test_another_identity_has_no_privileges(identity: Identity) -> None:
    status = await _output("/bin/grep", "CapEff", "/proc/self/status", identity=identity)
    assert int(status.split()[1], 16) == 0
