"""The HTTP server: uvicorn inside our own event loop, without its signal handlers."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from litestar.types import ASGIApp

from payment_server.api.listening import listening_socket

FORCED_STOP_LIMIT_SECONDS: Final = 0.5  # uvicorn looks whether it must stop ten times a second
START_LIMIT_SECONDS: Final = 10.0  # Litestar is ready in milliseconds


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the composition root."""
        yield


class HttpServer:
    """Listens from `start` on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port, a free one where 0 was asked for. Raises CannotListen."""
        listener = listening_socket(host, port)
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,  # nothing is logged per call
            server_header=False,
            lifespan="on",
            ws="none",
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        async with asyncio.timeout(START_LIMIT_SECONDS):
            while not self._server.started:
                if self._task.done():
                    self._task.result()
                    raise RuntimeError("the HTTP server ended while it started")
                await asyncio.sleep(0.005)
        bound: int = listener.getsockname()[1]
        return bound

    async def stop(self, grace_seconds: float) -> None:
        """Answers nobody any more, and closes what is open after the grace."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=grace_seconds)
        if not done:
            self._server.force_exit = True
            await asyncio.wait({self._task}, timeout=FORCED_STOP_LIMIT_SECONDS)
