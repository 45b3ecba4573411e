"""Servers that are replaced one after the other, or killed, while both clients go on calling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from faults.callers import Caller, callers_of, clients, run
from faults.scale import SCALE
from faults.verdict import check_payments, settle
from faults.workers import Workers, until, workers

from payment_client import AsyncPaymentClient

RESTARTS = 2 if SCALE == 1 else 20
KILLS = SCALE
TRANSPORTS = ("grpcio",) if SCALE == 1 else ("grpcio", "native")
CONNECTIONS = 8
"""Which the kernel spreads: so nearly always either worker has some."""
CALLERS_EACH = 2
TIMEOUT_SECONDS = 20
"""What a call may take is no matter here, and other tests run beside this one."""
PACE_SECONDS = 0.2
"""Of each caller: some eighty calls a second, so that each moment of a restart meets one."""


@pytest.mark.scaled
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_call_fails_while_servers_are_replaced_or_killed(
    tmp_path: Path, merchant_id: str, transport: str
) -> None:
    with workers(tmp_path, PAYMENT_GRPC_TRANSPORT=transport) as service:
        async with under_load(service, merchant_id) as callers:
            for _ in range(RESTARTS):
                await service.replaced()
            for _ in range(KILLS):
                await service.one_killed()
                await all_have_gone_on(callers)
        assert [str(error) for caller in callers for error in caller.failures] == []
        lives = [life for caller in callers for life in caller.lives]
        async with AsyncPaymentClient(
            service.target, merchant_id=merchant_id, timeout_seconds=TIMEOUT_SECONDS
        ) as direct:
            await settle(direct, lives)
            await check_payments(direct, lives)


async def all_have_gone_on(callers: list[Caller]) -> None:
    """Waits until nobody is in the call in which they were: what a killed server has left behind is
    found within seconds, and four kills in that time would be four attempts lost."""
    before = [caller.calls for caller in callers]
    await until(lambda: all(now.calls > was for now, was in zip(callers, before, strict=True)))


@asynccontextmanager
async def under_load(service: Workers, merchant_id: str) -> AsyncIterator[list[Caller]]:
    """Callers who call meanwhile, and have ended afterwards."""
    settings = {"merchant_id": merchant_id, "timeout_seconds": TIMEOUT_SECONDS}
    async with clients([service.target] * CONNECTIONS, **settings) as made:
        callers = callers_of(made, each=CALLERS_EACH, pace_seconds=PACE_SECONDS)
        running = asyncio.create_task(run(callers))
        try:
            yield callers
        finally:
            for caller in callers:
                caller.stop()
            await running
