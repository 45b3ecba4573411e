"""`make dev`: payment-server on its embedded PostgreSQL and requestor-mock, side by side.

Starts both, tells their log lines apart, says when and where they serve, and ends both when one
of them ends. It restarts nothing and leaves nothing running, even when it is killed. It needs the
standard library alone and the environment (.venv) that holds both packages.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

READY_LIMIT_SECONDS = 120
"""A first start makes a database cluster: half a second, or a minute where disks are slow."""
READY_POLL_SECONDS = 0.05
STOP_LIMIT_SECONDS = 2.5
"""Ctrl-C is promised to end everything in 3 seconds; whoever needs longer than this is killed."""
LINE_LIMIT_BYTES = 1024 * 1024
"""A longer log line is dropped, so that a runaway one cannot fill the memory."""

COMMANDS = Path(sys.executable).parent
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ports:
    """Where the three listeners are, all on 127.0.0.1."""

    grpc: int
    http: int
    mock: int


@dataclass(frozen=True)
class Service:
    """A child that runs, and the file that it writes when it serves."""

    name: str
    process: asyncio.subprocess.Process
    ready_file: Path


def main() -> int:
    try:
        ports = claim_ports()
    except PortUnusable as error:
        print(error, file=sys.stderr)
        return 1
    exit_code = 1
    try:
        exit_code = asyncio.run(run(ports))
    except* BrokenPipeError:
        pass  # whoever read our output has gone; the services are stopped
    return exit_code


class PortUnusable(Exception):
    """A port is no port or is taken; the text is meant for the user."""


def claim_ports() -> Ports:
    """Finds all three ports free before anything is started; 0 means any free one."""
    settings = (
        ("PAYMENT_GRPC_PORT", 50051),
        ("PAYMENT_HTTP_PORT", 8000),
        ("REQUESTOR_HTTP_PORT", 8001),
    )
    with contextlib.ExitStack() as held:  # all at once, so that no two are the same
        return Ports(*(claim_port(held, *setting) for setting in settings))


def claim_port(held: contextlib.ExitStack, setting: str, default: int) -> int:
    text = os.environ.get(setting) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise PortUnusable(f"{setting} is {text!r}, which is no port.")
    listener = held.enter_context(socket.socket())
    # What a server of ours left in TIME_WAIT does not count as taken.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(text)))
        listener.listen()
    except OSError as error:
        raise PortUnusable(
            f"Port {text} ({setting}) cannot be used: {error.strerror}. Choose another, for "
            f"example: {setting}={(int(text) + 10) % 65536} make dev"
        ) from error
    port: int = listener.getsockname()[1]
    return port


async def run(ports: Ports) -> int:
    """Runs both services until one ends or a signal asks; returns the exit code."""
    began = time.monotonic()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    with tempfile.TemporaryDirectory(prefix="payment-dev-") as folder:
        async with asyncio.TaskGroup() as log_lines:
            services = await start_services(ports, Path(folder))
            try:
                for service, colour in zip(services, ("36", "35"), strict=True):
                    log_lines.create_task(print_log(service, colour))
                return await watch(services, asked_to_stop, ports, began)
            finally:
                await stop(services)


async def start_services(ports: Ports, folder: Path) -> list[Service]:
    """Starts both at once: the mock answers before its payment service does, and says so."""
    payment = ["dev", "--grpc-port", str(ports.grpc), "--http-port", str(ports.http)]
    requestor = ["serve", "--port", str(ports.mock)]
    target = {"PAYMENT_TARGET": f"127.0.0.1:{ports.grpc}"}
    return [
        await start("payment-server", payment, {}, folder),
        await start("requestor-mock", requestor, target, folder),
    ]


async def start(name: str, arguments: list[str], settings: dict[str, str], folder: Path) -> Service:
    ready_file = folder / f"{name}.json"
    process = await asyncio.create_subprocess_exec(
        COMMANDS / name,
        *arguments,
        "--ready-file",
        ready_file,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **settings},
        limit=LINE_LIMIT_BYTES,
        start_new_session=True,  # the terminal's Ctrl-C reaches this program alone
        preexec_fn=die_with_parent,
    )
    return Service(name, process, ready_file)


def die_with_parent() -> None:
    """In the child, before exec: the kernel kills it when this program is gone, even by SIGKILL."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def print_log(service: Service, colour: str) -> None:
    prefix = f"{service.name} | "
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        prefix = f"\033[{colour}m{prefix}\033[0m"
    stream = service.process.stdout
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit
            line = b"(a part of a very long line was dropped)\n"
        if not line:
            return
        print(prefix + line.decode(errors="replace").rstrip("\n"), flush=True)


