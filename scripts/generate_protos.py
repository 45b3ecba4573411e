# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "grpcio-tools==1.80.0",    # older on purpose: its code runs on every newer grpcio and protobuf
#   "mypy-protobuf==5.1.0",    # stubs; grpcio-tools makes none for _pb2_grpc
#   # What those two need, exact as well: the same input gives the same modules everywhere.
#   "grpcio==1.80.0",
#   "protobuf==6.33.6",
#   "setuptools==84.2.1",
#   "types-protobuf==7.35.1.20260906",
#   "typing-extensions==4.16.0",
# ]
# ///
"""Generates payment-proto's modules from protos/, or with --check compares the committed ones.

Run by uv in an environment of its own (the versions above are exact, all of them):
    uv run --script scripts/generate_protos.py [--check]
"""

import argparse
import filecmp
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
COMMITTED = ROOT / "packages/payment-proto/src"


def generate(target: Path) -> list[Path]:
    """Writes the modules below `target` and returns their paths relative to it."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    arguments = ["protoc", f"-I{PROTOS}", f"-I{files('grpc_tools') / '_proto'}"]
    arguments += [
        f"--{plugin}_out={target}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")
    ]
    if protoc.main([*arguments, *sources]) != 0:
        raise SystemExit("protoc failed")
    return sorted(path.relative_to(target) for path in target.rglob("*_pb2*"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check_only: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        modules = generate(fresh)
        present = {
            path.relative_to(COMMITTED)
            for path in COMMITTED.rglob("*_pb2*")
            if path.suffix in (".py", ".pyi")  # and nothing that Python keeps of them
        }
        stale = [
            path
            for path in sorted(present | set(modules))
            if path not in present
            or path not in modules
            or not filecmp.cmp(fresh / path, COMMITTED / path, shallow=False)
        ]
        if check_only:
            for path in stale:
                print(f"{path} differs from protos/; run `make protos`", file=sys.stderr)
            return 1 if stale else 0
        for path in stale:
            (COMMITTED / path).unlink(missing_ok=True)
        for path in modules:
            (COMMITTED / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh / path, COMMITTED / path)
        print(f"{len(modules)} modules, {len(stale)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
