"""A worker that makes way: who does not answer, or never ends, does not hold it up."""

import asyncio
import os
import time

import grpc
import pytest
from databases import execute, name_of
from grpc_health.v1 import health_pb2
from service_under_test import settings

from payment_server.api.listening import held_port, listening_socket, port_of
from payment_server.api.transport import Transport
from payment_server.app import Databases, Plan, sandbox_of, serving

HOST = "127.0.0.1"
GRACE_SECONDS = 20.0
SOON_SECONDS = 8.0  # of a loaded machine; the grace would be seen


@pytest.mark.parametrize("transport", Transport)
async def test_a_health_watch_does_not_use_up_the_grace_of_a_worker_that_leaves(
    database_url: str, transport: Transport
) -> None:
    with held_port(HOST, 0) as held, listening_socket(HOST, 0) as listener:
        port = port_of(held)
        plan = Plan(
            settings=settings(
                database_url,
                {"PAYMENT_GRPC_PORT": str(port), "PAYMENT_GRPC_TRANSPORT": transport},
            ),
            embedded=False,
            migrate=False,
            grace_seconds=GRACE_SECONDS,
            http_listener=os.dup(listener.fileno()),
        )
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        databases = Databases(database_url, database_url, never)
        makes_way = asyncio.Event()
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            async with serving(plan, databases, sandbox_of(plan.settings), makes_way):
                watch = channel.unary_stream(
                    "/grpc.health.v1.Health/Watch",
                    request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                    response_deserializer=health_pb2.HealthCheckResponse.FromString,
                )(health_pb2.HealthCheckRequest())
                await watch.read()
                makes_way.set()
                began = time.monotonic()
            assert time.monotonic() - began < SOON_SECONDS


async def test_a_service_starts_on_a_database_that_only_reads(database_url: str) -> None:
    name = name_of(database_url)
    await execute(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    plan = Plan(
        settings=settings(database_url, {}), embedded=False, migrate=False, grace_seconds=0.5
    )
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    databases = Databases(database_url, database_url, never)
    async with serving(plan, databases, sandbox_of(plan.settings)) as address:
        assert address.http_port
