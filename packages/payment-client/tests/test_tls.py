"""Both clients at a server that wants TLS: who is trusted, and that a key never goes to others."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from payment.v1 import payment_pb2 as pb
from payment_client import PaymentError, Tls, Unavailable

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

HEALTHY = pb.HealthCheckResponse(status="healthy", timestamp="2026-11-23T05:30:00Z")
AUTHORITY = trustme.CA()
HERE = AUTHORITY.issue_cert("localhost")


@pytest.fixture
def target(foreign: "ForeignServer") -> str:
    """The foreign server behind TLS."""
    return started(foreign, wants_certificates=False)


def started(foreign: "ForeignServer", *, wants_certificates: bool) -> str:
    foreign.answer = lambda _request, _context: HEALTHY.SerializeToString()
    chain = b"".join(each.bytes() for each in HERE.cert_chain_pems)
    authority = AUTHORITY.cert_pem.bytes() if wants_certificates else None
    credentials = grpc.ssl_server_credentials(
        [(HERE.private_key_pem.bytes(), chain)], authority, wants_certificates
    )
    foreign.start(credentials=credentials)
    return foreign.target.replace("127.0.0.1", "localhost")


def trusting(authority: trustme.CA = AUTHORITY) -> Tls:
    return Tls(root_certificates=authority.cert_pem.bytes())


async def test_a_server_of_a_trusted_authority_gets_the_api_key(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", target: str
) -> None:
    assert (await connect(target, tls=trusting(), api_key="sk_1").health()).healthy
    assert foreign.metadata[0]["authorization"] == "Bearer sk_1"


@pytest.mark.parametrize(
    "tls", [Tls(), trusting(trustme.CA()), None], ids=["usual authorities", "another", "plaintext"]
)
async def test_nobody_else_is_spoken_to(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", target: str, tls: Tls | None
) -> None:
    with pytest.raises(PaymentError) as caught:
        await connect(target, tls=tls, api_key="sk_1", timeout_seconds=1).create()
    assert type(caught.value) is Unavailable
    assert foreign.metadata == []


async def test_a_certificate_for_another_name_is_not_trusted(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", target: str
) -> None:
    by_address = target.replace("localhost", "127.0.0.1")
    with pytest.raises(Unavailable):
        await connect(by_address, tls=trusting(), timeout_seconds=1).create()
    assert foreign.metadata == []


async def test_the_name_of_the_certificate_can_be_given(
    connect: "Callable[..., Twin]", target: str
) -> None:
    by_address = target.replace("localhost", "127.0.0.1")
    tls = Tls(root_certificates=AUTHORITY.cert_pem.bytes(), server_name="localhost")
    assert (await connect(by_address, tls=tls).health()).healthy
    assert (await connect(f"{by_address},{by_address}", tls=tls).health()).healthy


async def test_a_server_that_asks_for_certificates_gets_the_clients(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    own = AUTHORITY.issue_cert("shop-1.example")
    tls = Tls(
        root_certificates=AUTHORITY.cert_pem.bytes(),
        private_key=own.private_key_pem.bytes(),
        certificate_chain=own.cert_chain_pems[0].bytes(),
    )
    target = started(foreign, wants_certificates=True)
    assert (await connect(target, tls=tls).health()).healthy
    with pytest.raises(Unavailable):
        await connect(target, tls=trusting(), timeout_seconds=1).health()
