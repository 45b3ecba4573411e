"""A run of pytest has one service, and leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from inner_run import RUN_LIMIT_SECONDS, InnerRun

MANY = """
import urllib.request
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(8))
def test_that_asks(payment_service, number):
    with urllib.request.urlopen(payment_service.http_url + "/health") as answer:
        assert answer.status == 200
    with (Path(__file__).parent / "targets").open("a") as targets:
        targets.write(payment_service.target + chr(10))
"""

LONG = """
import time
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(8))
def test_that_takes_long(payment_service, number):
    with (Path(__file__).parent / "targets").open("a") as targets:
        targets.write(payment_service.target + chr(10))
    time.sleep(60)
"""


FORKING = """
import fcntl, os, sys
from pathlib import Path
from payment_server.testing.sharing import SharedService

folder = Path(sys.argv[1])
shared = SharedService(folder)
shared.hold()
began, parent_ends = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(parent_ends[1])
    os.write(began[1], b".")
    os.read(parent_ends[0], 1)
    os._exit(0)
os.read(began[0], 1)
shared.leave()
fcntl.flock(os.open(folder / "users", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("nobody holds it")
"""


def targets_of(inner: InnerRun) -> list[str]:
    found = inner.folder / "targets"
    return found.read_text().split() if found.exists() else []


def began(inner: InnerRun, *arguments: str, tests: int = 1) -> subprocess.Popen[str]:
    """A run in the midst of so many long tests."""
    inner.write(LONG)
    run = inner.start(*arguments)
    give_up = time.monotonic() + RUN_LIMIT_SECONDS
    while len(targets_of(inner)) < tests:
        assert run.poll() is None, run.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return run


def ended(run: subprocess.Popen[str]) -> int:
    run.communicate(timeout=RUN_LIMIT_SECONDS)
    return run.returncode


def workers_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(run.pid).children()


def test_all_workers_share_one_service_that_ends_with_them(inner: InnerRun) -> None:
    inner.write(MANY)
    code, output = inner.finish("-n", "3", DATABASE_URL="postgresql://nobody@nowhere/nothing")
    assert code == 0, output
    assert len(targets_of(inner)) == 8
    assert len(set(targets_of(inner))) == 1
    assert inner.is_gone()


def test_a_run_that_has_ended_has_ended_its_service(inner: InnerRun) -> None:
    inner.write(MANY)
    code, output = inner.finish()
    assert code == 0, output
    assert not inner.processes()
    assert not list((inner.folder / "tmp").glob("payment-*"))


def test_a_killed_run_leaves_nothing(inner: InnerRun) -> None:
    run = began(inner)
    os.killpg(run.pid, signal.SIGKILL)
    assert ended(run) == -signal.SIGKILL
    assert inner.is_gone()


def test_a_killed_worker_takes_no_service_away_and_a_killed_controller_does(
    inner: InnerRun,
) -> None:
    run = began(inner, "-n", "2", tests=2)
    workers_of(run)[0].kill()
    give_up = time.monotonic() + RUN_LIMIT_SECONDS
    while len(targets_of(inner)) < 3:  # the worker that follows it
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert len(set(targets_of(inner))) == 1
    run.kill()
    assert ended(run) == -signal.SIGKILL
    assert inner.is_gone()


def test_ctrl_c_under_xdist_leaves_nothing(inner: InnerRun) -> None:
    run = began(inner, "-n", "2", tests=2)
    os.killpg(run.pid, signal.SIGINT)
    assert ended(run) != 0
    assert inner.is_gone()


def test_a_fork_of_a_test_holds_no_service(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", FORKING, tmp_path], capture_output=True, text=True
    )
    assert printed.stdout == "nobody holds it\n", printed.stderr
