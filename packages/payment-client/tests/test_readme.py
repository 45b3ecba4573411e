"""The README's examples, run in their order as a reader would, against the real service."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_readme_hold(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_TARGET", service)
    names: dict[str, object] = {"__name__": "readme"}
    text = README.read_text()
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        lines_before = text.count("\n", 0, block.start(1))
        code = "\n" * lines_before + block[1]  # so that a traceback names the README's own line
        exec(compile(code, README, "exec"), names)  # noqa: S102 - our own README
