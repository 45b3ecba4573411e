"""The optional Redis: connected when it is there, and never needed for a right answer.

All that is said to Redis is said here, and nobody waits for an answer beyond a limit. `is_up` tells
at once whether it is worth asking; one probe finds out when it is again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from payment_server.domain.rate import Rate

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

CALL_LIMIT_SECONDS: Final = 0.5
"""For connections, and for what no call waits for: a Redis that takes longer is as good as away."""

QUICK_LIMIT_SECONDS: Final = 0.05
"""For what calls wait for. A Redis nearby needs a hundredth of it; the rest is for a busy loop."""

PROBE_PAUSE_SECONDS: Final = 1.0  # so long after its return, at most, Redis is of use again
QUIET_SECONDS: Final = 5.0  # a subscription that is silent for so long is asked whether it lives

CHANNEL: Final = "payment-server:changes"
RATE_KEYS: Final = "{payment-server:rate}"
"""One hash tag: a cluster keeps all buckets together, as one script needs them."""
HEAVIEST_CALL: Final = 1_000  # the payments of a batch
HEAVY_CALLS: Final = 64
"""As many processes may let in such a call each, before any of them knows of the others'."""

_PROBE: Final = """
redis.call('SET', KEYS[1], '', 'PX', 1)
redis.call('PUBLISH', ARGV[1], '')
"""
"""All that it is needed for: one that is out of memory, or a mere copy, or forbids scripts answers
a PING all the same. Listeners are told nothing."""

_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local taken = {}
for number, key in ipairs(KEYS) do
  local spent, wanted = tonumber(ARGV[2 + 2 * number]), tonumber(ARGV[3 + 2 * number])
  local stored = tonumber(redis.pcall('GET', key)) or now
  local paid_at = math.min(math.max(now, stored), now + longest) + spent * interval
  local room = math.floor((tolerance + 1 - (paid_at - now)) / interval) + 1
  local granted = math.max(0, math.min(room, wanted))
  paid_at = paid_at + granted * interval
  if paid_at > now then
    redis.call('SET', key, string.format('%.3f', paid_at), 'PX', math.ceil((paid_at - now) / 1000))
  end
  taken[2 * number - 1], taken[2 * number] = granted, math.ceil(paid_at - now)
end
return taken
"""
"""Rate limits as `domain.rate` has them, by Redis' own clock, in microseconds: a Lua number has
hardly finer ones since 1970, so one is given away. A clock that was set back refuses nobody for
longer than HEAVY_CALLS would. What is found there and is no number was not left there by this."""

Answer = TypeVar("Answer")


class CacheState(StrEnum):
    """Whether there is a Redis: OFF where none was asked for, DOWN where it is of no use."""

    OFF = "off"
    UP = "up"
    DOWN = "down"


class RedisAway(Exception):
    """Redis does not answer, or not in time, or refuses."""


class Ask(msgspec.Struct, frozen=True):
    """Of a merchant's bucket: calls that were let in already, and how many more are wanted."""

    merchant_id: str
    spent: int
    wanted: int


class Taken(msgspec.Struct, frozen=True):
    """How many calls more may be let in, and how long from now all of them are paid off."""

    granted: int
    owed_ns: int


