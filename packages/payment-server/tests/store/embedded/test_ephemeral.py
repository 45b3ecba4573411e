"""Ephemeral data: what a killed process left is swept, what a living one has is not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payment_server.store.embedded import EmbeddedPostgres
from payment_server.store.embedded.ephemeral import new_ephemeral, sweep_ephemerals


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps these tests from sweeping what others have."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_two_ephemerals_have_two_folders() -> None:
    assert new_ephemeral() != new_ephemeral()


def _folders(folder: Path) -> list[str]:
    return [str(path) for path in folder.iterdir()]


async def test_what_a_killed_process_left_is_removed_by_the_next_start(
    tmp_path: Path,
    parent_of_postgres: Any,
    stopped_at_end: Callable[[EmbeddedPostgres], EmbeddedPostgres],
    eventually: Any,
    is_gone: Any,
) -> None:
    parent = parent_of_postgres("ephemeral")
    left = parent.said()
    assert parent.said().isdigit()
    descendants = parent.kill()
    assert left in _folders(tmp_path)
    await eventually(lambda: all(map(is_gone, descendants)))
    await stopped_at_end(EmbeddedPostgres.ephemeral()).start()
    assert left not in _folders(tmp_path)


def test_what_a_living_process_has_is_left_alone() -> None:
    directory = new_ephemeral()
    directory.make()
    held = directory.hold()
    sweep_ephemerals()
    assert directory.path.exists()
    os.close(held)


def test_data_whose_postgres_is_still_dying_is_left_alone() -> None:
    directory = new_ephemeral()
    directory.make()
    os.close(directory.hold())
    held = directory.hold_for_postgres()
    assert held is not None
    sweep_ephemerals()
    assert directory.path.exists()
    os.close(held)


def test_a_folder_that_is_just_being_made_is_left_alone() -> None:
    directory = new_ephemeral()
    directory.make()
    (directory.path / "service.lock").touch()
    sweep_ephemerals()
    assert directory.path.exists()


def test_a_link_to_somewhere_else_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "service.lock").write_text("1")
    new_ephemeral().path.symlink_to(elsewhere)
    sweep_ephemerals()
    assert (elsewhere / "service.lock").exists()
