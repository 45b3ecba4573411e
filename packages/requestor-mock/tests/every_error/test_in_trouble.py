"""The rows that take a service in trouble: operations under way, a database that does not answer,
and the end."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from every_error.cells import FROZEN, GOOD, SURFACES, UNDER_WAY, Refusal
from every_error.doors import Doors
from every_error.postgres import CONNECTIONS, frozen, has_all_connections
from every_error.preparing import WAIT_LIMIT_SECONDS, prepared, until
from every_error.rows import assert_row

from payment.v1.errors import ERRORS, Row


def test_a_service_at_work_and_then_at_its_end_tells_alike(
    slow: tuple[Doors, Callable[[], None]],
) -> None:
    """Both, as they take a service of their own; and all that is under way at once."""
    doors, end = slow
    with ThreadPoolExecutor(len(UNDER_WAY)) as pool:
        walks = [
            pool.submit(walk_under_way, doors, ERRORS[reason], operation, refusal)
            for reason, (operation, refusal) in UNDER_WAY.items()
        ]
        for walk in walks:
            walk.result()
    walk_end(doors, end)


def walk_under_way(doors: Doors, row: Row, operation: str, refusal: Refusal) -> None:
    subject = prepared(doors, refusal)
    before = doors.grpc.done("get", **subject).payment.version
    under_way = doors.grpc.begin(operation, **subject)
    until(lambda: bool(doors.grpc.done("get", **subject).payment.version > before))
    told = doors.all_at_once(
        [(surface, lambda door: door.ask(refusal.operation, subject)) for surface in SURFACES]
    )
    for surface, each in zip(SURFACES, told, strict=True):
        assert_row(each, surface, row, **refusal.told(subject))
    under_way.result()


def walk_end(doors: Doors, end: Callable[[], None]) -> None:
    subject = prepared(doors, Refusal("get", of={}))
    inside = doors.grpc.begin("process", **subject)  # holds the end up, for the grace there is
    until(lambda: bool(doors.grpc.done("get", **subject).status == "processing"))

    def ask_on(door: Any) -> Any:
        give_up = time.monotonic() + WAIT_LIMIT_SECONDS
        while (told := door.ask("get", subject)) is None:
            assert time.monotonic() < give_up
        return told

    told = doors.all_at_once([(surface, ask_on) for surface in SURFACES], meanwhile=end)
    for surface, each in zip(SURFACES, told, strict=True):
        assert_row(each, surface, ERRORS["SHUTTING_DOWN"], retry_after_ms=1_000)
    inside.exception()


def test_a_database_that_does_not_answer_is_told_alike(patient: tuple[Doors, int]) -> None:
    doors, server_pid = patient
    until(lambda: has_opened_its_connections(doors, server_pid))
    asked = [(surface, each) for each in FROZEN.values() for surface in each.surfaces]
    with frozen(server_pid):
        told = doors.all_at_once([(surface, each.ask) for surface, each in asked])
    for (surface, each), said in zip(asked, told, strict=True):
        assert_row(said, surface, each.row, retry_after_ms=each.retry_after_ms)
    until(lambda: doors.grpc.ask("create", GOOD) is None)


def has_opened_its_connections(doors: Doors, server_pid: int) -> bool:
    """What is sent may be lost; without a connection the service would know that it was not. Lists
    share no statement, so each wants a connection of its own while the others get no answer."""
    with frozen(server_pid):
        calls = [doors.grpc.begin("list") for _ in range(2 * CONNECTIONS)]
        time.sleep(0.3)  # for them to come in; less than a connection may take
    for call in calls:
        call.exception()
    return has_all_connections(server_pid)
