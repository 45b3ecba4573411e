# /// script
# requires-python = ">=3.11"
# ///
"""`make test`: every check and every test of the repository, one line of totals at the end.

Builds an environment per package that holds that package's dependencies alone, so that an
undeclared one is found out, one of installed wheels, as a consumer has it, and one for the checks.
Says a line per check; what a check printed is shown only when it failed. Arguments go to pytest.

With --long (`make test-long`) it runs only the tests that are marked `scaled`, many times as long
and with other random choices each time; then all of payment-server's once more, on the gRPC server
that `auto` does not choose, where in `make test` only those about the wire run on both; and what is
about kills, races and duplicates with two servers on each database, on either gRPC server.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".envs"
PACKAGES = ("payment-server", "payment-proto", "payment-client", "requestor-mock")
CONSUMER = "order-service"
"""payment-client's example, in an environment of installed wheels alone."""
EXAMPLE = ROOT / "packages/payment-client/examples/order-service"
TEST_KIT = ROOT / "packages/payment-server/tests_with_client"
CONSUMER_SUITES = {CONSUMER: (EXAMPLE, "-n4"), "the test kit": (TEST_KIT, "-n0")}
"""With so many workers: by four they share a service, alone nobody is in a test's way."""
TYPED = ("src", "tests", "tests_with_client")
"""Of a project, as far as it has them."""
SERVER_COMMAND = ENVIRONMENTS / "payment-server/bin/payment-server"
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")

COMMAND_LIMIT_SECONDS = 1_800
"""Twice what the longest command needs: a hung one must end the run, not the patience."""
LONG_TEST_LIMIT_SECONDS = 900
"""For one test under --long, which multiplies what fits a minute."""
LONG_SCALE = 8
"""How many times as long: a few minutes on two cores, of the twenty that there are."""
OTHER_TRANSPORT = "native"
"""The gRPC server that `auto` is not: kills and races take their time, so they have it only under
--long."""
OF_SEVERAL_SERVERS = tuple(
    f"packages/payment-server/tests/test_{name}.py"
    for name in ("idempotency", "kills", "lost_replies", "races", "random_kills", "recovery")
)
"""What two servers on one database could do otherwise than one."""
WORKERS_PER_CORE = 2
"""Tests wait for disks, ports and processes about as long as they compute."""
WORKERS_LIMIT = 16
"""Each has a PostgreSQL of its own."""
NOTHING_COLLECTED = 5
"""pytest's exit code when it found no test: a fault, unless arguments selected some."""


@dataclass(frozen=True)
class Outcome:
    """What one command, or the tests that it ran, came to."""

    name: str
    exit_code: int
    output: str
    seconds: float
    passed: int
    failed: int
    skipped: int = 0


def hear_signals() -> None:
    """Also where nohup, or a shell that runs us in its background, has them ignored: the programs
    under test would inherit that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def main(arguments: list[str]) -> int:
    is_long = "--long" in arguments
    given = [each for each in arguments if each != "--long"]
    if is_long:
        scale = LONG_SCALE
        arguments = [*given, "-m", "scaled", f"--timeout={LONG_TEST_LIMIT_SECONDS}"]
        outcomes = [await environment(package) for package in PACKAGES]
    else:
        outcomes, scale = await checks(), 1
    unusable = {outcome.name for outcome in outcomes if outcome.failed}
    with tempfile.TemporaryDirectory() as folder:
        for package in PACKAGES:
            if f"environment {package}" not in unusable:
                outcomes.append(
                    await tests(
                        package, arguments, Path(folder), scale, transport="auto", servers=1
                    )
                )
        if is_long and "environment payment-server" not in unusable:
            outcomes += await longer_tests(given, Path(folder))
        if not is_long and f"environment {CONSUMER}" not in unusable:
            outcomes += await consumer_tests(given, Path(folder))
    passed, failed, skipped = (
        sum(getattr(outcome, kind) for outcome in outcomes)
        for kind in ("passed", "failed", "skipped")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


async def longer_tests(arguments: list[str], folder: Path) -> list[Outcome]:
    """payment-server's tests in the settings that `make test` leaves out."""
    several = [*OF_SEVERAL_SERVERS, *arguments]
    return [
        await tests("payment-server", arguments, folder, 1, transport=OTHER_TRANSPORT, servers=1),
        *[
            await tests("payment-server", several, folder, 1, transport=transport, servers=2)
            for transport in ("auto", OTHER_TRANSPORT)
        ],
    ]


