"""How often each merchant may call, counted here or, through Redis, by all processes together.

With Redis a process takes calls from the shared bucket before it lets them in, many at a time where
the rate is high, so that most calls wait for nobody. Without it, or while it is away, each process
counts alone, from what it knows by then. No answer depends on Redis, and no call waits for it any
longer than WAIT_LIMIT_SECONDS.
"""

import asyncio
import time
from collections import deque
from typing import Final

from payment_server.cache import Ask, Cache, RedisAway, Taken
from payment_server.domain.errors import RateLimited
from payment_server.domain.rate import Rate

LEAD_SECONDS: Final = 0.02
"""A process takes so much of a second's calls before they come: fifty round trips a second then
serve any rate. What the processes hold is what all of them together may let in too many."""

WAIT_LIMIT_SECONDS: Final = 0.1  # for two round trips, of which the first is another one's

ASKS_LIMIT: Final = 256  # in one round trip: Redis does nothing else meanwhile, for about 1 ms

MERCHANTS_LIMIT: Final = 16_384
"""Remembered at least, and at most twice as many, 10 MB. Sandboxes let callers name merchants as
they like; whoever is forgotten has a fresh bucket, and has most likely had a full one."""


class Limits:
    """Asked for every call, before anything else is done for it."""

    def __init__(self, rate: Rate, cache: Cache) -> None:
        self._rate = rate
        self._cache = cache
        self._lead = int(LEAD_SECONDS * rate.per_second)
        self._recent: dict[str, _Bucket] = {}
        self._before: dict[str, _Bucket] = {}
        self._asked: deque[_Bucket] = deque()
        self._is_asked = asyncio.Event()

    async def admit(self, merchant_id: str) -> None:
        """Counts a call of the merchant. Raises RateLimited where it is one too many."""
        bucket = self._bucket_of(merchant_id)
        wait_ns = await self._shared(bucket) if self._cache.is_up else self._alone(bucket)
        if wait_ns:
            raise RateLimited(per_second=self._rate.per_second, wait_ns=wait_ns)

    def charge(self, merchant_id: str, calls: int) -> None:
        """Counts so many calls more for one that was let in: those that come next wait for it.

        Raises RateLimited where such a one was charged since it was let in, or of many that come
        together each would count as a single call.
        """
        bucket, now_ns = self._bucket_of(merchant_id), time.monotonic_ns()
        wait_ns = self._rate.wait_ns(self._paid_at_ns(bucket, now_ns), now_ns)
        # The last call of a burst owes one interval itself; one more for what clocks round.
        if wait_ns > 2 * self._rate.interval_ns:
            raise RateLimited(per_second=self._rate.per_second, wait_ns=wait_ns)
        if self._cache.is_up:
            bucket.held -= calls
            self._ask(bucket)
        else:
            bucket.paid_at_ns = self._rate.charged(bucket.paid_at_ns, now_ns, calls)

    async def share(self) -> None:
        """Asks Redis for what is wanted, all at once; waits first until something is. To be called
        again and again."""
        await self._is_asked.wait()
        buckets = [self._asked.popleft() for _ in range(min(ASKS_LIMIT, len(self._asked)))]
        if not self._asked:
            self._is_asked.clear()
        asks = [self._ask_of(each) for each in buckets]
        try:
            taken = await self._cache.take(self._rate, asks)
        except RedisAway:
            for each in buckets:
                each.answer_all(None)
            return
        for bucket, ask, found in zip(buckets, asks, taken, strict=True):
            self._hear(bucket, ask, found)

    async def _shared(self, bucket: "_Bucket") -> int:
        """0 where the call is let in; or how long it has to wait for that."""
        if bucket.held > 0:
            bucket.held -= 1
            if bucket.held < self._lead // 2:
                self._ask(bucket)
            return 0
        # Others may have taken more since Redis said this, but nobody gives back.
        now_ns = time.monotonic_ns()
        if wait_ns := self._rate.wait_ns(self._paid_at_ns(bucket, now_ns), now_ns):
            return wait_ns
        self._ask(bucket)
        found = await bucket.answer()
        return self._alone(bucket) if found is None else found

    def _alone(self, bucket: "_Bucket") -> int:
        now_ns = time.monotonic_ns()
        if not self._cache.is_up:
            self._settle(bucket, now_ns)
        wait_ns = self._rate.wait_ns(self._paid_at_ns(bucket, now_ns), now_ns)
        if not wait_ns:
            bucket.paid_at_ns = self._rate.charged(bucket.paid_at_ns, now_ns)
        return wait_ns

    def _ask(self, bucket: "_Bucket") -> None:
        if not bucket.is_asked:
            bucket.is_asked = True
            self._asked.append(bucket)
            self._is_asked.set()

    def _ask_of(self, bucket: "_Bucket") -> Ask:
        """What Redis is told and asked for. It is told once: where no answer comes, this process
        remembers what was spent, and Redis may have been told of it or not."""
        bucket.is_asked = False
        ask = bucket.ask(self._lead)
        self._settle(bucket, time.monotonic_ns())
        return ask

    def _settle(self, bucket: "_Bucket", now_ns: int) -> None:
        """From now on what was spent is owed here, and nobody is told of it any more."""
        bucket.paid_at_ns = self._paid_at_ns(bucket, now_ns)
        bucket.held = max(0, bucket.held)

    def _paid_at_ns(self, bucket: "_Bucket", now_ns: int) -> int:
        """When all is paid off, with what Redis was not told yet."""
        if bucket.held >= 0:
            return bucket.paid_at_ns
        return self._rate.charged(bucket.paid_at_ns, now_ns, -bucket.held)

    def _hear(self, bucket: "_Bucket", ask: Ask, taken: Taken) -> None:
        now_ns = time.monotonic_ns()
        bucket.paid_at_ns = now_ns + taken.owed_ns
        bucket.held += taken.granted
        bucket.let_in()
        if not bucket.waiting:
            return
        if taken.granted < ask.wanted:
            bucket.answer_all(max(1, self._rate.wait_ns(bucket.paid_at_ns, now_ns)))
        else:
            self._ask(bucket)  # for those who came meanwhile

    def _bucket_of(self, merchant_id: str) -> "_Bucket":
        bucket = self._recent.get(merchant_id)
        if bucket is None:
            bucket = self._before.pop(merchant_id, None) or _Bucket(merchant_id)
            if len(self._recent) >= MERCHANTS_LIMIT:
                self._before, self._recent = self._recent, {}
            self._recent[merchant_id] = bucket
        return bucket


