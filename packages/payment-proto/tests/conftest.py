"""A running payment service, and a client compiled from the contract as it was at first."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

REPOSITORY = Path(__file__).resolve().parents[3]
START_LIMIT_SECONDS = 60
"""A cold PostgreSQL on a busy machine of two cores takes a tenth of it."""
STOP_LIMIT_SECONDS = 15
CALL_LIMIT_SECONDS = 30
POLL_SECONDS = 0.05

# The kernel ends the server (SIGTERM is 15) when a test run that is killed cannot; PR_SET_PDEATHSIG
# is 1. It is set on this side of the fork, where no thread of gRPC's is in the way.
TETHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gRPC target of a payment-server that runs the sandbox on a database of its own."""
    command = os.environ.get(
        "PAYMENT_SERVER_COMMAND", str(REPOSITORY / ".envs/payment-server/bin/payment-server")
    )
    folder = tmp_path_factory.mktemp("payment-server")
    ready, log = folder / "ready.json", folder / "log"
    arguments = ["dev", "--ephemeral", "--grpc-port=0", "--http-port=0", f"--ready-file={ready}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", TETHER, command, *arguments], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(POLL_SECONDS)
        yield f"127.0.0.1:{json.loads(ready.read_text())['grpc_port']}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class OldContract:
    """Message classes of the first contract, apart from the modules of this package."""

    def __init__(self, compiled: bytes) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(compiled).file:
            self._pool.Add(file)

    @property
    def service(self) -> Any:
        """The service's descriptor."""
        return self._pool.FindServiceByName("payment.v1.PaymentService")

    def call(self, target: str, method: str, **fields: object) -> Any:
        """The response to one call. Raises grpc.RpcError."""
        described = self.service.FindMethodByName(method)
        request = message_factory.GetMessageClass(described.input_type)
        response = message_factory.GetMessageClass(described.output_type)
        with grpc.insecure_channel(target) as channel:
            stub: Any = channel.unary_unary(
                f"/payment.v1.PaymentService/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            return stub(request(**fields), timeout=CALL_LIMIT_SECONDS)


@pytest.fixture(scope="session")
def old_contract() -> OldContract:
    """Compiled by buf, not by the generator of this package."""
    buf = Path(sys.executable).parent / "buf"
    old = Path(__file__).parent / "old"
    compiled = subprocess.run([buf, "build", old, "-o", "-"], check=True, capture_output=True)
    return OldContract(compiled.stdout)