async def checks() -> list[Outcome]:
    """The environments and everything that needs no running service, a command per core."""
    cores = asyncio.Semaphore(os.cpu_count() or 1)

    async def limited(work: Awaitable[Outcome]) -> Outcome:
        async with cores:
            return await work

    def check(
        name: str, *arguments: str | Path, folder: Path = ROOT, **extra: str
    ) -> Awaitable[Outcome]:
        return limited(reported(name, *arguments, folder=folder, **extra))

    tools = ENVIRONMENTS / "check/bin"
    tools_outcome = await environment("check", "--all-packages", "--all-groups")
    if tools_outcome.failed:
        return [tools_outcome]
    projects = {package: ROOT / "packages" / package for package in PACKAGES}
    projects[CONSUMER] = EXAMPLE
    mypy = (tools / "mypy", "--config-file", ROOT / "pyproject.toml", "--explicit-package-bases")
    outcomes = await asyncio.gather(
        *(  # the slow ones first
            check(
                f"types of {name}",
                *mypy,
                f"--cache-dir={ROOT}/.mypy_cache/{name}",
                *(each for each in TYPED if (folder / each).is_dir()),
                folder=folder,
                MYPYPATH="src:tests",
            )
            for name, folder in projects.items()
        ),
        *(limited(environment(package)) for package in PACKAGES),
        check(
            f"environment {CONSUMER}",
            *(UV, "run", "--script", "scripts/install_consumer.py", ENVIRONMENTS / CONSUMER),
            UV=UV,
        ),
        check("types of scripts", *mypy, f"--cache-dir={ROOT}/.mypy_cache/scripts", "scripts"),
        check("format", tools / "ruff", "format", "--check", "."),
        check("lint", tools / "ruff", "check", "."),
        check("layers", tools / "lint-imports"),
        check("shape", tools / "python", "scripts/check_shape.py"),
        check("lifecycle diagram", tools / "python", "scripts/draw_lifecycle.py", "--check"),
        check("lock file", UV, "lock", "--check"),
        check("generated modules", UV, "run", "--script", "scripts/generate_protos.py", "--check"),
        check("contract style", tools / "buf", "lint", "protos"),
        check(
            "contract compatibility",
            tools / "buf",
            "breaking",
            "protos",
            "--against",
            "protos/baseline.binpb",
        ),
    )
    return [tools_outcome, *outcomes]


async def environment(name: str, *what: str) -> Outcome:
    """An environment at .envs: of one package with its tests, unless `what` says otherwise."""
    what = what or ("--package", name, "--group", "test")
    return await reported(
        f"environment {name}",
        *(UV, "sync", "--quiet", "--frozen", *what),
        UV_PROJECT_ENVIRONMENT=str(ENVIRONMENTS / name),
    )


async def tests(
    package: str,
    pytest_arguments: list[str],
    folder: Path,
    scale: int,
    *,
    transport: str,
    servers: int,
) -> Outcome:
    """One package's tests in its own environment: all of them, unless the arguments name files."""
    name = f"tests of {package}" + ("" if transport == "auto" else f" on {transport}")
    name += "" if servers == 1 else f", {servers} servers"
    cores = os.cpu_count() or 1
    workers = max(cores, min(WORKERS_PER_CORE * cores, WORKERS_LIMIT))
    return await pytest_run(
        name,
        package,
        folder,
        *("-n", "auto", "--dist=loadgroup"),
        *(() if name_files(pytest_arguments) else (f"packages/{package}",)),
        *pytest_arguments,
        may_be_empty=bool(pytest_arguments),
        PAYMENT_SERVER_COMMAND=str(SERVER_COMMAND),
        UV=UV,
        TEST_GRPC_TRANSPORT=transport,
        TEST_SCALE=str(scale),
        TEST_WORKERS=str(servers),
        PYTEST_XDIST_AUTO_NUM_WORKERS=str(workers),
    )


