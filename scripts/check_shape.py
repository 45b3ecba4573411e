"""Checks the shape of the repository: who depends on whom, how long files and functions are.

The layers inside the packages are import-linter's (see pyproject.toml); this looks at what it
cannot see. Prints a line per fault and exits with 1 when there is one.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# requestor-mock → payment-client → payment-proto ← payment-server
SIBLINGS = {
    "payment-proto": set[str](),
    "payment-client": {"payment-proto"},
    "payment-server": {"payment-proto"},
    "requestor-mock": {"payment-client"},
}
EXTRAS = {("payment-server", "testing"): {"payment-client"}}
"""The test kit, which gives its callers clients; no other extra names a package of ours."""
FILE_LINES = 500
FUNCTION_LINES = 70
"""A function that fits on a screen; a file that fits in a head."""


def main() -> int:
    faults = [*dependency_faults(), *length_faults()]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def dependency_faults() -> Iterator[str]:
    """Every package declares exactly its siblings of the tables, and its tests none besides."""
    members = {path.parent.name: path for path in ROOT.glob("packages/*/pyproject.toml")}
    if members.keys() != SIBLINGS.keys():
        yield f"packages/: {sorted(members)} instead of {sorted(SIBLINGS)}"
    for name, path in members.items():
        declared = tomllib.loads(path.read_text())
        needed = siblings_among(declared["project"].get("dependencies", []))
        if needed != SIBLINGS.get(name):
            yield f"packages/{name} depends on {sorted(needed)}"
        for extra, requirements in declared["project"].get("optional-dependencies", {}).items():
            needed = siblings_among(requirements)
            if needed != EXTRAS.get((name, extra), set()):
                yield f"packages/{name}[{extra}] depends on {sorted(needed)}"
        for group, requirements in declared.get("dependency-groups", {}).items():
            if siblings_among(requirements):
                yield f"packages/{name}: the group {group} names another package of ours"


def siblings_among(requirements: list[object]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9_.-]+", item) for item in requirements if isinstance(item, str))
    return {name.group().lower() for name in names if name} & SIBLINGS.keys()


def length_faults() -> Iterator[str]:
    for path in sorted((*ROOT.glob("packages/**/*.py"), *ROOT.glob("scripts/**/*.py"))):
        if "_pb2" in path.name:
            continue
        text = path.read_text()
        place, lines = path.relative_to(ROOT), len(text.splitlines())
        if lines > FILE_LINES:
            yield f"{place} has {lines} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{place}:{node.lineno}: {node.name} has {lines} lines"


if __name__ == "__main__":
    sys.exit(main())
