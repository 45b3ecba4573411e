"""How a service lets nobody in any more, and a worker leaves its ports to those who stay."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from payment_server.api.gate import Gate
from payment_server.api.rpc_server import RpcServer

if TYPE_CHECKING:
    from payment_server.api.http_server import HttpServer

log = logging.getLogger(__name__)

CLOSE_GRACE_SECONDS: Final = 0.5
"""For answers on their way out; streams that never end, such as health watches, are cut then."""


async def leave(
    http: "HttpServer", rpc: RpcServer, gate: Gate, grace_seconds: float, *, to_others: bool
) -> float:
    """Lets nobody in any more; returns what is left of the grace for those inside.

    Where there are others, callers are sent to them before anybody is refused. Whatever fails of
    that is logged, since the rest of the end has to follow.
    """
    now = asyncio.get_running_loop().time
    ends_at = now() + grace_seconds
    if to_others:
        try:
            await _leave_to_others(http, rpc, gate, ends_at)
        except Exception:
            log.exception("callers were not sent to the other workers")
    gate.close()
    await rpc.set_serving(False)
    return max(0.0, ends_at - now())


async def _leave_to_others(http: "HttpServer", rpc: RpcServer, gate: Gate, ends_at: float) -> None:
    now = asyncio.get_running_loop().time
    await http.leave()
    await rpc.leave(max(0.0, ends_at - now()))
    gate.close()
    await gate.emptied(max(0.0, ends_at - now()))
    await rpc.stop(CLOSE_GRACE_SECONDS)
