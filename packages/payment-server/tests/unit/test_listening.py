"""Ports that processes of ours share, and how one of them leaves."""

import os
import socket
from pathlib import Path

import pytest

from payment_server.api.listening import CannotListen, held_port, listening_socket, port_of
from payment_server.api.turning_away import turn_away

HOST = "127.0.0.1"


def descriptors() -> list[Path]:
    return [*Path("/proc/self/fd").iterdir()]


def sharing(port: int) -> socket.socket:
    """A listener that does not mind others."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((HOST, port))
    listener.listen()
    return listener


def test_those_who_share_listen_together_on_a_held_port() -> None:
    with held_port(HOST, 0) as held, sharing(port_of(held)) as one, sharing(port_of(held)) as two:
        assert port_of(one) == port_of(two) == port_of(held) > 0


def test_a_held_port_is_taken_for_everybody_else() -> None:
    with held_port(HOST, 0) as held:
        for take in (listening_socket, held_port):
            with pytest.raises(CannotListen) as caught:
                take(HOST, port_of(held))
            assert caught.value.is_taken


def test_a_port_on_which_somebody_listens_cannot_be_held_though_he_shares() -> None:
    with sharing(0) as listener, pytest.raises(CannotListen) as caught:
        held_port(HOST, port_of(listener))
    assert caught.value.is_taken


def test_a_port_that_was_just_in_use_can_be_held() -> None:
    with listening_socket(HOST, 0) as listener:
        port = port_of(listener)
        with socket.create_connection((HOST, port)):
            listener.accept()[0].close()  # first, so that it is here that the kernel remembers it
    held_port(HOST, port).close()


def test_whoever_has_connected_before_is_served_and_nobody_else_is_turned_to_us() -> None:
    with sharing(0) as listener:
        address = (HOST, port_of(listener))
        with socket.create_connection(address) as early:
            if not turn_away(port_of(listener)) and os.geteuid() != 0:
                pytest.skip("this kernel lets only root filter packets")
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            early.sendall(b"x")
            with listener.accept()[0] as served:
                assert served.recv(1) == b"x"


def test_other_ports_of_the_process_stay_open() -> None:
    with sharing(0) as leaving, sharing(0) as staying:
        turn_away(port_of(leaving))
        socket.create_connection((HOST, port_of(staying)), timeout=5).close()


def test_turning_away_leaves_no_descriptor_behind_and_says_if_it_found_no_listener(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with held_port(HOST, 0) as held:
        before = len(descriptors())
        turn_away(port_of(held))
        assert len(descriptors()) == before
    assert "no listener on port" in caplog.text
