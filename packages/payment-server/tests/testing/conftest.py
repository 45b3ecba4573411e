"""A project of its own for each test."""

from pathlib import Path

import pytest
from inner_run import InnerRun


@pytest.fixture
def inner(tmp_path: Path) -> InnerRun:
    return InnerRun(tmp_path)