class Cache:
    """Connections to Redis, or none. `url` is None where the settings name no Redis."""

    def __init__(self, url: str | None) -> None:
        self._redis = None if url is None else _client(url)
        self._is_up: bool | None = None

    @property
    def is_up(self) -> bool:
        """Whether Redis has failed nobody since `probe` found it of use; False before that."""
        return self._is_up is True

    async def state(self) -> CacheState:
        """Asks Redis, within CALL_LIMIT_SECONDS: one may be UP and too slow for calls."""
        if self._redis is None:
            return CacheState.OFF
        try:
            await self._asked(_probed, CALL_LIMIT_SECONDS)
        except RedisAway:
            return CacheState.DOWN
        return CacheState.UP

    async def probe(self) -> None:
        """Looks whether Redis does what it is needed for, and as quickly as calls need it; to be
        called again and again."""
        if self._redis is None:
            return
        try:
            if not self.is_up:
                # It takes longer than calls wait, and does not prove that calls need not.
                await self._asked(lambda redis: redis.ping(), CALL_LIMIT_SECONDS)
            await self._asked(_probed, QUICK_LIMIT_SECONDS)
        except RedisAway:
            return  # noted, and told to all who ask
        self._note(is_up=True)

    async def take(self, rate: Rate, asks: Sequence[Ask]) -> list[Taken]:
        """Charges the buckets that all processes share, in one round trip. Raises RedisAway."""
        keys = [f"{RATE_KEYS}:{each.merchant_id}" for each in asks]
        longest_ns = rate.tolerance_ns + HEAVY_CALLS * HEAVIEST_CALL * rate.interval_ns
        limits = [each / 1000 for each in (rate.interval_ns, rate.tolerance_ns, longest_ns)]
        numbers = [number for each in asks for number in (each.spent, each.wanted)]
        # With its text each time: there is nothing to load, and nothing to lose in a restart.
        reply: list[int] = await self._asked(
            lambda redis: redis.eval(_TAKE, len(keys), *keys, *limits, *numbers),
            QUICK_LIMIT_SECONDS,
        )
        return [
            Taken(granted, owed_us * 1000)
            for granted, owed_us in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def publish(self, text: str) -> int:
        """Tells every process that listens; returns how many did. Raises RedisAway."""
        listeners: int = await self._asked(
            lambda redis: redis.publish(CHANNEL, text), QUICK_LIMIT_SECONDS
        )
        return listeners

    async def published(self) -> AsyncGenerator[str, None]:
        """What is published from now on. Raises RedisAway where that cannot be told any more."""
        if self._redis is None:
            raise RedisAway
        from redis.exceptions import RedisError

        pubsub = self._redis.pubsub()
        try:
            async with asyncio.timeout(CALL_LIMIT_SECONDS):
                await pubsub.subscribe(CHANNEL)
            is_asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET_SECONDS)
                if message is None:
                    if is_asked:
                        raise RedisAway
                    async with asyncio.timeout(CALL_LIMIT_SECONDS):
                        await pubsub.ping()
                is_asked = message is None
                if message is not None and message["type"] == "message" and message["data"]:
                    yield message["data"].decode()
        except (RedisError, OSError, TimeoutError) as error:
            raise RedisAway from error
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves some untyped

    async def close(self) -> None:
        """Gives the connections back."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _asked(
        self, command: "Callable[[Redis], Awaitable[Any]]", limit_seconds: float
    ) -> Any:
        """The answer; or RedisAway, and a note of it. That one command is answered does not prove
        that others are: only the probe notes a return."""
        if self._redis is None:
            raise RedisAway
        from redis.exceptions import RedisError, ResponseError

        try:
            async with asyncio.timeout(limit_seconds):
                return await command(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            verb = "refuses" if isinstance(error, ResponseError) else "does not answer"
            self._note(is_up=False, why=f"{verb}: {type(error).__name__}")
            raise RedisAway from error

    def _note(self, *, is_up: bool, why: str = "") -> None:
        """Logs a change, once."""
        if is_up and self._is_up is False:
            log.info("Redis answers again")
        if not is_up and self._is_up is not False:
            log.warning("Redis %s", why)
        self._is_up = is_up


def _probed(redis: "Redis") -> Awaitable[Any]:
    return redis.eval(_PROBE, 1, f"{RATE_KEYS}:", CHANNEL)


def _client(url: str) -> "Redis":
    from redis.asyncio import Redis  # 120 ms of import that only those with a Redis pay
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        # No limits of its own: for them it uses asyncio.wait_for, which before Python 3.12 can
        # swallow a cancellation. Whoever asks has one.
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 1),  # one more try: the server may have restarted since the last
    )
