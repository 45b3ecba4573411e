"""How `payments` reaches a service: who is trusted, and how it says who calls."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import trustme

from payment.v1 import payment_pb2 as pb
from payment_client._cli.exits import Exit

if TYPE_CHECKING:
    from cli.conftest import Program
    from conftest import ForeignServer

HEALTHY: Final = pb.HealthCheckResponse(status="healthy", timestamp="2026-11-23T05:30:00Z")


def test_a_service_that_wants_certificates_gets_them_and_the_api_key(
    abroad: "Program", foreign: "ForeignServer", tmp_path: Path
) -> None:
    authority = trustme.CA()
    server, own = authority.issue_cert("localhost"), authority.issue_cert("shop-1.example")
    root, key, certificate = (tmp_path / name for name in ("root", "key", "certificate"))
    authority.cert_pem.write_to_path(root)
    own.private_key_pem.write_to_path(key)
    own.cert_chain_pems[0].write_to_path(certificate)
    pair = (server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), True)
    foreign.answer = lambda _request, _context: HEALTHY.SerializeToString()
    foreign.start(credentials=credentials)
    abroad.target = foreign.target
    ended = abroad.run(
        *("health", "--tls-root", str(root), "--tls-server-name", "localhost"),
        *("--tls-key", str(key), "--tls-certificate", str(certificate)),
        PAYMENT_API_KEY="sk_1",
    )
    assert (ended.code, ended.lines[0]["status"]) == (Exit.DONE, "healthy")
    assert foreign.metadata[0]["authorization"] == "Bearer sk_1"
    assert foreign.metadata[0]["x-merchant-id"] == abroad.merchant_id


def test_an_api_key_comes_from_a_file_and_may_be_refused(
    abroad: "Program", foreign: "ForeignServer", tmp_path: Path
) -> None:
    foreign.fail(grpc.StatusCode.UNAUTHENTICATED, "nobody knows this key")
    (tmp_path / "key").write_text("sk_2\n")
    ended = abroad.run("health", "--api-key-file", str(tmp_path / "key"), PAYMENT_API_KEY="sk_1")
    assert foreign.metadata[0]["authorization"] == "Bearer sk_2"
    assert (ended.code, ended.failure["message"]) == (Exit.FORBIDDEN, "nobody knows this key")


def test_an_option_counts_on_either_side_of_the_command_and_behind_it_wins(
    abroad: "Program", foreign: "ForeignServer"
) -> None:
    foreign.answer = lambda _request, _context: HEALTHY.SerializeToString()
    target, abroad.target = abroad.target, "127.0.0.1:1"
    ended = abroad.run("--target", target, "health", "--merchant-id", "shop-2")
    assert ended.code == Exit.DONE
    assert foreign.metadata[0]["x-merchant-id"] == "shop-2"
