"""One service for all processes of a test run: who comes first starts it, the others find it.

    users         locked, and shared, by each process that may use the service
    keeper        locked by the process that runs the service
    ready.json    the ports, while the service answers
    log           what the service says

Locks are the kernel's (flock): they go with their process, whatever ended it, so there is nothing
to clean up after a kill. It must never wait without a limit, nor start a second service.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

START_LIMIT_SECONDS: Final = 60.0
"""A start takes one or two; a machine of two cores that tests keep busy has taken twenty."""
LEAVE_LIMIT_SECONDS: Final = 5.0
"""How long the last process waits for the service to end, which takes half a second."""
POLL_SECONDS: Final = 0.01
"""Short beside a start, long beside a look at a file."""
LOG_TAIL_CHARACTERS: Final = 4_000
"""Of the log of a failed start: a trace and what came before it."""

_OF_ANOTHER_SERVICE: Final = re.compile(r"PAYMENT_|(DATABASE_URL|REDIS_URL)(_FILE)?$")


class ServiceNotStarted(Exception):
    """The service of the run does not answer; the message has the end of its log."""


@dataclass(frozen=True)
class Ports:
    """Where the service listens on this machine."""

    grpc_port: int
    http_port: int


class SharedService:
    """This process's part in the service of its run, whose files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self._folder = folder
        self._ready = folder / "ready.json"
        self._users: int | None = None
        # A fork of the tests' own may outlive them.
        os.register_at_fork(after_in_child=self._let_go)

    def hold(self) -> None:
        """Keeps a running service running from here on, and starts none. May be repeated."""
        if self._users is not None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._users = os.open(self._folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
        give_up = time.monotonic() + START_LIMIT_SECONDS
        while not _locked(self._users, fcntl.LOCK_SH):  # by a keeper that is about to end
            if time.monotonic() > give_up:
                raise ServiceNotStarted("the payment service that ran before does not end")
            time.sleep(POLL_SECONDS)

    def ports(self, settings: Mapping[str, str]) -> Ports:
        """Where it listens; starts it, with these settings, where nobody has. Raises
        ServiceNotStarted."""
        self.hold()
        has_started = False
        give_up = time.monotonic() + START_LIMIT_SECONDS
        while time.monotonic() < give_up:
            if (lock := self._lock_of_keeper()) is not None:
                if has_started:
                    os.close(lock)
                    raise self._not_started("has ended")
                self._start(lock, settings)
                has_started = True
            elif self._ready.exists():
                said = json.loads(self._ready.read_text(encoding="utf-8"))
                return Ports(said["grpc_port"], said["http_port"])
            time.sleep(POLL_SECONDS)
        raise self._not_started(f"was not ready after {START_LIMIT_SECONDS:.0f} s")

    def leave(self) -> None:
        """Lets the service end; the last one to leave waits until it has."""
        if self._users is None:
            return
        # Either lock is tried for what it tells: had alone, nobody else was there; not even shared,
        # the keeper has noticed before us.
        is_last = _locked(self._users, fcntl.LOCK_EX) or not _locked(self._users, fcntl.LOCK_SH)
        self._let_go()
        give_up = time.monotonic() + LEAVE_LIMIT_SECONDS
        while is_last and time.monotonic() < give_up:
            if (lock := self._lock_of_keeper()) is not None:
                os.close(lock)
                return
            time.sleep(POLL_SECONDS)

    def _let_go(self) -> None:
        users, self._users = self._users, None
        if users is not None:
            os.close(users)

    def _lock_of_keeper(self) -> int | None:
        """The lock of whoever runs the service, where nobody has it."""
        descriptor = os.open(self._folder / "keeper", os.O_RDWR | os.O_CREAT, 0o600)
        if _locked(descriptor, fcntl.LOCK_EX):
            return descriptor
        os.close(descriptor)
        return None

    def _start(self, lock: int, settings: Mapping[str, str]) -> None:
        """Hands the lock to a keeper, which has it until it ends."""
        self._ready.unlink(missing_ok=True)
        environment = {
            name: value
            for name, value in os.environ.items()  # noqa: TID251 - handed on, not read
            if not _OF_ANOTHER_SERVICE.match(name)
        }
        try:
            with self.log.open("ab") as output:
                subprocess.run(
                    # -P: nothing is imported from the folder that pytest was started in
                    [sys.executable, "-P", "-m", "payment_server.testing.keeper", self._folder],
                    env={**environment, **settings},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C is for pytest
                    timeout=START_LIMIT_SECONDS,
                    check=False,  # why it has not begun is in the log
                )
        except subprocess.TimeoutExpired:
            raise self._not_started("cannot be started") from None
        finally:
            os.close(lock)

    def _not_started(self, what: str) -> ServiceNotStarted:
        said = ""
        with suppress(OSError):
            said = self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:]
        reason = (said.splitlines() or [""])[-1]  # first, as summaries show one line
        return ServiceNotStarted(f"the payment service {what}: {reason}\n{self.log}:\n{said}")


def _locked(descriptor: int, kind: int) -> bool:
    """Whether the lock can be had now."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
