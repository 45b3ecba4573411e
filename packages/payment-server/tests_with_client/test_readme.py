"""The examples of the README, run as they stand there."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
SECTION = "## Testing with it"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _define_examples() -> None:
    """Makes the tests of the README tests of this module, with the README's own lines."""
    text = README.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text, text.index(SECTION)):
        code = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        exec(compile(code, README, "exec"), globals())  # noqa: S102 - our own README


_define_examples()


def test_the_readme_has_examples() -> None:
    assert len([name for name in globals() if name.startswith("test_a_")]) == 2
