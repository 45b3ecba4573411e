"""`payments` as people and scripts run it: a process of its own, in a pipe or on a terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from payment_client import PaymentClient

if TYPE_CHECKING:
    from conftest import ForeignServer

PAYMENTS: Final = Path(sys.executable).with_name("payments")
END_LIMIT_SECONDS: Final = 30
"""A start takes half a second; a busy machine of two cores ten times that."""
_TIMEOUT_SECONDS: Final = "20"
"""A busy machine makes no call fail."""
_TAKES_COLOURS: Final = "xterm-256color"
_ROWS: Final = 40
_PART_BYTES: Final = 65_536
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    output: str
    """On a terminal, standard error too."""
    error: str = ""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def text(self) -> list[str]:
        """What people read, line by line: without colours and the blanks at the ends."""
        return [line.rstrip() for line in _STYLE.sub("", self.output).splitlines()]

    @property
    def failure(self) -> dict[str, Any]:
        [line] = self.error.splitlines()
        told = json.loads(line)
        assert isinstance(told, dict)
        return told


@dataclass
class Program:
    """Runs `payments` against one service, for one merchant."""

    target: str
    merchant_id: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str, output: int = subprocess.PIPE, **environment: str) -> Any:
        process = subprocess.Popen(
            [PAYMENTS, "--merchant-id", self.merchant_id, *words],
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *words: str, output: int = subprocess.PIPE, **environment: str) -> Ended:
        """In a pipe."""
        process = self.start(*words, output=output, **environment)
        written, error = process.communicate(timeout=END_LIMIT_SECONDS)
        return Ended(process.returncode, written or "", error)

    def on_terminal(self, *words: str, columns: int = 120, **environment: str) -> Ended:
        """On a terminal of this width."""
        command = [str(PAYMENTS), "--merchant-id", self.merchant_id, *words]
        return self.typed(command, columns=columns, **environment)

    def typed(self, command: list[str], *, columns: int, **environment: str) -> Ended:
        """Any command on a terminal of this width, where `payments` is on the path."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
        with os.fdopen(ours, "rb", 0) as screen:
            process = subprocess.Popen(
                command,
                env=self.environment(**environment),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            shown = _all_of(screen)
            return Ended(process.wait(END_LIMIT_SECONDS), shown.decode().replace("\r\n", "\n"))

    def environment(self, **more: str) -> dict[str, str]:
        leading = re.compile(r"PAYMENT|NO_COLOR|FORCE_COLOR|COLUMNS|LINES|TTY_|PYTHONUNBUFFERED")
        kept = {name: value for name, value in os.environ.items() if not leading.match(name)}
        path = f"{PAYMENTS.parent}{os.pathsep}{kept['PATH']}"
        own = {"PAYMENT_TARGET": self.target, "PAYMENT_TIMEOUT_SECONDS": _TIMEOUT_SECONDS}
        return kept | own | {"TERM": _TAKES_COLOURS, "PATH": path} | more


def _all_of(screen: FileIO) -> bytes:
    shown = bytearray()
    try:
        while part := screen.read(_PART_BYTES):
            shown += part
    except OSError:  # so a terminal ends when its programs have all gone
        pass
    return bytes(shown)


@pytest.fixture
def program(service: str, merchant_id: str) -> Iterator[Program]:
    """`payments` for a merchant of the test's own, at the real service."""
    program = Program(service, merchant_id)
    yield program
    for process in program.started:
        process.kill()
        process.communicate()


@pytest.fixture
def abroad(program: Program, foreign: "ForeignServer") -> Program:
    """`payments` at a server of foreign make."""
    program.target = foreign.target
    return program


@pytest.fixture
def client(service: str, merchant_id: str) -> Iterator[PaymentClient]:
    """What a test prepares and looks at with: it takes no half a second as a process does."""
    with PaymentClient(service, merchant_id=merchant_id, timeout_seconds=20) as client:
        yield client
