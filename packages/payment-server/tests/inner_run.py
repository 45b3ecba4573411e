"""Runs of pytest under test: real ones, in processes and a temporary folder of their own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import psutil

RUN_LIMIT_SECONDS = 90
END_LIMIT_SECONDS = 20
"""A service ends in less than a second; on a machine that other tests keep busy in some."""
POLL_SECONDS = 0.1
"""A look at all processes of the machine is no small thing."""

PLUGINS = ("-p", "xdist", "-p", "payment_server.testing.plugin", "-p", "no:cacheprovider")
"""By name, and no others: those of this environment take four times as long to load as pytest."""


@dataclass(frozen=True)
class InnerRun:
    """A project with one file of tests, in a folder that all its processes can be told by."""

    folder: Path

    def write(self, tests: str, ini: str = "") -> None:
        (self.folder / "tmp").mkdir()
        (self.folder / "test_inner.py").write_text(dedent(tests))
        (self.folder / "pytest.ini").write_text(f"[pytest]\n{dedent(ini)}")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """pytest as a process, with a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *PLUGINS, *arguments],
            cwd=self.folder,
            env=self._environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def finish(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Exit code and output of a whole run."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate(timeout=RUN_LIMIT_SECONDS)
        return process.returncode, output

    def processes(self) -> list[psutil.Process]:
        """All of the run that live: whoever was started with its temporary folder."""
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def is_gone(self) -> bool:
        """Whether nothing of it lives any more, after a bounded wait. What is dead and waits for
        somebody to ask, as in a container where nobody does, is gone."""
        give_up = time.monotonic() + END_LIMIT_SECONDS
        while self.processes():
            if time.monotonic() > give_up:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _environment(self) -> dict[str, str]:
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "PAYMENT_"))
        }
        return ours | {
            "TMPDIR": str(self.folder / "tmp"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def _is_ours(self, process: psutil.Process) -> bool:
        """PostgreSQL has an environment of its own, and the folder among its arguments; its
        children have neither, but the folder as where they are."""
        folder = str(self.folder)
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            said = [*process.cmdline(), process.cwd(), process.environ().get("TMPDIR", "")]
        except psutil.Error:  # gone meanwhile
            return False
        return any(folder in each for each in said)
