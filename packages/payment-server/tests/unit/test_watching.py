"""What a watcher must not miss while it waits; whole watches are in test_watch."""

import asyncio
import time
import uuid

from payment_server.domain.commands import WatchPayments
from payment_server.domain.events import BEGINNING
from payment_server.watching import _Watcher


async def test_a_stir_in_the_turn_of_the_loop_in_which_the_time_ends_counts() -> None:
    loop = asyncio.get_running_loop()
    watcher = _Watcher("default", WatchPayments(), uuid.uuid4(), BEGINNING)
    end = loop.time() + 0.01
    waiting = asyncio.create_task(watcher.is_stirred_before(end))
    await asyncio.sleep(0)  # its timer is set
    loop.call_at(end + 1e-6, watcher.stirred.set)
    time.sleep(0.02)  # noqa: ASYNC251 - so that one turn of the loop meets both
    assert await waiting


async def test_a_wait_in_vain_ends_at_its_time() -> None:
    watcher = _Watcher("default", WatchPayments(), uuid.uuid4(), BEGINNING)
    assert not await watcher.is_stirred_before(asyncio.get_running_loop().time() + 0.01)
