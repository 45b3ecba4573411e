"""The data directory: locks that tell the truth, secrets that stay secret, sockets that fit."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from payment_server.store.embedded import SERVICE_ROLE, DataDirectoryInUse, EmbeddedPostgres
from payment_server.store.embedded.child_process import ChildProcess
from payment_server.store.embedded.cluster import hold_for_postgres
from payment_server.store.embedded.data_directory import DataDirectory
from payment_server.store.embedded.programs import find_programs

_LIMIT_SECONDS = 20.0


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    """A folder that is made, and empty."""
    directory = DataDirectory(tmp_path / "data")
    directory.make()
    return directory


@pytest.fixture
def made(data_dir: Path) -> DataDirectory:
    """A folder with a cluster, not running."""
    return DataDirectory(data_dir)


@pytest.fixture
async def sleeper() -> AsyncIterator[Callable[..., ChildProcess]]:
    """Launches children that sleep, and are dead at the end of the test."""
    children: list[ChildProcess] = []

    def launch(**options: Any) -> ChildProcess:
        children.append(ChildProcess.launch(("/bin/sleep", "600"), **options))
        return children[-1]

    yield launch
    for child in children:
        await child.stop((signal.SIGKILL, _LIMIT_SECONDS))


def _opened_by(pid: int) -> list[Path]:
    return [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]


def test_the_holder_of_a_folder_is_named(data: DataDirectory) -> None:
    held = data.hold()
    with pytest.raises(DataDirectoryInUse) as refusal:
        data.hold()
    assert refusal.value.pid == os.getpid()
    os.close(held)


def test_a_folder_is_free_once_its_holder_lets_go(data: DataDirectory) -> None:
    os.close(data.hold())
    os.close(data.hold())


def test_a_lock_file_that_is_a_link_is_refused(data: DataDirectory, tmp_path: Path) -> None:
    (data.path / "service.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        data.hold()
    assert not (tmp_path / "elsewhere").exists()


async def test_every_process_of_postgres_holds_the_lock_that_the_next_one_waits_for(
    made: DataDirectory, stopped_at_end: Callable[[EmbeddedPostgres], EmbeddedPostgres]
) -> None:
    postgres = stopped_at_end(EmbeddedPostgres(made.path))
    await postgres.start()
    session = await asyncpg.connect(postgres.url(SERVICE_ROLE))
    assert postgres.pid is not None
    family = [postgres.pid]
    family += [child.pid for child in psutil.Process(postgres.pid).children(recursive=True)]
    assert all(made.path / "postgres.lock" in _opened_by(pid) for pid in family)
    await session.close()


async def test_the_lock_of_postgres_is_waited_for_until_its_last_process_is_gone(
    data: DataDirectory, sleeper: Callable[..., ChildProcess]
) -> None:
    lock = await hold_for_postgres(data)
    dying = sleeper(kept_fds=(lock,))
    os.close(lock)
    waiting = asyncio.create_task(hold_for_postgres(data))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await dying.stop((signal.SIGKILL, _LIMIT_SECONDS))
    os.close(await asyncio.wait_for(waiting, _LIMIT_SECONDS))


async def test_a_pid_that_now_belongs_to_a_stranger_does_not_block_the_start(
    made: DataDirectory,
    sleeper: Callable[..., ChildProcess],
    stopped_at_end: Callable[[EmbeddedPostgres], EmbeddedPostgres],
) -> None:
    lines = [str(sleeper().pid), str(made.cluster), "1", "5432", "", "", "", "ready   "]
    (made.cluster / "postmaster.pid").write_text("\n".join(lines))
    postgres = stopped_at_end(EmbeddedPostgres(made.path))
    await postgres.start()
    assert made.is_ready(postgres.pid or 0)


async def test_a_server_that_somebody_started_by_hand_is_respected_and_named(
    made: DataDirectory, eventually: Any
) -> None:
    programs = await find_programs(None, made)
    folder = made.fresh_socket_directory()
    by_hand = ChildProcess.launch(
        [programs.postgres, "-D", made.cluster, "-c", "listen_addresses=", "-k", folder],
        identity=programs.identity,
    )
    try:
        await eventually(lambda: made.is_ready(by_hand.pid))
        with pytest.raises(DataDirectoryInUse) as refusal:
            await EmbeddedPostgres(made.path).start()
        assert refusal.value.pid == by_hand.pid
        assert by_hand.is_running
    finally:
        await by_hand.stop((signal.SIGQUIT, _LIMIT_SECONDS))


def test_passwords_are_for_our_eyes_only(data: DataDirectory) -> None:
    data.make_password("somebody")
    assert data.password_file("somebody").stat().st_mode & 0o777 == 0o600
    assert data.password_file("somebody").parent.stat().st_mode & 0o777 == 0o700


def test_each_password_is_another(data: DataDirectory) -> None:
    assert data.make_password("one") != data.make_password("two")


@pytest.mark.parametrize(
    "name", ["x" * 60, "x" * 200, "a,b", "ü" * 50], ids=["fits", "long", "comma", "bytes"]
)
def test_the_socket_fits_into_a_path_wherever_the_data_is(tmp_path: Path, name: str) -> None:
    folder = DataDirectory(tmp_path / name).socket_directory
    assert len(os.fsencode(folder / ".s.PGSQL.5432.lock")) <= 108
    assert "," not in str(folder)


def test_two_folders_never_share_a_socket_directory(tmp_path: Path) -> None:
    long = "x" * 200
    one, two = DataDirectory(tmp_path / long / "1"), DataDirectory(tmp_path / long / "2")
    assert one.socket_directory != two.socket_directory


def test_a_socket_directory_that_is_a_link_is_refused(data: DataDirectory, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    data.socket_directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"symbolic link|data/socket"):  # 3.13 tells the path alone
        data.fresh_socket_directory()


def test_a_log_that_has_grown_large_is_begun_anew(data: DataDirectory) -> None:
    data.log.touch()
    os.truncate(data.log, 11 * 1024**2)
    os.close(data.open_log())
    assert data.log.stat().st_size == 0
    assert data.log.with_suffix(".log.old").exists()


def test_the_tail_of_the_log_has_nothing_of_earlier_runs(data: DataDirectory) -> None:
    data.log.write_text("earlier\nnow\n")
    assert data.log_tail(len("earlier\n")) == "now\n"