async def consumer_tests(arguments: list[str], folder: Path) -> list[Outcome]:
    """What needs the client and the server's test kit beside each other. No folder of ours is their
    environment: what the wheels lack, they lack."""
    if name_files(arguments):
        return []
    return [
        await pytest_run(
            f"tests of {name}",
            CONSUMER,
            folder,
            *(workers, str(suite), *arguments),
            may_be_empty=bool(arguments),
        )
        for name, (suite, workers) in CONSUMER_SUITES.items()
    ]


def name_files(pytest_arguments: list[str]) -> bool:
    return any(each.endswith(".py") for each in pytest_arguments)


async def pytest_run(
    name: str,
    environment: str,
    reports: Path,
    *arguments: str | Path,
    may_be_empty: bool,
    **extra: str,
) -> Outcome:
    """One run in one environment; the counts come from pytest's own report."""
    report_file = reports / f"{name}.xml"
    ran = await command(
        name,
        ENVIRONMENTS / environment / "bin/python",
        *("-m", "pytest", f"--junitxml={report_file}", *arguments),
        folder=ROOT,
        **extra,
    )
    outcome = with_counts(ran, report_file, may_be_empty=may_be_empty)
    report(outcome)
    return outcome


def with_counts(ran: Outcome, report_file: Path, *, may_be_empty: bool) -> Outcome:
    if ran.exit_code == NOTHING_COLLECTED and may_be_empty:
        return replace(ran, passed=0, failed=0)
    if not report_file.exists():
        return replace(ran, passed=0, failed=1)
    suites = list(ET.parse(report_file).getroot().iter("testsuite"))  # noqa: S314 - pytest wrote it
    total, failures, errors, skipped = (
        sum(int(suite.get(kind, "0")) for suite in suites)
        for kind in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    if ran.exit_code and not failed:  # a fault outside of any test, such as a worker that died
        return replace(ran, passed=total - skipped, failed=1, skipped=skipped)
    return replace(ran, passed=total - failed - skipped, failed=failed, skipped=skipped)


async def reported(name: str, *arguments: str | Path, folder: Path = ROOT, **extra: str) -> Outcome:
    outcome = await command(name, *arguments, folder=folder, **extra)
    report(outcome)
    return outcome


async def command(name: str, *arguments: str | Path, folder: Path = ROOT, **extra: str) -> Outcome:
    """Runs one command to its end; `extra` goes into its environment."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env=neutral_environment() | extra,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_LIMIT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output = f"Killed after {COMMAND_LIMIT_SECONDS} seconds.".encode()
    code = await process.wait()
    seconds = time.monotonic() - began
    return Outcome(
        name, code, output.decode(errors="replace"), seconds, int(not code), int(bool(code))
    )


def neutral_environment() -> dict[str, str]:
    """The caller's environment without what would lead tests or tools elsewhere."""
    leading = re.compile(r"PAYMENT_|REQUESTOR_|(DATABASE_URL|REDIS_URL|PYTHONPATH|VIRTUAL_ENV)$")
    return {name: value for name, value in os.environ.items() if not leading.match(name)}


def report(outcome: Outcome) -> None:
    counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.skipped} skipped"
    is_single = outcome.passed + outcome.failed == 1 and not outcome.skipped
    verdict = "FAILED" if outcome.failed else "ok"
    print(f"{verdict:6}  {outcome.name:32}{outcome.seconds:6.1f} s  {'' if is_single else counts}")
    if outcome.failed:
        print(outcome.output.rstrip())
    for line in (
        re.findall(r"^SKIPPED .*$", outcome.output, re.MULTILINE) if outcome.skipped else ()
    ):
        print(f"        {line}")
    sys.stdout.flush()


if __name__ == "__main__":
    hear_signals()
    sys.exit(asyncio.run(main(sys.argv[1:])))
