"""Serves the application with uvicorn until a signal: says when it is ready, and stops in time."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from litestar import Litestar

from requestor_mock.bodies import LIMIT_BYTES

STOP_LIMIT_SECONDS: Final = 1
"""How long requests under way may still take when the program is told to stop."""
PING_SECONDS: Final = 20.0
"""How often a WebSocket is asked whether somebody reads it, and how long the answer may take: so a
reader that is gone or stuck holds a watch for 40 s at most."""


async def serve_until_signal(
    app: Litestar, listener: socket.socket, ready: Callable[[], None]
) -> None:
    """Serves on `listener` until SIGTERM or SIGINT; calls `ready` once it does."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,
        access_log=False,  # addresses have what customers are called
        server_header=False,
        proxy_headers=False,  # nobody asks for a caller's address
        ws="websockets-sansio",
        ws_max_size=LIMIT_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # a buffer of 32 KB a socket, and CPU for each message
        timeout_graceful_shutdown=STOP_LIMIT_SECONDS,
    )
    server = _Server(config, ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    await server.serve(sockets=[listener])


def write_ready_file(path: Path, http_port: int) -> None:
    """Says where we serve; nobody ever reads half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"http_port": http_port, "pid": os.getpid()}))
    draft.replace(path)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def stop(self) -> None:
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to us: uvicorn raises them again after a graceful stop, and the program
        would look as if it had been killed."""
        yield
