"""Readers of HTTP answers who take their time, at a transport that says how many bytes are left."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from payment_server.api import http_server


class Transport(asyncio.Transport):
    """A connection; each time it is asked, the next number of bytes is left to send."""

    def __init__(self, *left_bytes: int) -> None:
        self.connected = socket.socket()
        super().__init__({"socket": self.connected})
        self.left_bytes = list(left_bytes)
        self.dropped = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return self.left_bytes.pop(0)

    def abort(self) -> None:
        self.connected.close()
        self.dropped.set()


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Nobody asks."""


def connected(transport: Transport) -> Any:
    config = uvicorn.Config(_app, log_config=None)
    protocol = http_server._Protocol(config, ServerState(), {})
    protocol.connection_made(transport)
    return protocol


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "TAKE_LIMIT_SECONDS", 0.01)


async def test_a_reader_is_dropped_when_it_takes_nothing_for_the_limit() -> None:
    transport = Transport(300, 200, 200, 100, 100, 100, 0)
    connected(transport).pause_writing()
    async with asyncio.timeout(5):
        await transport.dropped.wait()
    assert transport.left_bytes == [0]


async def test_a_reader_who_has_caught_up_is_not_timed_any_more() -> None:
    transport = Transport(300, 200, 200, 200)
    protocol = connected(transport)
    protocol.pause_writing()
    protocol.resume_writing()
    await asyncio.sleep(0.05)
    assert not transport.dropped.is_set()
    transport.connected.close()
