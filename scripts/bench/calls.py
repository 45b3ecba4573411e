"""The calls that the load generator makes: their bytes, with a slot for what differs each time.

Each call that changes something has a key of its own. Keys are random, as callers' are: keys in
order would spare PostgreSQL's index work that real ones cost.
"""

import itertools
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf.message import Message

from payment.v1 import payment_pb2 as pb
from scripts.bench.http1 import post_request

SERVICE: Final = "/payment.v1.PaymentService"
KEY_SLOT: Final = "k" * 32
ID_SLOT: Final = "00000000-0000-0000-0000-000000000000"
KEYS_AT_ONCE: Final = 4_096  # drawn from the system together; one at a time costs a microsecond
REPLAY_EVERY: Final = 10
REPLAY_DISTANCE: Final = 256
"""How many keys ago the repeated one was used: four times what is under way, so it is answered."""
CHANGING_HEADERS: Final = 4_096
"""How many pairs of deadline and request id take turns where each call has others; to a server
that remembers none of them that is the same as new ones."""

CONSTANT_HEADERS: Final = {"x-request-id": "bench-0000000", "grpc-timeout": "20S"}
"""As a client's own: it always has a deadline."""

BATCHES: Final = {"batch create of 100": 100, "batch create of 1,000": 1_000}
"""The calls with many payments in one, and how many."""

BY_CLIENT: Final = "create by payment-client"
BY_STUB: Final = "create by generated stub"
BY_CALLERS: Final = (BY_CLIENT, BY_STUB)
"""The calls that are made from Python, for what that costs the caller."""

_MUTATION: Final = (
    "mutation ($input: PaymentInput!, $key: String) { createPayment(payload: $input,"
    " idempotencyKey: $key) { paymentId amount currency status createdAt } }"
)


def grpc_method(call: str) -> str:
    """The method's path."""
    if call in BATCHES:
        return f"{SERVICE}/BatchCreatePayments"
    names = {"get": "GetPayment", "process": "ProcessPayment", "list": "ListPayments"}
    return f"{SERVICE}/{names.get(call, 'CreatePayment')}"


def grpc_headers(call: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What all calls have in common, and what they have in turn."""
    if call != "create, changing metadata":
        return CONSTANT_HEADERS, [{}]
    return {}, [
        {"x-request-id": f"bench-{number:07d}", "grpc-timeout": f"{20_000_000 + number}u"}
        for number in range(CHANGING_HEADERS)
    ]


def grpc_messages(call: str, ids: Sequence[bytes], page_token: str) -> Iterator[bytes]:
    """Requests of one length. `process` ends when it has used every id once."""
    match call:
        case "get":
            return _filled(pb.GetPaymentRequest(payment_id=ID_SLOT), itertools.cycle(ids))
        case "list":
            wish = pb.ListPaymentsRequest(page_size=50, page_token=page_token)
            return itertools.repeat(wish.SerializeToString())
        case "process":
            process = pb.ProcessPaymentRequest(payment_id=ID_SLOT, idempotency_key=KEY_SLOT)
            before, between, after = _around(process, ID_SLOT, KEY_SLOT)
            return (
                b"".join((before, payment_id, between, key, after))
                for payment_id, key in zip(ids, fresh_keys(), strict=False)
            )
        case "create, 10 % replays":
            return _filled(_create(), with_replays(fresh_keys()))
        case _ if call in BATCHES:
            return _batches(BATCHES[call])
        case _:
            return _filled(_create(), fresh_keys())


def http_requests(call: str) -> Iterator[bytes]:
    """Requests of requestor-mock: the key is a header in REST and a variable in GraphQL."""
    payment = {"amount": "10.00", "currency": "USD", "customer_id": "cust123"}
    if call == "GraphQL create":
        payment["customerId"] = payment.pop("customer_id")
        variables = {"input": payment, "key": KEY_SLOT}
        body = json.dumps({"query": _MUTATION, "variables": variables})
        request = post_request("/graphql", {}, body.encode())
    else:
        body = json.dumps(payment)
        request = post_request("/api/payments", {"Idempotency-Key": KEY_SLOT}, body.encode())
    before, after = request.split(KEY_SLOT.encode())
    return (before + key + after for key in fresh_keys())


def fresh_keys() -> Iterator[bytes]:
    """Keys that nobody used before, each of KEY_SLOT's length."""
    size = len(KEY_SLOT)
    while True:
        digits = os.urandom(KEYS_AT_ONCE * size // 2).hex().encode()
        for begin in range(0, len(digits), size):
            yield digits[begin : begin + size]


def with_replays(keys: Iterator[bytes]) -> Iterator[bytes]:
    """The keys, and after every nine one of those that were used REPLAY_DISTANCE keys ago."""
    used: deque[bytes] = deque(maxlen=REPLAY_DISTANCE)
    for number, key in enumerate(keys, 1):
        if number % (REPLAY_EVERY - 1) == 0 and len(used) == REPLAY_DISTANCE:
            yield used[0]
        used.append(key)
        yield key


def _create() -> pb.CreatePaymentRequest:
    return pb.CreatePaymentRequest(
        amount="10.00",
        currency="USD",
        customer_id="cust123",
        payment_method="card",
        idempotency_key=KEY_SLOT,
    )


def _batches(count: int) -> Iterator[bytes]:
    before, after = _around(pb.BatchCreatePaymentsRequest(requests=[_create()]), KEY_SLOT)
    keys = fresh_keys()
    while True:
        yield before + (after + before).join(itertools.islice(keys, count)) + after


def _filled(message: Message, values: Iterator[bytes]) -> Iterator[bytes]:
    slot = ID_SLOT if isinstance(message, pb.GetPaymentRequest) else KEY_SLOT
    before, after = _around(message, slot)
    return (before + value + after for value in values)


def _around(message: Message, *slots: str) -> list[bytes]:
    """The encoded message without its slots: what is before, between and after them."""
    rest, parts = message.SerializeToString(deterministic=True), []
    for slot in slots:
        part, _, rest = rest.partition(slot.encode())
        parts.append(part)
    return [*parts, rest]
