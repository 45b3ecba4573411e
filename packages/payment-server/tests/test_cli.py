"""The program as people start it: real processes, real signals, real exit codes."""

import asyncio
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import grpc
import pytest
from program_under_test import (
    ANY_PORTS,
    CLEAN,
    COMMAND,
    SERVE,
    all_gone,
    dev,
    run,
)
from service_under_test import until

from payment.v1 import payment_pb2 as pb
from payment.v1 import payment_pb2_grpc

if TYPE_CHECKING:
    from payment.v1.payment_pb2_grpc import PaymentServiceAsyncStub


async def has_status(stub: "PaymentServiceAsyncStub", payment_id: str, status: str) -> bool:
    read = await stub.GetPayment(pb.GetPaymentRequest(payment_id=payment_id))
    return read.status == status


async def test_sigkill_leaves_no_postgres_and_loses_nothing(tmp_path: Path) -> None:
    slow = {"PAYMENT_SANDBOX_LATENCY_MS": "4000", "PAYMENT_PROCESSOR_TIMEOUT_MS": "2500"}
    with dev(tmp_path, **slow) as first:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{first.grpc_port}") as channel:
            stub = payment_pb2_grpc.PaymentServiceStub(channel)
            acknowledged = [
                (
                    await stub.CreatePayment(pb.CreatePaymentRequest(amount="1", customer_id="c"))
                ).payment_id
                for _ in range(20)
            ]
            under_way = acknowledged[0]
            request = pb.ProcessPaymentRequest(payment_id=under_way, idempotency_key="k")
            call = asyncio.ensure_future(stub.ProcessPayment(request))
            await until(lambda: has_status(stub, under_way, "processing"))
            family = first.descendants()
            assert any(each.name() == "postgres" for each in family)
            first.process.kill()
            assert all_gone(family, 10)
            with pytest.raises(grpc.aio.AioRpcError):
                await call
    with dev(tmp_path) as second:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{second.grpc_port}") as channel:
            stub = payment_pb2_grpc.PaymentServiceStub(channel)
            listed = await stub.ListPayments(pb.ListPaymentsRequest())
            assert {each.payment_id for each in listed.payments} == set(acknowledged)
            await until(lambda: has_status(stub, under_way, "captured"))
            answer = await stub.ProcessPayment(request)
            assert (answer.status, answer.payment.attempts) == ("captured", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_within_three_seconds(tmp_path: Path, number: int) -> None:
    with dev(tmp_path) as service:
        family = service.descendants()
        service.process.send_signal(number)
        assert service.process.wait(3) == 0
        assert all_gone(family, 1)


def test_a_second_start_on_the_same_data_names_the_holder(tmp_path: Path) -> None:
    with dev(tmp_path) as service:
        second = run("dev", f"--data-dir={tmp_path / 'data'}", "--grpc-port=0", "--http-port=0")
        assert second.returncode == 1
        assert str(service.process.pid) in second.stderr
        assert "Traceback" not in second.stderr


@pytest.mark.parametrize("side", ["GRPC", "HTTP"])
def test_a_port_that_is_taken_is_named_with_its_setting(side: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"PAYMENT_GRPC_PORT": "0", "PAYMENT_HTTP_PORT": "0"}
        done = run("dev", "--ephemeral", **{**ports, f"PAYMENT_{side}_PORT": str(port)})
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert f"PAYMENT_{side}_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "PAYMENT_PROCESSOR"),
        ({"PAYMENT_PROCESSOR": "sandbox"}, "DATABASE_URL"),
        ({"PAYMENT_PROCESSOR": "stripe"}, "must be one of sandbox"),
        ({"PAYMENT_GRPC_PORT": "many"}, "PAYMENT_GRPC_PORT"),
        ({"DATABASE_URL": "mysql://x", "PAYMENT_PROCESSOR": "sandbox"}, "postgresql://"),
        (
            {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "PAYMENT_PROCESSOR": "sandbox"},
            "cannot connect",
        ),
        (
            {
                "DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/x?sslmode=bogus",
                "PAYMENT_PROCESSOR": "sandbox",
            },
            "the driver cannot use the database's URL",
        ),
    ],
)
def test_serve_refuses_to_start_with_one_clear_line(environment: dict[str, str], said: str) -> None:
    done = run("serve", **{**ANY_PORTS, **environment})
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_refuses_a_database_that_loses_writes(database_url: str) -> None:
    separator = "&" if "?" in database_url else "?"
    done = run(
        "serve",
        DATABASE_URL=f"{database_url}{separator}options=-c%20synchronous_commit%3Doff",
        PAYMENT_PROCESSOR="sandbox",
        PAYMENT_GRPC_PORT="0",
        PAYMENT_HTTP_PORT="0",
    )
    assert done.returncode == 1
    assert "synchronous_commit = off" in done.stderr


def test_migrate_says_when_there_is_nothing_to_do(database_url: str) -> None:
    done = run("migrate", DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (0, "the schema is up to date\n")


def test_doctor_finds_nothing_wrong_where_nothing_is(database_url: str) -> None:
    done = run("doctor", DATABASE_URL=database_url, PAYMENT_PROCESSOR="sandbox")
    assert done.returncode == 0
    assert "PROBLEM" not in done.stdout


def test_doctor_says_what_is_wrong() -> None:
    done = run("doctor", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stdout.count("PROBLEM") == 2


def test_healthcheck_asks_the_running_service(tmp_path: Path) -> None:
    with dev(tmp_path) as service:
        assert run("healthcheck", PAYMENT_HTTP_PORT=str(service.http_port)).returncode == 0
    assert run("healthcheck", PAYMENT_HTTP_PORT=str(service.http_port)).returncode == 1


def test_config_hides_passwords() -> None:
    done = run("config", DATABASE_URL="postgresql://me:secret@host/db")
    assert "postgresql://me:***@host/db" in done.stdout
    assert "secret" not in done.stdout


def test_version_is_the_packages() -> None:
    assert run("version").stdout == "0.1.0\n"


def test_an_address_that_is_none_of_ours_is_told_as_such(database_url: str) -> None:
    done = run("serve", **{**SERVE, "DATABASE_URL": database_url, "PAYMENT_HOST": "203.0.113.5"})
    assert done.returncode == 1
    assert "203.0.113.5" in done.stderr
    assert "PAYMENT_HOST" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_signal_is_heeded_while_the_service_starts(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE schema_lease SET until = now() + interval '1 minute'")

    async def waits_for_the_lease() -> bool:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'payment-server'"
                " AND datname = current_database() AND query LIKE '%UPDATE schema_lease%'"
            )
        )

    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "dev", "--grpc-port=0", "--http-port=0"),
        env={**CLEAN, "DATABASE_URL": database_url},
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until(waits_for_the_lease)
    await connection.close()
    assert process.returncode is None
    process.terminate()
    async with asyncio.timeout(3):
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("postgresql://me:p@ss@host/db", ("p@ss", "ss@")),
        ("postgresql://host/db?user=me&password=secret", ("secret",)),
    ],
)
def test_no_form_of_password_is_shown(url: str, secrets: tuple[str, ...]) -> None:
    done = run("config", DATABASE_URL=url)
    assert done.returncode == 0
    assert not any(secret in done.stdout for secret in secrets)


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_url_that_cannot_be_read_is_refused_without_quoting_it(name: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "postgresql"
    done = run("doctor", **{name: f"{scheme}://me:topsecret/ss@host:1/db"})
    assert done.returncode == 1
    assert name in done.stderr
    assert "topsecret" not in done.stderr
