"""The wheels of the contract and its client, installed alone, work against the running service.

At both ends of what payment-proto declares to run on: generated code refuses grpcio and protobuf
older than its generator's, and newer ones may change under it.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
UV = os.environ.get("UV") or shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
COMMAND_LIMIT_SECONDS = 100

DECLARED = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
NEWEST: list[str] = DECLARED["project"]["dependencies"]
OLDEST = [requirement.replace(">=", "==").split(",")[0] for requirement in NEWEST]

PROGRAM = """
import sys
from payment_client import Action, PaymentClient, PaymentNotFound

with PaymentClient(sys.argv[1]) as client:
    created = client.payments.create(amount="10.00", customer_id="cust123")
    client.payments.process(created.payment_id, Action.CAPTURE)
    print(client.payments.get(created.payment_id).status)
    try:
        client.payments.get("019ab000-0000-7000-8000-000000000000")
    except PaymentNotFound as error:
        print(error.reason)
"""

BROUGHT_ALONG = {
    "googleapis-common-protos",
    "grpcio",
    "payment-client",
    "payment-proto",
    "protobuf",
    "typing-extensions",  # grpcio's
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two wheels, as `make build` makes them."""
    folder = tmp_path_factory.mktemp("wheels")
    for package in ("payment-proto", "payment-client"):
        run(UV, "build", "--quiet", "--wheel", "--package", package, "--out-dir", folder)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(params=[OLDEST, NEWEST], ids=["oldest", "newest"])
def bare_python(request: pytest.FixtureRequest, tmp_path: Path, wheels: list[Path]) -> Path:
    """An environment that had nothing in it before the wheels."""
    python = tmp_path / "bare/bin/python"
    run(UV, "venv", "--quiet", "--no-project", "--python", sys.executable, tmp_path / "bare")
    run(UV, "pip", "install", "--quiet", "--python", python, *wheels, *request.param)
    return python


def test_the_installed_client_takes_a_payment(bare_python: Path, service: str) -> None:
    printed = run(bare_python, "-W", "error", "-c", PROGRAM, service)
    assert printed.split() == ["captured", "PAYMENT_NOT_FOUND"]


def test_nothing_of_the_server_comes_along(bare_python: Path) -> None:
    listed = run(UV, "pip", "list", "--quiet", "--format=freeze", "--python", bare_python)
    assert {line.split("==")[0].split(" @")[0] for line in listed.splitlines()} == BROUGHT_ALONG


def run(*command: str | Path) -> str:
    """What a command printed; it runs outside of the environment of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    finished = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_SECONDS,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