async def watch(
    services: list[Service], asked_to_stop: asyncio.Event, ports: Ports, began: float
) -> int:
    """Waits for readiness, then for the end of a service or of the user's patience."""
    asked = asyncio.create_task(asked_to_stop.wait())
    ready = asyncio.create_task(wait_ready(services))
    exits = {asyncio.create_task(service.process.wait()): service for service in services}
    try:
        await asyncio.wait({asked, ready, *exits}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() and ready.result():
            print(greeting(ports, time.monotonic() - began), flush=True)
            await asyncio.wait({asked, *exits}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            print("\nStopping.", flush=True)
            return 0
        for task, service in exits.items():
            if task.done():
                print(f"{service.name} ended {exit_words(task.result())}.", file=sys.stderr)
                return 1
        print(f"Not ready after {READY_LIMIT_SECONDS} seconds.", file=sys.stderr)
        return 1
    finally:
        for task in (asked, ready, *exits):
            task.cancel()


async def wait_ready(services: list[Service]) -> bool:
    """Whether every service wrote its ready file within the limit."""
    for _ in range(int(READY_LIMIT_SECONDS / READY_POLL_SECONDS)):
        if all(service.ready_file.exists() for service in services):
            return True
        await asyncio.sleep(READY_POLL_SECONDS)
    return False


def exit_words(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


async def stop(services: list[Service]) -> None:
    """Asks every service to end, and kills with all its children who does not in time."""
    for service in services:
        with contextlib.suppress(ProcessLookupError):
            service.process.terminate()
    ends = [asyncio.create_task(service.process.wait()) for service in services]
    await asyncio.wait(ends, timeout=STOP_LIMIT_SECONDS)
    for service in services:
        if service.process.returncode is None:
            print(f"{service.name} does not end by itself and is killed.", file=sys.stderr)
        with contextlib.suppress(ProcessLookupError):  # its process group: empty when all went well
            os.killpg(service.process.pid, signal.SIGKILL)
    await asyncio.wait(ends)


def greeting(ports: Ports, seconds: float) -> str:
    server, mock = f"http://localhost:{ports.http}", f"http://localhost:{ports.mock}"
    payment = (
        '{"amount": "10.00", "currency": "USD", "customer_id": "cust123", "payment_method": "card"}'
    )
    query = '{"query": "{ payment(paymentId: \\"<payment_id>\\") { amount currency status } }"}'
    json_header = "-H 'Content-Type: application/json'"
    rule = "─" * 72
    return f"""
{rule}
  Ready in {seconds:.1f} s. Ctrl-C ends it.
  payment-server   gRPC localhost:{ports.grpc}   HTTP {server}/docs
  requestor-mock   HTTP {mock}/docs   GraphiQL {mock}/graphql
{rule}
curl -sS {mock}/api/payments {json_header} \\
  -d '{payment}'
curl -sS {mock}/api/payments/<payment_id>
curl -sS {mock}/graphql {json_header} \\
  -d '{query}'
grpcurl -plaintext -d '{payment}' \\
  localhost:{ports.grpc} payment.v1.PaymentService/CreatePayment
{rule}
"""


if __name__ == "__main__":
    sys.exit(main())
