"""Four doors to one payment service, which are asked alike and heard alike."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.rpc import error_details_pb2, status_pb2
from websockets.sync.client import connect

from payment.v1 import payment_pb2 as pb
from payment.v1.errors import DOMAIN

CALL_LIMIT_SECONDS = 30
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For httpx, which reads every authority's certificate for each client that it is not given to."""


@dataclass(frozen=True)
class Told:
    """What a door tells of a failure; `details` has what is more than all doors have."""

    reason: str
    code: str
    http_status: int | None
    title: str | None
    fields: list[str]
    metadata: dict[str, str]
    retry_after_ms: int | None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """How each door calls an operation of the contract."""

    rpc: str
    method: str
    path: str
    graphql: str


def _step(rpc: str, verb: str) -> Operation:
    return Operation(rpc, "POST", f"/payments/{{payment_id}}/{verb}", f"{rpc[0].lower()}{rpc[1:]}")


OPERATIONS = {
    "create": Operation("CreatePayment", "POST", "/payments", "createPayment"),
    "get": Operation("GetPayment", "GET", "/payments/{payment_id}", "payment"),
    "list": Operation("ListPayments", "GET", "/payments", "payments"),
    "get_refund": Operation("GetRefund", "GET", "/refunds/{refund_id}", "refund"),
    "process": _step("ProcessPayment", "process"),
    "capture": _step("CapturePayment", "capture"),
    "cancel": _step("CancelPayment", "cancel"),
    "refund": _step("RefundPayment", "refund"),
    "complete": _step("CompletePaymentAction", "complete"),
}
_TYPES = {"payload": "PaymentInput!", "action": "Action!", "expected_version": "Int!"}


class GrpcDoor:
    """payment-server's gRPC, without the client of this repository."""

    def __init__(self, port: int, merchant: str) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._metadata = (("x-merchant-id", merchant),)

    def close(self) -> None:
        self._channel.close()

    def begin(self, operation: str, **fields: Any) -> Any:
        """Starts a call that somebody else may wait for."""
        rpc = OPERATIONS[operation].rpc
        request = getattr(pb, f"{rpc}Request")(**fields)
        reply = getattr(pb, f"{rpc}Response").FromString
        call: Any = self._channel.unary_unary(f"/payment.v1.PaymentService/{rpc}", None, reply)
        return call.future(request.SerializeToString(), CALL_LIMIT_SECONDS, self._metadata)

    def done(self, operation: str, **fields: Any) -> Any:
        """What a call answers that must not fail."""
        return self.begin(operation, **fields).result()

    def ask(self, operation: str, fields: Mapping[str, Any]) -> Told | None:
        return _told_by_grpc(self.begin(operation, **fields).exception())

    def send(self, raw: bytes) -> Told | None:
        """Bytes in place of a CreatePaymentRequest."""
        call: Any = self._channel.unary_unary("/payment.v1.PaymentService/CreatePayment")
        return _told_by_grpc(call.future(raw, CALL_LIMIT_SECONDS, self._metadata).exception())

    def watch(self, cursor: str) -> Told | None:
        method: Any = self._channel.unary_stream("/payment.v1.PaymentService/WatchPayments")
        request = pb.WatchPaymentsRequest(cursor=cursor).SerializeToString()
        try:
            next(method(request, CALL_LIMIT_SECONDS, self._metadata))
        except grpc.RpcError as error:
            return _told_by_grpc(error)
        return None


def _told_by_grpc(error: Any) -> Told | None:
    if error is None:
        return None
    trailing = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    details: dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        assert name not in details, f"{name} is told twice"
        details[name] = getattr(error_details_pb2, name)()
        packed.Unpack(details[name])
    info, retry = details["ErrorInfo"], details.get("RetryInfo")
    assert info.domain == DOMAIN
    assert details["RequestInfo"].request_id == trailing["x-request-id"]
    violations = details["BadRequest"].field_violations if "BadRequest" in details else ()
    return Told(
        reason=info.reason,
        code=error.code().name,
        http_status=None,
        title=None,
        fields=sorted(each.field for each in violations),
        metadata=dict(info.metadata),
        retry_after_ms=None if retry is None else retry.retry_delay.ToMilliseconds(),
        details=details,
    )


def plain_client(url: str, headers: Mapping[str, str]) -> httpx.Client:
    """HTTP without TLS, on behalf of somebody."""
    return httpx.Client(base_url=url, headers=headers, timeout=CALL_LIMIT_SECONDS, verify=NO_TLS)


