# /// script
# requires-python = ">=3.11"
# ///
"""An environment as a consumer of ours has it: for payment-client's example, and the test kit.

Our wheels and the example's, what its tests need, all at the versions of uv.lock, and nothing else:
nothing of this working tree is reachable from it. The one argument is where to make it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
EXAMPLE = ROOT / "packages/payment-client/examples/order-service"
OURS = ("payment-proto", "payment-client", "payment-server")
COMMAND_LIMIT_SECONDS = 300
"""Downloads included."""


def main(environment: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for package in OURS:
            uv("build", "--wheel", "--package", package, "--out-dir", folder)
        uv("build", "--wheel", "--out-dir", folder, EXAMPLE)
        versions = folder / "versions.txt"
        everything = ("--all-packages", "--all-groups", "--all-extras", "--no-emit-workspace")
        uv("export", "--frozen", *everything, "--no-hashes", "--output-file", versions)
        uv("venv", "--clear", "--no-project", environment)
        uv(
            *("pip", "install", "--python", environment, "--constraint", versions),
            *sorted(folder.glob("*.whl")),
            *("--group", f"{EXAMPLE / 'pyproject.toml'}:test"),
        )


def uv(command: str, *arguments: str | Path) -> None:
    subprocess.run(
        [UV, "--quiet", command, *arguments], cwd=ROOT, check=True, timeout=COMMAND_LIMIT_SECONDS
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