class _Bucket:
    """A merchant's calls: what is owed for them, and what is held of the shared bucket."""

    __slots__ = ("held", "is_asked", "merchant_id", "paid_at_ns", "waiting")

    def __init__(self, merchant_id: str) -> None:
        self.merchant_id = merchant_id
        self.paid_at_ns = 0
        """By the monotonic clock; as Redis said it last, where Redis is asked."""
        self.held = 0
        """Calls that are paid for in Redis and were not made yet; below 0, calls that were made and
        that Redis was not told of yet."""
        self.waiting: list[asyncio.Future[int | None]] = []
        self.is_asked = False

    def ask(self, lead: int) -> Ask:
        """What Redis is to be asked for: for all who wait, and the lead."""
        wanted = len(self.waiting) + lead - max(0, self.held)
        return Ask(self.merchant_id, max(0, -self.held), max(0, wanted))

    async def answer(self) -> int | None:
        """0 where a call is let in; how long it has to wait; or None where Redis did not say."""
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        try:
            async with asyncio.timeout(WAIT_LIMIT_SECONDS):
                return await answer
        except TimeoutError:
            return None

    def let_in(self) -> None:
        """Those who wait, in their order, while any call is held."""
        answered = 0
        while self.held > 0 and answered < len(self.waiting):
            self.held -= _told(self.waiting[answered], 0)
            answered += 1
        del self.waiting[:answered]

    def answer_all(self, wait_ns: int | None) -> None:
        for each in self.waiting:
            _told(each, wait_ns)
        self.waiting.clear()


def _told(answer: asyncio.Future[int | None], wait_ns: int | None) -> bool:
    """Whether anybody was still waiting for it."""
    if answer.done():
        return False
    answer.set_result(wait_ns)
    return True
