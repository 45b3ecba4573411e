"""The README's section on the command line, typed on a terminal as it stands there."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cli.conftest import Program

README: Final = Path(__file__).resolve().parents[2] / "README.md"
BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED: Final = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
IDENTIFIER: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VARYING: Final = re.compile(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d(?:\.\d+)?Z|--cursor \S+")


def test_what_the_readme_shows_is_what_a_terminal_shows(program: "Program", tmp_path: Path) -> None:
    bash = shutil.which("bash") or "bash"
    real: dict[str, str] = {}
    """The identifiers of this run by those of the README."""
    _, _, section = README.read_text().partition("## Command line")
    for command, shown in TYPED.findall("".join(BLOCK.findall(section))):
        typed = IDENTIFIER.sub(lambda found: real[found[0]], command)
        lines = program.typed([bash, "-c", f"cd {tmp_path}; {typed}"], columns=100).text
        seen = "".join(f"{line}\n" for line in lines)
        real.update(zip(IDENTIFIER.findall(shown), IDENTIFIER.findall(seen), strict=True))
        assert without_varying(seen) == without_varying(shown), command
    assert real


def without_varying(text: str) -> str:
    return VARYING.sub("…", IDENTIFIER.sub("…", text))