class HttpDoor:
    """JSON below a path: /v1 of payment-server, or /api of the mock."""

    def __init__(self, url: str, prefix: str, merchant: str) -> None:
        headers = {"X-Merchant-Id": merchant}
        self._http = plain_client(url, headers)
        self._prefix = prefix

    def close(self) -> None:
        self._http.close()

    def ask(self, operation: str, fields: Mapping[str, Any]) -> Told | None:
        how = OPERATIONS[operation]
        in_path = {name: fields[name] for name in ("payment_id", "refund_id") if name in fields}
        body = {name: value for name, value in fields.items() if name not in in_path}
        path = how.path.format(**in_path)
        return self.request(how.method, path, json=body if how.method == "POST" else None)

    def send(self, raw: bytes) -> Told | None:
        return self.request("POST", "/payments", content=raw)

    def watch(self, cursor: str) -> Told | None:
        return self.request("GET", "/events", params={"cursor": cursor})

    def request(self, method: str, path: str, **given: Any) -> Told | None:
        reply = self._http.request(method, f"{self._prefix}{path}", **given)
        return None if reply.is_success else _told_by_problem(reply)


def _told_by_problem(reply: httpx.Response) -> Told:
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["success"], problem["status"]) == (False, reply.status_code)
    assert problem["type"] == f"urn:payment:v1:error:{problem['reason'].lower().replace('_', '-')}"
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert (problem["retry_after_ms"] is None) is ("retry-after" not in reply.headers)
    return _told_by_facts(problem, reply.status_code, problem["title"])


def _told_by_facts(facts: Mapping[str, Any], http_status: int, title: str | None) -> Told:
    return Told(
        reason=facts["reason"],
        code=facts["code"],
        http_status=http_status,
        title=title,
        fields=sorted(each["field"] for each in facts["errors"]),
        metadata=facts["metadata"],
        retry_after_ms=facts["retry_after_ms"],
    )


class GraphqlDoor:
    """The mock's GraphQL, over HTTP and over its WebSocket."""

    def __init__(self, url: str, merchant: str) -> None:
        self._url = url
        self._headers = {"X-Merchant-Id": merchant}
        self._http = plain_client(url, self._headers)

    def close(self) -> None:
        self._http.close()

    def ask(self, operation: str, fields: Mapping[str, Any]) -> Told | None:
        given = dict(fields)
        if operation == "create":
            key = given.pop("idempotency_key", None)
            given = {"payload": given} | ({} if key is None else {"idempotency_key": key})
        kind = "query" if OPERATIONS[operation].method == "GET" else "mutation"
        types = ", ".join(f"${_camel(name)}: {_TYPES.get(name, 'String!')}" for name in given)
        arguments = ", ".join(f"{_camel(name)}: ${_camel(name)}" for name in given)
        field_ = OPERATIONS[operation].graphql
        document = f"{kind}({types}) {{ {field_}({arguments}) {{ __typename }} }}"
        variables = {_camel(name): value for name, value in given.items()}
        return self.post({"query": document, "variables": variables})

    def send(self, document: str) -> Told | None:
        return self.post({"query": document})

    def post(self, body: Mapping[str, Any]) -> Told | None:
        answer = self._http.post("/graphql", json=body).json()
        if "errors" not in answer:
            return None
        (error,) = answer["errors"]
        return _told_by_facts(error["extensions"], error["extensions"]["http_status"], None)

    def request(self, method: str) -> Told | None:
        """Another method than GraphQL is asked by."""
        return _told_by_problem(self._http.request(method, "/graphql"))

    def watch(self, cursor: str) -> Told | None:
        url = self._url.replace("http", "ws", 1) + "/graphql"
        document = "subscription($cursor: String!) { paymentEvents(cursor: $cursor) { cursor } }"
        payload = {"query": document, "variables": {"cursor": cursor}}
        protocol: Any = ["graphql-transport-ws"]
        with connect(url, subprotocols=protocol, additional_headers=self._headers) as socket:
            socket.send(json.dumps({"type": "connection_init"}))
            socket.recv(CALL_LIMIT_SECONDS)
            socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            message = json.loads(socket.recv(CALL_LIMIT_SECONDS))
        if message["type"] != "error":
            return None
        (error,) = message["payload"]
        return _told_by_facts(error["extensions"], error["extensions"]["http_status"], None)


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(each.capitalize() for each in tail)


@dataclass(frozen=True)
class Doors:
    """All four doors, on behalf of one merchant."""

    grpc: GrpcDoor
    v1: HttpDoor
    rest: HttpDoor
    graphql: GraphqlDoor

    def all_at_once(
        self,
        asks: Sequence[tuple[str, Callable[[Any], Told | None]]],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Told | None]:
        """What the surfaces tell, each asked at the same time: some troubles pass."""
        with futures.ThreadPoolExecutor(len(asks)) as pool:
            asked = [pool.submit(ask, getattr(self, surface)) for surface, ask in asks]
            meanwhile()
            return [each.result() for each in asked]


@contextmanager
def opened(server: Any, mock: Any, merchant: str) -> Iterator[Doors]:
    """The doors of a service and of the mock in front of it."""
    with (
        closing(GrpcDoor(server.ready["grpc_port"], merchant)) as by_grpc,
        closing(HttpDoor(server.url, "/v1", merchant)) as v1,
        closing(HttpDoor(mock.url, "/api", merchant)) as rest,
        closing(GraphqlDoor(mock.url, merchant)) as graphql,
    ):
        yield Doors(by_grpc, v1, rest, graphql)
