"""A TCP proxy that knows where in HTTP/2 a call begins and ends, and strikes there.

It changes no byte that it forwards. What it does to a call it does to the whole connection, as a
network would: calls beside it are cut off, or wait, too.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from random import Random
from typing import Any, Final, NamedTuple, NoReturn

PREFACE_BYTES: Final = 24
HEADER_BYTES: Final = 9
DATA, HEADERS, RST_STREAM = 0x0, 0x1, 0x3
END_STREAM: Final = 0x1
NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Closing then sends RST."""
GOODBYE_LIMIT_SECONDS: Final = 1.0
"""For the other end to notice that the connection is closed; it takes a millisecond."""


class How(Enum):
    """What becomes of the connection."""

    CUT = "cut"  # FIN to both ends
    RESET = "reset"  # RST to both ends
    PAUSE = "pause"  # nothing is forwarded for a while, and then all of it
    OUTAGE = "outage"  # RST to both ends, and to whoever connects for a while


class Where(Enum):
    """At which point of a call. The last two are sure to come after its effect, if it has any."""

    INSTEAD_OF_REQUEST = "instead of the request"
    BEHIND_REQUEST = "behind the request"
    INSTEAD_OF_REPLY = "instead of the reply"
    IN_REPLY = "in the reply"


class Fault(NamedTuple):
    how: How
    where: Where


FAULTS: Final = tuple(Fault(*each) for each in product(How, Where))
WEIGHTS: Final = {How.CUT: 1, How.RESET: 1, How.PAUSE: 4, How.OUTAGE: 8}
"""What takes its time, or meets many calls, is seldom."""


@dataclass
class Schedule:
    """Which attempts are struck, and how: what was seen least comes next, so that nothing is left
    out."""

    dice: Random
    share: float
    """Of the attempts."""
    pauses_seconds: tuple[float, ...]
    outage_seconds: float
    hits: Counter[Fault] = field(default_factory=Counter)
    bystanders: int = 0
    """Attempts that were under way on a connection that ended because of another one."""

    def next(self) -> Fault | None:
        """For an attempt that begins."""
        return min(FAULTS, key=self._turn) if self.dice.random() < self.share else None

    def pause_seconds(self) -> float:
        return self.dice.choice(self.pauses_seconds)

    def _turn(self, fault: Fault) -> tuple[int, float]:
        return self.hits[fault] * WEIGHTS[fault.how], self.dice.random()


@dataclass
class Proxy:
    """Listens at a port of its own, and forwards to another one of this machine."""

    target_port: int
    schedule: Schedule
    is_out_until: float = 0.0
    """By the loop's clock."""
    _serving: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where clients find it."""
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            for task in self._serving:
                task.cancel()
            ended = await asyncio.gather(*self._serving, return_exceptions=True)
        assert {type(each) for each in ended} <= {type(None), asyncio.CancelledError}, ended

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(End(reader, writer)))
        serving.add_done_callback(lambda _: writer.transport.abort())
        self._serving.append(serving)

    async def _serve(self, client: "End") -> None:
        if now() < self.is_out_until:
            client.reset()
            return
        try:
            service = End(*await asyncio.open_connection("127.0.0.1", self.target_port))
        except OSError:  # nobody listens there
            client.reset()
            return
        try:
            await Connection(self, client, service).serve()
        finally:
            service.writer.transport.abort()


class Frame(NamedTuple):
    kind: int
    stream: int
    ends_stream: bool
    raw: bytes


class End(NamedTuple):
    """The connection to one of the two."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def frame(self) -> Frame:
        """The next one. Raises IncompleteReadError where there is none."""
        header = await self.reader.readexactly(HEADER_BYTES)
        payload = await self.reader.readexactly(int.from_bytes(header[:3]))
        kind, flags = header[3], header[4]
        is_last = kind in (DATA, HEADERS) and bool(flags & END_STREAM)
        stream = int.from_bytes(header[5:]) & 0x7FFF_FFFF
        return Frame(kind, stream, is_last or kind == RST_STREAM, header + payload)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.writer.transport.abort()

    async def finish(self) -> None:
        """FIN; what still comes is taken and thrown away, or the kernel would make it a RST."""
        with suppress(OSError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(GOODBYE_LIMIT_SECONDS):
                while await self.reader.read(65_536):
                    pass


class Ended(Exception):
    """The connection is to end in this way."""

    def __init__(self, how: How) -> None:
        self.how = how


class Connection:
    """One connection of a client, and its own one to the service."""

    def __init__(self, proxy: Proxy, client: End, service: End) -> None:
        self._proxy = proxy
        self._schedule = proxy.schedule
        self._client = client
        self._service = service
        self._under_way: dict[int, Fault | None] = {}
        """What is to happen to each attempt whose request has begun, by stream."""
        self._silent_until = 0.0

    async def serve(self) -> None:
        how = How.RESET  # where the proxy itself ends
        pumps = [asyncio.create_task(_ended(each)) for each in (self._requests(), self._replies())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            how = next(each.result() for each in pumps if each.done())
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            if how is How.OUTAGE:
                self._proxy.is_out_until = now() + self._schedule.outage_seconds
            if how is How.CUT:
                await asyncio.gather(self._client.finish(), self._service.finish())
            else:
                self._client.reset()
                self._service.reset()

    async def _requests(self) -> NoReturn:
        await self._service.send(await self._client.reader.readexactly(PREFACE_BYTES))
        while True:
            frame = await self._client.frame()
            if frame.kind == DATA and frame.stream not in self._under_way:
                self._under_way[frame.stream] = self._schedule.next()
                await self._strike(frame.stream, Where.INSTEAD_OF_REQUEST)
            await self._silence_is_over()
            await self._service.send(frame.raw)
            if frame.kind == RST_STREAM:  # the client has given up
                self._under_way.pop(frame.stream, None)
            elif frame.ends_stream:
                await self._strike(frame.stream, Where.BEHIND_REQUEST)

    async def _replies(self) -> NoReturn:
        while True:
            frame = await self._service.frame()
            await self._silence_is_over()
            if frame.kind == HEADERS:
                await self._strike(frame.stream, Where.INSTEAD_OF_REPLY)
            half = len(frame.raw) // 2
            await self._client.send(frame.raw[:half])
            if frame.kind == DATA or frame.ends_stream:
                await self._strike(frame.stream, Where.IN_REPLY)
            await self._client.send(frame.raw[half:])
            if frame.ends_stream:
                self._under_way.pop(frame.stream, None)

    async def _strike(self, stream: int, where: Where) -> None:
        """Does what is to happen to the attempt there, if anything. May raise Ended."""
        fault = self._under_way.get(stream)
        if fault is None or fault.where is not where:
            return
        self._under_way[stream] = None
        self._schedule.hits[fault] += 1
        if fault.how is not How.PAUSE:
            self._schedule.bystanders += len(self._under_way) - 1
            raise Ended(fault.how)
        pause_seconds = self._schedule.pause_seconds()
        if where is Where.BEHIND_REQUEST:  # in both directions
            self._silent_until = now() + pause_seconds
        await asyncio.sleep(pause_seconds)

    async def _silence_is_over(self) -> None:
        if now() < self._silent_until:
            await asyncio.sleep(self._silent_until - now())


def now() -> float:
    return asyncio.get_running_loop().time()


async def _ended(pump: Coroutine[Any, Any, NoReturn]) -> How:
    """Runs it to its end, and says how the connection is to end then."""
    try:
        await pump
    except Ended as ended:
        return ended.how
    except (OSError, asyncio.IncompleteReadError):  # one of the two has gone
        return How.CUT
