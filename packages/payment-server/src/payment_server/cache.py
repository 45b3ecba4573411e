"""The optional Redis: connected when it is there, and never needed for a right answer."""

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

CALL_LIMIT_SECONDS: Final = 0.5  # whatever Redis could save us, waiting longer would cost more


class CacheState(StrEnum):
    """Whether there is a Redis: OFF where none was asked for, DOWN where it does not answer."""

    OFF = "off"
    UP = "up"
    DOWN = "down"


class Cache:
    """A connection to Redis, or none. `url` is None where the settings name no Redis."""

    def __init__(self, url: str | None) -> None:
        self._redis = None if url is None else _client(url)

    async def state(self) -> CacheState:
        """Asks Redis, at most twice, each time within CALL_LIMIT_SECONDS."""
        if self._redis is None:
            return CacheState.OFF
        from redis.exceptions import RedisError

        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer: %s", type(error).__name__)
            return CacheState.DOWN
        return CacheState.UP

    async def close(self) -> None:
        """Gives the connection back."""
        if self._redis is not None:
            await self._redis.aclose()


def _client(url: str) -> "Redis":
    from redis.asyncio import Redis  # 120 ms of import that only those with a Redis pay
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        socket_timeout=CALL_LIMIT_SECONDS,
        socket_connect_timeout=CALL_LIMIT_SECONDS,
        retry=Retry(NoBackoff(), 1),  # one more try: the server may have restarted since the last
    )
