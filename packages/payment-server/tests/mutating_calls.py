"""Every call that changes something as one table, made over gRPC and over /v1; and one way to
compare what the two answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from service_under_test import Refusal, Servers, refusal

from payment.v1 import payment_pb2 as pb


@dataclass(frozen=True)
class Call:
    """One mutating call: its request, one of another meaning, and the steps that lead to it."""

    rpc: str
    verb: str
    fields: dict[str, Any] = field(default_factory=dict)
    other: dict[str, Any] | None = None
    before: tuple[str, ...] = ()
    payment_method: str = "card"

    def __str__(self) -> str:
        return self.rpc

    async def prepared(self, servers: Servers) -> str:
        """The id of a payment on which the call may be made; none is needed to create one."""
        if not self.verb:
            return ""
        payment_id = (await servers.created(payment_method=self.payment_method)).payment_id
        for action in self.before:
            await servers.ask(payment_id, action)
        return payment_id

    def request(self, payment_id: str, fields: Mapping[str, Any]) -> Message:
        subject = {"payment_id": payment_id} if self.verb else {}
        request: Message = getattr(pb, f"{self.rpc}Request")(**subject, **fields)
        return request

    def path(self, payment_id: str) -> str:
        return f"/v1/payments/{payment_id}/{self.verb}" if self.verb else "/v1/payments"


CREATE = Call(
    "CreatePayment",
    "",
    {"amount": "10.00", "customer_id": "cust123"},
    other={"amount": "10.01", "customer_id": "cust123"},
)
STEPS = [
    Call("ProcessPayment", "process", other={"action": "authorize"}),
    Call(
        "CapturePayment",
        "capture",
        {"amount": "4.00"},
        other={"amount": "4.00", "final": True},
        before=("authorize",),
    ),
    Call("CancelPayment", "cancel", before=("authorize",)),
    Call(
        "RefundPayment",
        "refund",
        {"amount": "4.00", "reason": "torn"},
        other={"amount": "4.00", "reason": "late"},
        before=("process",),
    ),
    Call(
        "CompletePaymentAction",
        "complete",
        {"result": "approved"},
        other={"result": "refused"},
        before=("process",),
        payment_method="card_3ds",
    ),
]
CALLS = [CREATE, *STEPS]
PROCESS, CAPTURE, CANCEL, REFUND, COMPLETE = STEPS
KEY = "k-1"


@dataclass(frozen=True)
class Answer:
    """A success as it came over the wire, and as /v1 says it."""

    raw: bytes
    replayed: str
    said: dict[str, Any]

    @property
    def operation(self) -> dict[str, Any]:
        operation: dict[str, Any] = self.said["operation"]
        return operation


async def over_grpc(
    servers: Servers,
    call: Call,
    payment_id: str,
    *,
    key: str = "",
    fields: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    **more: Any,
) -> Answer:
    """Raises grpc.aio.AioRpcError."""
    wish = {**(call.fields if fields is None else fields), **more}
    request = call.request(payment_id, {**wish, "idempotency_key": key})
    method: Any = servers.channel.unary_unary(f"/payment.v1.PaymentService/{call.rpc}")
    sent = method(request.SerializeToString(), timeout=timeout)
    raw: bytes = await sent
    trailing = dict(await sent.trailing_metadata())
    reply: Message = getattr(pb, f"{call.rpc}Response").FromString(raw)
    return Answer(raw, trailing.get("idempotency-replayed", ""), _comparable(said(reply)))


async def over_http(
    servers: Servers,
    call: Call,
    payment_id: str,
    *,
    key: str = "",
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> Answer:
    reply = await http_reply(servers, call, payment_id, key=key, fields=fields, **more)
    assert reply.is_success, reply.text
    body = reply.json()
    told = _comparable(body if call.verb else {"payment": body})
    return Answer(reply.content, reply.headers.get("idempotency-replayed", ""), told)


async def http_reply(
    servers: Servers,
    call: Call,
    payment_id: str,
    *,
    key: str = "",
    fields: Mapping[str, Any] | None = None,
    **more: Any,
) -> httpx.Response:
    """Whatever /v1 answers; waits longer than a twin does."""
    wish = {**(call.fields if fields is None else fields), **more}
    headers = {"Idempotency-Key": key} if key else {}
    return await servers.http.post(call.path(payment_id), json=wish, headers=headers, timeout=15)


def said(message: Message) -> dict[str, Any]:
    """A protobuf message as /v1 says it: every field, unset messages as null."""
    return {each.name: _said_of(message, each) for each in message.DESCRIPTOR.fields}


def _said_of(message: Message, of: Any) -> object:
    value = getattr(message, of.name)
    if of.message_type is not None and of.message_type.GetOptions().map_entry:
        return dict(value)
    if of.is_repeated:
        return [said(each) if isinstance(each, Message) else each for each in value]
    if isinstance(value, Message) and not message.HasField(of.name):
        return None
    if isinstance(value, Timestamp):
        return value.ToDatetime().isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, Message):
        return said(value)
    if of.enum_type is not None:
        names = [each.name for each in of.enum_type.values]
        prefix = names[0].removesuffix("UNSPECIFIED")
        return of.enum_type.values_by_number[value].name.removeprefix(prefix).lower()
    return value


def _comparable(told: dict[str, Any]) -> dict[str, Any]:
    """What both surfaces say: gRPC repeats some of the payment beside it."""
    members = ("payment", "operation", "refund", "processed_at")
    return {name: told[name] for name in members if name in told}


async def read(servers: Servers, payment_id: str) -> dict[str, Any]:
    payment: dict[str, Any] = (await servers.http.get(f"/v1/payments/{payment_id}")).json()
    return payment


def is_reused(failed: Refusal, reply: httpx.Response) -> bool:
    """Whether both surfaces say that the key is taken."""
    return (failed.code, failed.reason, reply.status_code, reply.json()["reason"]) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "IDEMPOTENCY_KEY_REUSED",
        422,
        "IDEMPOTENCY_KEY_REUSED",
    )


async def both_refusals(
    servers: Servers, call: Call, payment_id: str, **wish: Any
) -> tuple[Refusal, httpx.Response]:
    failed = await refusal(over_grpc(servers, call, payment_id, **wish))
    return failed, await http_reply(servers, call, payment_id, **wish)


async def moved_on(servers: Servers, payment_id: str) -> None:
    """The first thing that the payment allows now is done to it."""
    for action in (await read(servers, payment_id))["allowed_actions"][:1]:
        await servers.ask(payment_id, action)
