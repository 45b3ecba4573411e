"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_the_example_runs(example: str, service: str) -> None:
    exec(example.replace("127.0.0.1:50051", service), {})  # noqa: S102 - the README is ours


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2
