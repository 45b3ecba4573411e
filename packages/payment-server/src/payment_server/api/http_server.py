"""The HTTP server: uvicorn inside our own event loop, without its signal handlers."""

import asyncio
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

FORCED_STOP_LIMIT_SECONDS: Final = 0.5  # uvicorn looks whether it must stop ten times a second
START_LIMIT_SECONDS: Final = 10.0  # Litestar is ready in milliseconds
LEAVE_LIMIT_SECONDS: Final = 2.0
"""uvicorn tells of headers that are new within a second; who is silent for one more is idle."""
LEAVE_POLL_SECONDS: Final = 0.05

TAKE_LIMIT_SECONDS: Final = 30.0
"""How long a reader may take nothing. The kernel holds megabytes for it, and asks for more when a
third of them is gone: a slow line needs its time. Who is dropped loses nothing: a read can be made
again, a change has its key, a watch its cursor."""

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: or the kernel would keep offering its bytes


class _Protocol(H11Protocol):
    """Drops a connection whose other side does not take what it has asked for.

    uvicorn would wait for it without end, and a socket that is only closed waits as well until the
    other side has read everything.
    """

    _timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._time_the_reader()

    def resume_writing(self) -> None:
        self._stop_timing()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timing()
        super().connection_lost(exc)

    def _time_the_reader(self) -> None:
        left_bytes = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(TAKE_LIMIT_SECONDS, self._judge_the_reader, left_bytes)

    def _judge_the_reader(self, left_bytes_before: int) -> None:
        if self.transport.get_write_buffer_size() < left_bytes_before:
            self._time_the_reader()
            return
        connected: socket.socket = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _stop_timing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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

    async def start(self, listener: socket.socket) -> None:
        """Answers who comes to the listener, from which others may take connections as well."""
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
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

    async def leave(self) -> None:
        """Takes no connection any more, and ends each that there is with its next answer.

        For a port that others go on serving: a connection that is closed while its next request is
        on the way would lose that one.
        """
        if self._server is None:
            return
        for server in self._server.servers:
            server.close()
        self._server.config.encoded_headers.append((b"connection", b"close"))
        for _ in range(round(LEAVE_LIMIT_SECONDS / LEAVE_POLL_SECONDS)):
            if not self._server.server_state.connections:
                return
            await asyncio.sleep(LEAVE_POLL_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Answers nobody any more, and closes what is open after the grace."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._task}, timeout=grace_seconds)
        if not done:
            self._server.force_exit = True
            await asyncio.wait({self._task}, timeout=FORCED_STOP_LIMIT_SECONDS)
