"""The embedded PostgreSQL as a whole: real servers, really killed."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import uvloop

from payment_server.store.embedded import (
    OWNER_ROLE,
    SERVICE_ROLE,
    SUPERUSER,
    DataDirectoryInUse,
    DataDirectoryVersionMismatch,
    EmbeddedPostgres,
    KeepsCrashing,
    StartFailed,
    server,
)

_DEATH_LIMIT_SECONDS = 5.0  # 0.05 s on an idle machine; this one may run other tests
_STOP_LIMIT_SECONDS = 3.0  # the steps add up to 1.6 s; all of Ctrl-C has this long
Stopped = Callable[[EmbeddedPostgres], EmbeddedPostgres]


async def _ask(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.fixture
async def running(data_dir: Path, stopped_at_end: Stopped) -> EmbeddedPostgres:
    """A server on a data directory of its own."""
    postgres = stopped_at_end(EmbeddedPostgres(data_dir))
    await postgres.start()
    return postgres


@pytest.fixture(scope="module")
async def undisturbed() -> AsyncIterator[EmbeddedPostgres]:
    """A server for tests that only look."""
    postgres = EmbeddedPostgres.ephemeral()
    await postgres.start()
    yield postgres
    await postgres.stop()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_data_is_kept_between_runs_on_either_event_loop(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def run(statement: str) -> Any:
        postgres = EmbeddedPostgres(tmp_path / "data")
        await postgres.start()
        try:
            return await _ask(postgres.url(OWNER_ROLE), statement)
        finally:
            await postgres.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run("CREATE TABLE kept AS SELECT 'word' AS word"))
        assert runner.run(run("SELECT word FROM kept")) == "word"


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_it_runs_with_durable_settings(undisturbed: EmbeddedPostgres, setting: str) -> None:
    assert await _ask(undisturbed.url(SERVICE_ROLE), f"SHOW {setting}") == "on"


async def test_it_listens_on_no_port(undisturbed: EmbeddedPostgres) -> None:
    assert undisturbed.pid is not None
    assert psutil.Process(undisturbed.pid).net_connections("inet") == []


async def test_it_refuses_a_wrong_password(undisturbed: EmbeddedPostgres) -> None:
    password = undisturbed.url(SUPERUSER).split(":")[2].split("@")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(undisturbed.url(SUPERUSER).replace(password, "guessed"))


async def test_its_socket_is_for_our_eyes_only(undisturbed: EmbeddedPostgres) -> None:
    folder = undisturbed._data.socket_directory
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_ctrl_c_in_the_terminal_does_not_reach_it(undisturbed: EmbeddedPostgres) -> None:
    assert undisturbed.pid is not None
    assert os.getsid(undisturbed.pid) != os.getsid(0)
    assert os.getpgid(undisturbed.pid) != os.getpgid(0)


async def test_no_password_is_ever_visible_in_the_process_list(
    tmp_path: Path, stopped_at_end: Stopped
) -> None:
    postgres = stopped_at_end(EmbeddedPostgres(tmp_path / "data"))
    starting, seen = asyncio.create_task(postgres.start()), set[str]()
    while not starting.done():
        for process in psutil.Process().children(recursive=True):
            try:
                seen.add(" ".join([*process.cmdline(), *process.environ().values()]))
            except psutil.Error:
                continue
        await asyncio.sleep(0.01)
    await starting
    secrets = [file.read_text() for file in (postgres.data_dir / "passwords").iterdir()]
    assert len(secrets) == 3
    assert any("initdb" in line for line in seen)
    assert not [line for line in seen if any(secret in line for secret in secrets)]


async def test_a_path_too_long_for_a_socket_is_no_hindrance(
    tmp_path: Path, stopped_at_end: Stopped
) -> None:
    postgres = stopped_at_end(EmbeddedPostgres(tmp_path / ("long" * 40) / "data"))
    await postgres.start()
    assert await _ask(postgres.url(SERVICE_ROLE), "SELECT 1") == 1
    await postgres.stop()
    assert not postgres._data.socket_directory.exists()


async def test_an_ephemeral_one_leaves_nothing(
    stopped_at_end: Stopped, is_gone: Callable[[psutil.Process], bool]
) -> None:
    postgres = stopped_at_end(EmbeddedPostgres.ephemeral())
    await postgres.start()
    assert postgres.pid is not None
    family = [psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children(recursive=True)]
    await postgres.stop()
    assert not postgres.data_dir.exists()
    assert all(map(is_gone, family))


async def test_a_stop_is_quick_while_a_session_is_in_a_transaction(
    running: EmbeddedPostgres,
) -> None:
    connection = await asyncpg.connect(running.url(OWNER_ROLE))
    await connection.execute("BEGIN; CREATE TABLE half_done ()")
    began = time.monotonic()
    await running.stop()
    assert time.monotonic() - began < _STOP_LIMIT_SECONDS
    connection.terminate()


async def test_a_stop_is_quick_when_the_server_is_frozen(running: EmbeddedPostgres) -> None:
    assert running.pid is not None
    os.kill(running.pid, signal.SIGSTOP)
    began = time.monotonic()
    await running.stop()
    assert time.monotonic() - began < _STOP_LIMIT_SECONDS


async def test_a_stop_before_the_start_does_nothing(tmp_path: Path) -> None:
    await EmbeddedPostgres(tmp_path / "data").stop()
    assert not (tmp_path / "data").exists()


async def test_a_start_that_is_canceled_leaves_nothing_running(
    tmp_path: Path, stopped_at_end: Stopped
) -> None:
    postgres = stopped_at_end(EmbeddedPostgres(tmp_path / "data"))
    starting = asyncio.create_task(postgres.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await postgres.start()
    assert await _ask(postgres.url(SERVICE_ROLE), "SELECT 1") == 1


@pytest.mark.parametrize("options", [("asyncio",), ("uvloop",), ("busy",)])
async def test_a_killed_parent_leaves_no_postgres(
    data_dir: Path,
    parent_of_postgres: Any,
    eventually: Any,
    is_gone: Callable[[psutil.Process], bool],
    options: tuple[str, ...],
) -> None:
    parent = parent_of_postgres(data_dir, *options)
    assert parent.said() == str(data_dir)
    assert parent.said().isdigit()
    descendants = parent.kill()
    assert len(descendants) > 3
    await eventually(lambda: all(map(is_gone, descendants)), _DEATH_LIMIT_SECONDS)


@pytest.mark.parametrize("option", ["idle", "busy"])
async def test_a_start_right_after_the_parent_was_killed_has_every_commit(
    data_dir: Path, parent_of_postgres: Any, stopped_at_end: Stopped, option: str
) -> None:
    parent = parent_of_postgres(data_dir, option)
    assert parent.said() == str(data_dir)
    assert parent.said().isdigit()
    parent.kill()
    postgres = stopped_at_end(EmbeddedPostgres(data_dir))
    await postgres.start()
    assert await _ask(postgres.url(SUPERUSER), "SELECT word FROM kept") == "committed"


async def test_a_first_start_that_was_killed_does_not_hinder_the_next(
    tmp_path: Path, parent_of_postgres: Any, eventually: Any, stopped_at_end: Stopped
) -> None:
    parent = parent_of_postgres(tmp_path / "data")
    await eventually((tmp_path / "data" / "cluster.unfinished" / "PG_VERSION").exists)
    parent.kill()
    assert not (tmp_path / "data" / "cluster").exists()
    postgres = stopped_at_end(EmbeddedPostgres(tmp_path / "data"))
    await postgres.start()
    assert await _ask(postgres.url(SERVICE_ROLE), "SELECT 1") == 1


async def test_a_second_start_names_the_process_that_has_the_data(
    data_dir: Path, parent_of_postgres: Any
) -> None:
    parent = parent_of_postgres(data_dir)
    assert parent.said() == str(data_dir)
    assert parent.said().isdigit()
    with pytest.raises(DataDirectoryInUse) as refusal:
        await EmbeddedPostgres(data_dir).start()
    assert refusal.value.pid == parent.pid
    assert str(parent.pid) in str(refusal.value)


async def test_a_refused_second_start_does_not_disturb_the_first(
    undisturbed: EmbeddedPostgres,
) -> None:
    with pytest.raises(DataDirectoryInUse):
        await EmbeddedPostgres(undisturbed.data_dir).start()
    assert await _ask(undisturbed.url(SERVICE_ROLE), "SELECT 1") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT])
async def test_a_server_that_ends_by_itself_comes_back_with_its_data(
    running: EmbeddedPostgres, eventually: Any, number: signal.Signals
) -> None:
    await _ask(running.url(OWNER_ROLE), "CREATE TABLE kept AS SELECT 'word' AS word")
    first = running.pid
    assert first is not None
    os.kill(first, number)
    await eventually(
        lambda: running.pid not in {None, first} and running._data.is_ready(running.pid or 0)
    )
    assert await _ask(running.url(SERVICE_ROLE, "payment"), "SELECT 1") == 1
    assert await _ask(running.url(OWNER_ROLE), "SELECT word FROM kept") == "word"


async def test_a_restart_is_logged_loudly(
    running: EmbeddedPostgres, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    await eventually(lambda: "ended by itself with status -9" in caplog.text)
    assert "ERROR" in {record.levelname for record in caplog.records}


async def test_the_supervisor_gives_up_on_a_server_that_keeps_crashing(
    running: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LONGEST_PAUSE_SECONDS", 0.01)
    (running.data_dir / "cluster" / "global" / "pg_control").unlink()
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    reason = await asyncio.wait_for(running.failed, 60)
    assert isinstance(reason, KeepsCrashing)
    assert reason.restarts == server.RESTART_LIMIT
    assert "pg_control" in str(reason)


async def test_a_stop_during_the_pause_before_a_restart_starts_nothing(
    running: EmbeddedPostgres, eventually: Any
) -> None:
    assert running.pid is not None
    os.kill(running.pid, signal.SIGKILL)
    await eventually(lambda: running.pid is None)
    await running.stop()
    await asyncio.sleep(2 * server.FIRST_PAUSE_SECONDS)
    lock = running._data.hold_for_postgres()
    assert lock is not None
    os.close(lock)


async def test_data_of_another_major_version_is_refused_by_name(running: EmbeddedPostgres) -> None:
    await running.stop()
    (running.data_dir / "cluster" / "PG_VERSION").write_text("13\n")
    with pytest.raises(DataDirectoryVersionMismatch) as refusal:
        await running.start()
    assert refusal.value.found == "13"


async def test_a_failed_start_shows_what_postgres_said(running: EmbeddedPostgres) -> None:
    await running.stop()
    (running.data_dir / "cluster" / "global" / "pg_control").unlink()
    with pytest.raises(StartFailed) as failure:
        await running.start()
    assert "pg_control" in failure.value.log_tail


async def test_a_data_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match="file/data"):
        await EmbeddedPostgres(tmp_path / "file" / "data").start()


async def test_there_is_room_on_a_common_disk(undisturbed: EmbeddedPostgres) -> None:
    assert undisturbed.has_room()


def test_there_is_no_room_on_a_filesystem_without_free_space() -> None:
    assert not EmbeddedPostgres(Path("/proc")).has_room()  # a real one that is always full
