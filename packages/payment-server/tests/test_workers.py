"""Several processes on the same ports, as people start them: all of them answer, whoever dies is
followed, a rolling restart refuses nobody for good, and no worker outlives its supervisor."""

import asyncio
import signal
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import httpx
import psutil
from program_under_test import SERVE, Running, all_gone, run, running_program
from service_under_test import NO_TLS, until

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc
from payment_server.store.database import Database

WORKERS = 2
CHANNELS = 12  # a connection each, which the kernel spreads; all on one worker: once in 2,048 runs
RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""What is said by a server that stops, or for one that is gone: the same key may be sent again."""
RETRY_SECONDS = 0.05
CALL_LIMIT_SECONDS = 20.0
OTHERS_LIMIT_SECONDS = 90.0  # two starts under load, on a machine that has other things to do
PACE_SECONDS = 0.03  # of each caller: some hundred calls a second are load enough
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200))


class Service(Running):
    """Workers, and the supervisor that people see."""

    def workers(self) -> dict[int, psutil.Process]:
        """Those that are alive, by their process id."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "payment_server.cli" in child.cmdline():
                    found[child.pid] = child
        return found

    async def all_have_callers(self) -> bool:
        """Whether each worker has a connection that came by gRPC."""
        return all(
            any(
                each.status == psutil.CONN_ESTABLISHED and each.laddr.port == self.grpc_port
                for each in worker.net_connections("tcp")
            )
            for worker in self.workers().values()
        )

    async def until_others(self, before: set[int]) -> None:
        """Waits until none of those is left, and there are as many as there should be."""

        async def are_others() -> bool:
            now = self.workers().keys()
            return len(now) == WORKERS and not now & before

        await until(are_others, OTHERS_LIMIT_SECONDS)


@contextmanager
def workers(folder: Path, command: str, *arguments: str, **environment: str) -> Iterator[Service]:
    options = (f"--workers={WORKERS}", *arguments)
    with running_program(folder, command, *options, **environment) as program:
        yield Service(program.process, program.grpc_port, program.http_port)


@dataclass
class Load:
    """Callers who never rest: on connections that stay, on new ones, and by HTTP."""

    service: Service
    by_http: bool = False
    keys: list[str] = field(default_factory=list)
    http: Counter[int] = field(default_factory=Counter)
    is_over: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as callers:
            for _ in range(CHANNELS):
                callers.create_task(self._on_one_channel())
            callers.create_task(self._on_new_channels())
            if self.by_http:
                callers.create_task(self._by_http())

    async def _on_one_channel(self) -> None:
        async with self._channel() as channel:
            while not self.is_over:
                await self._create(channel)

    async def _on_new_channels(self) -> None:
        while not self.is_over:
            async with self._channel() as channel:
                await self._create(channel)

    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(
            f"127.0.0.1:{self.service.grpc_port}", options=OWN_CONNECTION
        )

    async def _create(self, channel: grpc.aio.Channel) -> None:
        """Succeeds, with the same key as often as it takes."""
        key = str(uuid.uuid4())
        request = pb.CreatePaymentRequest(amount="1.00", customer_id="load", idempotency_key=key)
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        await patiently(lambda: stub.CreatePayment(request, timeout=CALL_LIMIT_SECONDS))
        self.keys.append(key)
        await asyncio.sleep(PACE_SECONDS)

    async def _by_http(self) -> None:
        url = f"http://127.0.0.1:{self.service.http_port}"
        while not self.is_over:
            # A connection each, or one could be closed, for being idle, under its next request.
            async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as client:
                reply = await client.get("/v1/payments", params={"page_size": 1})
                self.http[reply.status_code] += 1
                await asyncio.sleep(PACE_SECONDS)


@asynccontextmanager
async def under(load: Load) -> AsyncIterator[Load]:
    """Runs the load meanwhile; raises what failed of it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        yield load
        load.is_over = True


async def patiently(call: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(CALL_LIMIT_SECONDS):
        while True:
            try:
                await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


async def test_a_rolling_restart_and_kills_under_load_fail_no_call_and_repeat_none(
    tmp_path: Path, database_url: str, database: Database
) -> None:
    settings = {"PAYMENT_PROCESSOR_TIMEOUT_MS": "500", **SERVE, "DATABASE_URL": database_url}
    with workers(tmp_path, "serve", **settings) as service:
        first = set(service.workers())
        async with under(Load(service, by_http=True)) as restarted:
            await until(service.all_have_callers)
            service.process.send_signal(signal.SIGHUP)
            await service.until_others(first)
        async with under(Load(service)) as killed:
            await leave_an_outcome_outstanding(service)
            for victim in service.workers().values():
                victim.kill()
                await service.until_others({victim.pid})
                await until(service.all_have_callers)
        await until(lambda: nothing_is_outstanding(database))
        family = [*service.workers().values()]
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert all_gone(family, 0)
    rows = await database.read("SELECT idempotency_key FROM idempotency WHERE operation_id IS NULL")
    assert sorted(row[0] for row in rows) == sorted(restarted.keys + killed.keys)
    assert restarted.http.keys() == {200}


async def leave_an_outcome_outstanding(service: Service) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = payment_pb2_grpc.PaymentServiceStub(channel)
        request = pb.CreatePaymentRequest(
            amount="1", customer_id="c", payment_method="card_timeout"
        )
        payment_id = (await stub.CreatePayment(request)).payment_id
        answer = await stub.ProcessPayment(pb.ProcessPaymentRequest(payment_id=payment_id))
        assert answer.status == "processing"


async def nothing_is_outstanding(database: Database) -> bool:
    rows = await database.read("SELECT status FROM operations")
    return [row[0] for row in rows] == ["succeeded"]


async def test_sigkill_of_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    with workers(tmp_path, "dev", f"--data-dir={tmp_path / 'data'}") as service:
        family = psutil.Process(service.process.pid).children(recursive=True)
        assert any(each.name() == "postgres" for each in family)
        assert len(service.workers()) == WORKERS
        service.process.kill()
        assert all_gone(family, 10)


def test_a_port_that_somebody_shares_is_taken_all_the_same() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {**SERVE, "PAYMENT_GRPC_PORT": port}
        done = run("dev", "--ephemeral", "--workers=2", **ports)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr
