"""The gRPC server: our service, health checking, and reflection in both its versions."""

import asyncio
from typing import Any, Final, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from payment_server.api.gate import CALLS_LIMIT, Gate
from payment_server.api.listening import CannotListen, address_of, listening_socket
from payment_server.api.rpc import SERVICE, Service, handlers
from payment_server.api.rpc_batch import batch_handlers
from payment_server.api.rpc_limits import limited
from payment_server.api.rpc_streams import stream_handlers
from payment_server.api.transport import Transport, server_of
from payment_server.api.turning_away import turn_away
from payment_server.watching import Watching

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),  # beyond our own limits, which explain
    # Past 1,000 calls that wait for a handler, the library drops some at random with a bare
    # CANCELLED. Our gate refuses with a reason, so it has to be reached first.
    ("grpc.server.max_pending_requests", 2 * CALLS_LIMIT),
    ("grpc.server.max_pending_requests_hard_limit", 4 * CALLS_LIMIT),
    # What one connection may have open. More than the gate lets in, because what is beyond this
    # waits in the client without a word; but whoever never reads cannot pile up answers for ever.
    ("grpc.max_concurrent_streams", 2 * CALLS_LIMIT),
    # A line that is dead says nothing, and holds the places of its streams until it is cut: one
    # that is silent for so long is asked, however often, and has so long to answer.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # the library's minute would count instead
    ("grpc.http2.max_pings_without_data", 0),
    # So often may a client ask the same; the library's own limit is five minutes, after which it
    # hangs up.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
HANDSHAKE_SECONDS: Final = 0.25  # a way around the world, for connections that have begun
_REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"


Methods: TypeAlias = "dict[str, grpc.RpcMethodHandler[Any, Any]]"


class _Streams(grpc.GenericRpcHandler):
    """Streams, told by nothing else: so pygrpc-native leaves them to the grpcio behind it.

    Its own hold a thread of the loop's few for each reader that stalls. With six of them, on two
    cores, nothing else gets one, and the server cannot even stop.
    """

    def __init__(self, service: str, methods: Methods) -> None:
        self._methods = {f"/{service}/{name}": method for name, method in methods.items()}

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._methods.get(details.method)


class RpcServer:
    """Listens from `start` on; SERVING is what health checks are told only after `set_serving`.

    A port that is taken is an error, unless this is one of several who share it on purpose.
    """

    def __init__(
        self,
        service: Service,
        watching: Watching,
        gate: Gate,
        transport: Transport,
        *,
        shares_port: bool = False,
    ) -> None:
        self._shares_port = shares_port
        self._tells_to_go = transport is Transport.GRPCIO
        self._port = 0
        self._closing: asyncio.Task[None] | None = None  # held, or it could be collected
        options = (("grpc.so_reuseport", int(shares_port)), *_OPTIONS)
        self._server = server_of(transport, options)
        self._health = health.aio.HealthServicer()
        self._serving: bool | None = None
        methods = handlers(service, gate) | batch_handlers(service.payments, gate)
        self._add(SERVICE, limited(methods, gate.limits))
        streams = limited(stream_handlers(watching), gate.limits)
        self._server.add_generic_rpc_handlers((_Streams(SERVICE, streams),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._add_reflection_v1(names)

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port, a free one where 0 was asked for. Raises CannotListen."""
        await self.set_serving(False)
        # gRPC takes no socket of ours and does not say why it gets none; so this one tries first.
        if not self._shares_port:
            listening_socket(host, port).close()
        address = address_of(host, port)
        try:
            bound = self._server.add_insecure_port(address)
            await self._server.start()
        except RuntimeError as error:  # of binding, pygrpc-native's own socket included
            raise CannotListen(address, OSError(str(error))) from error
        self._port = bound
        return bound

    async def set_serving(self, serving: bool) -> None:
        """What grpc.health.v1 says of the service and of the server as a whole."""
        if serving == self._serving:
            return
        self._serving = serving
        status = health_pb2.HealthCheckResponse
        for name in ("", SERVICE):
            await self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    async def leave(self, grace_seconds: float) -> None:
        """Leaves a shared port to the others; calls inside may finish for so long, or until `stop`.

        grpcio tells its callers to go elsewhere before it closes their connections; what they send
        until they know may be cancelled, unseen by us. pygrpc-native tells them when it closes.
        """
        turn_away(self._port)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        if self._tells_to_go:
            self._closing = asyncio.create_task(self._server.stop(grace_seconds))
            await asyncio.wait({self._closing}, timeout=HANDSHAKE_SECONDS)  # and calls come in

    async def stop(self, grace_seconds: float) -> None:
        """Lets the calls inside finish for so long."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)

    def _add(self, service: str, methods: Methods) -> None:
        """As generated code does it: generic handlers alone are not served by the native side."""
        handler = grpc.method_handlers_generic_handler(service, methods)
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_registered_method_handlers(service, methods)

    def _add_reflection_v1(self, names: tuple[str, ...]) -> None:
        """The same servicer under its newer name: the messages of both versions are alike."""
        servicer = reflection.aio.ReflectionServicer(names)
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._add(_REFLECTION_V1, {"ServerReflectionInfo": handler})
