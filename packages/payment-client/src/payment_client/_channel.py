"""How a channel to the service is set up, the same for both clients. Opens nothing."""

import json
import os
from typing import Any, Final

import grpc

from payment_client._settings import FORKED, Addresses, Settings

_MAX_ANSWER_BYTES: Final = 1000 * 80 * 1024
"""A page of the contract's most payments, each as large as its request could be (64 KiB), with
room for what the service adds. grpcio's own limit, 4 MiB, would make such a page unreadable."""
_FIRST_RECONNECT_MS: Final = 200
"""A service that restarts is back within a second or so; grpcio's own first pause is 1 s."""
_MAX_RECONNECT_MS: Final = 2_000
"""How long after its return a service may still look away: until the next attempt to connect.
grpcio's own limit is two minutes."""
_DEAD_AFTER_MS: Final = 2_000
"""Without the other side's word that it has what was sent: the kernel's limit too, where it has one
(TCP_USER_TIMEOUT). Below a first attempt's share of the default timeout, so that the next attempt
does not go into the same dead connection."""
_PING_AFTER_MS: Final = 20_000
"""Of silence on an open stream. A watch hears something every 15 s, so a sound one has no pings."""

_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
    ("grpc.keepalive_time_ms", _PING_AFTER_MS),
    ("grpc.keepalive_timeout_ms", _DEAD_AFTER_MS),
    ("grpc.http2.max_pings_without_data", 0),  # by default two, and then none for minutes
    # One layer tries again, and it is not this one: see `_policy`.
    ("grpc.enable_retries", 0),
    # The environment may happen to name a proxy, which would read what is not encrypted.
    ("grpc.enable_http_proxy", 0),
)

_IN_TURN: Final[dict[str, Any]] = {"loadBalancingConfig": [{"round_robin": {}}]}
_TO_THE_WELL: Final[dict[str, Any]] = {
    "healthCheckConfig": {"serviceName": "payment.v1.PaymentService"}
}
"""Only those that say on grpc.health.v1 that they serve: each server is asked by a stream."""
_SERVICE_CONFIGS: Final = {
    Addresses.OF_A_NAME: json.dumps(_IN_TURN),
    # Where there surely is another one. Of a lone server its own word is worth more: it says why.
    Addresses.SEVERAL: json.dumps(_IN_TURN | _TO_THE_WELL),
}


_used_in: Final = set[int]()
"""The processes in which a channel was opened: this one, and those that it was forked from."""


def use_in_this_process() -> int:
    """The id of this process, which opens a channel. RuntimeError where its parent had done so."""
    process_id = os.getpid()
    _used_in.add(process_id)
    if len(_used_in) > 1:
        raise RuntimeError(FORKED)
    return process_id


def options_of(settings: Settings) -> tuple[tuple[str, int | str], ...]:
    """What the channel is told; the reasons are beside each."""
    more = {
        "grpc.service_config": _SERVICE_CONFIGS.get(settings.addresses),
        "grpc.default_authority": settings.authority,
        "grpc.ssl_target_name_override": settings.authority if settings.tls else None,
    }
    return *_OPTIONS, *((name, value) for name, value in more.items() if value is not None)


def credentials_of(settings: Settings) -> grpc.ChannelCredentials | None:
    """What an encrypted channel is checked against; None for plaintext."""
    if settings.tls is None:
        return None
    tls = settings.tls
    return grpc.ssl_channel_credentials(
        tls.root_certificates, tls.private_key, tls.certificate_chain
    )
