"""What the supervisor does about processes that die, or cannot even begin."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import pytest
from program_under_test import CLEAN
from service_under_test import settings, until

from payment_server import supervisor
from payment_server.app import Databases, Plan, on_hangup, until_stopped
from payment_server.store.database import Database
from payment_server.store.offered import connections_offered
from payment_server.supervised import Brief
from payment_server.supervisor import Crew, Seat, WorkerFailed

Process = asyncio.subprocess.Process

NOWHERE = "postgresql://payment@127.0.0.1:1/payment"
BRIEF = Brief(
    number=0,
    processor="sandbox",
    host="127.0.0.1",
    grpc_port=0,
    http_port=0,
    http_listener=0,
    grace_seconds=0.5,
    database_url=NOWHERE,
    embedded_data_dir=None,
)


class Sleepers:
    """Real processes that do nothing; the second one cannot be launched."""

    def __init__(self) -> None:
        self.launched: list[Process | None] = []

    async def launch(self, number: int) -> Process:
        if len(self.launched) == 1:
            self.launched.append(None)
            raise WorkerFailed(f"worker {number} cannot be started: no more processes")
        process = await asyncio.create_subprocess_exec("sleep", "60")
        self.launched.append(process)
        return process

    async def end(self, process: Process, _number: signal.Signals) -> None:
        """Leaves it as it is: one that takes its time."""

    def number(self, at: int) -> Process:
        process = self.launched[at]
        assert process is not None
        return process


@asynccontextmanager
async def sleepers() -> AsyncIterator[Sleepers]:
    crew = Sleepers()
    try:
        yield crew
    finally:
        for each in crew.launched:
            if each is not None:
                with suppress(ProcessLookupError):
                    each.kill()
                await each.wait()


async def test_a_seat_whose_launch_failed_is_filled_with_the_next_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with sleepers() as crew:
        seat = Seat(1, crew.launch, crew.end)
        await seat.fill()
        keeping = asyncio.create_task(seat.keep())

        async def are_launched() -> bool:
            return len(crew.launched) == 3

        crew.number(0).kill()
        await until(are_launched)
        keeping.cancel()
    assert [each.getMessage() for each in caplog.records if each.name == supervisor.__name__] == [
        "worker 1 ended by SIGKILL; the next one in 0.1 s",
        "worker 1 cannot be started: no more processes; the next one in 0.2 s",
    ]


async def test_a_successor_that_dies_is_followed_while_the_old_one_still_leaves() -> None:
    async with sleepers() as crew:
        seat = Seat(1, crew.launch, crew.end)
        await seat.fill()
        keeping = asyncio.create_task(seat.keep())
        with pytest.raises(WorkerFailed):
            await seat.replace()
        await seat.replace()

        async def are_launched() -> bool:
            return len(crew.launched) == 4

        crew.number(2).kill()
        await until(are_launched)
        assert crew.number(0).returncode is None
        keeping.cancel()


async def test_a_process_that_cannot_be_had_is_told_as_a_worker_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerFailed, match="worker 1 cannot be started"):
        await Crew(BRIEF).launch(1)


async def test_a_process_that_ended_by_itself_can_be_ended() -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    await Crew(BRIEF).end(process, signal.SIGTERM)


async def test_a_keeper_that_ends_ends_the_service() -> None:
    async def broken() -> NoReturn:
        raise LookupError("a fault of ours")

    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = Databases(NOWHERE, NOWHERE, never)
    async with asyncio.timeout(5):
        with pytest.raises(LookupError):
            await until_stopped(asyncio.Event(), databases, asyncio.create_task(broken()))


async def test_nothing_is_imported_from_the_folder_that_workers_are_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "payment"
    planted.mkdir()
    (planted / "__init__.py").write_text("open('imported', 'w').close()")
    monkeypatch.chdir(tmp_path)
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WorkerFailed, match="worker 1 ended with exit code 1 before it served"):
        await Crew(BRIEF).launch(1)
    assert not (tmp_path / "imported").exists()


async def test_hangup_does_nothing_where_it_was_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        on_hangup(lambda: None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("is_too_many", [True, False])
async def test_workers_that_want_more_connections_than_there_are_are_warned_of(
    database_url: str,
    database: Database,
    is_too_many: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    offered = await connections_offered(database)
    each = offered // 3 + is_too_many  # two workers and the one that comes
    wanted = settings(database_url, {"PAYMENT_DATABASE_CONNECTIONS": str(each - 1)})
    plan = Plan(settings=wanted, embedded=False, migrate=False, grace_seconds=1.0)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with caplog.at_level(logging.WARNING, supervisor.__name__):
        await supervisor._warn_of_too_many(plan, Databases(database_url, "", never), 2)
    assert [
        f"PostgreSQL has {offered} for everybody" in each.message for each in caplog.records
    ] == ([True] if is_too_many else [])
