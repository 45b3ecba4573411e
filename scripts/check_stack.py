# /// script
# requires-python = ">=3.11"
# dependencies = ["buf-bin>=1.75"]  # buf curl: a gRPC client that asks the service for its schema
# ///
"""Drives a running stack from outside, as its users do: REST, GraphQL, gRPC, health.

    uv run --script scripts/check_stack.py

Asks the ports that compose and `make dev` use unless PAYMENT_GRPC_PORT, PAYMENT_HTTP_PORT or
REQUESTOR_HTTP_PORT say otherwise. Says a line per check and the totals at the end.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

GRPC = f"http://127.0.0.1:{os.environ.get('PAYMENT_GRPC_PORT') or 50051}"
SERVER = f"http://127.0.0.1:{os.environ.get('PAYMENT_HTTP_PORT') or 8000}"
MOCK = f"http://127.0.0.1:{os.environ.get('REQUESTOR_HTTP_PORT') or 8001}"
CALL_LIMIT_SECONDS = 20

PAYMENT = {
    "amount": "10.00",
    "currency": "USD",
    "customer_id": "cust123",
    "payment_method": "card",
}
GRAPHQL_PAYMENT = {
    "amount": "10.00",
    "currency": "USD",
    "customerId": "cust123",
    "paymentMethod": "card",
}
CREATE = """mutation ($input: PaymentInput!) {
  createPayment(payload: $input) { paymentId amount currency status createdAt } }"""
READ = """query ($id: String!) {
  payment(paymentId: $id) { paymentId amount currency status createdAt } }"""


class Unexpected(Exception):
    """The stack gave another answer than the one it promises."""


def main() -> int:
    failed = 0
    for check in CHECKS:
        try:
            check()
        except (Unexpected, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAILED  {check.__doc__}\n        {type(error).__name__}: {error}")
        else:
            print(f"ok      {check.__doc__}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def both_are_healthy() -> None:
    """GET /health of both services"""
    expect(ask(f"{SERVER}/health")["status"], "healthy")
    expect(ask(f"{MOCK}/health")["status"], "healthy")


def rest_creates_and_reads() -> None:
    """POST /api/payments, then GET /api/payments/{payment_id}"""
    created = ask(f"{MOCK}/api/payments", PAYMENT, status=201)
    expect(created["success"], True)
    read = ask(f"{MOCK}/api/payments/{created['data']['payment_id']}")
    for key in ("payment_id", "created_at"):
        expect(read["data"][key], created["data"][key])
    expect(
        [read["data"][key] for key in ("amount", "currency", "status")], ["10.00", "USD", "created"]
    )


def rest_lives_a_life() -> None:
    """REST: authorize, capture a part for good, refund; then every event of it"""
    manual = {**PAYMENT, "capture_method": "manual"}
    payment_id = ask(f"{MOCK}/api/payments", manual, status=201)["data"]["payment_id"]
    payment = f"{MOCK}/api/payments/{payment_id}"
    expect(ask(f"{payment}/process", {})["data"]["status"], "authorized")
    part = {"amount": "4.00", "final": True}
    expect(ask(f"{payment}/capture", part)["data"]["amount_voided"], "6.00")
    expect(ask(f"{payment}/refund", {})["data"]["status"], "refunded")
    events = ask(f"{payment}/events")["data"]
    expect([each["version"] for each in events], list(range(1, 8)))
    expect(events[-1]["type"], "payment.refunded")


def rest_completes_a_challenge() -> None:
    """REST: a challenge, completed"""
    challenged = {**PAYMENT, "payment_method": "card_3ds"}
    payment_id = ask(f"{MOCK}/api/payments", challenged, status=201)["data"]["payment_id"]
    payment = f"{MOCK}/api/payments/{payment_id}"
    expect(ask(f"{payment}/process", {})["data"]["status"], "requires_action")
    expect(ask(f"{payment}/complete", {})["data"]["status"], "captured")


def rest_refuses() -> None:
    """REST says 400, 404 and 409 where they are due"""
    bad = ask(f"{MOCK}/api/payments", {**PAYMENT, "amount": "1e5"}, status=400)
    expect((bad["success"], bad["reason"]), (False, "FIELD_INVALID"))
    unknown = ask(f"{MOCK}/api/payments/019ab000-0000-7000-8000-000000000000", status=404)
    expect(unknown["reason"], "PAYMENT_NOT_FOUND")
    early = ask(f"{MOCK}/api/payments/{create_by_rest()}/refund", {}, status=409)
    expect(early["reason"], "NOT_CAPTURED")


def the_service_speaks_json_itself() -> None:
    """POST /v1/payments of payment-service, twice with one key"""
    key = {"Idempotency-Key": f"stack-{os.urandom(8).hex()}"}
    first = ask(f"{SERVER}/v1/payments", PAYMENT, status=201, headers=key)
    expect(ask(f"{SERVER}/v1/payments", PAYMENT, status=201, headers=key), first)


def graphql_creates_and_reads() -> None:
    """GraphQL: mutation createPayment, then query payment"""
    created = graphql(CREATE, {"input": GRAPHQL_PAYMENT})["data"]["createPayment"]
    read = graphql(READ, {"id": created["paymentId"]})["data"]["payment"]
    expect(read, created)
    expect([read[key] for key in ("amount", "currency", "status")], ["10.00", "USD", "created"])


def graphql_refuses() -> None:
    """GraphQL tells the reason of a refusal"""
    answer = graphql(CREATE, {"input": {**GRAPHQL_PAYMENT, "amount": "-1"}})
    expect(answer["errors"][0]["extensions"]["reason"], "FIELD_INVALID")


def events_are_streamed() -> None:
    """GET /v1/events tells of a payment from its beginning"""
    payment_id = create_by_rest()
    stream = f"{SERVER}/v1/events?payment_id={payment_id}&from_beginning=true"
    with urllib.request.urlopen(stream, timeout=CALL_LIMIT_SECONDS) as reply:  # noqa: S310
        lines = (line.decode().strip() for line in reply)
        expect(next(line for line in lines if "payment." in line), "event: payment.created")


METHODS = {
    *("CreatePayment", "GetPayment", "ListPayments", "ProcessPayment", "CapturePayment"),
    *("CancelPayment", "RefundPayment", "CompletePaymentAction", "GetRefund", "ListRefunds"),
    *("ListPaymentEvents", "WatchPayments", "HealthCheck"),
}


def grpc_lists_its_methods() -> None:
    """gRPC reflection lists every method"""
    service = "payment.v1.PaymentService/"
    listed = {line.removeprefix(service) for line in buf(GRPC, "--list-methods").split()}
    expect(METHODS - listed, set())


def grpc_lives_a_life() -> None:
    """gRPC calls its methods, found by reflection"""
    expect(call("HealthCheck", {})["status"], "healthy")
    created = call("CreatePayment", PAYMENT)
    expect(created["status"], "created")
    payment = {"payment_id": created["paymentId"]}
    expect(call("ProcessPayment", payment)["status"], "captured")
    refund = call("RefundPayment", {**payment, "amount": "1.00"})["refund"]
    refund_id = {"refund_id": refund["refundId"]}
    expect(call("GetRefund", refund_id)["refund"]["status"], "REFUND_STATUS_SUCCEEDED")
    expect(len(call("ListRefunds", payment)["refunds"]), 1)
    expect(call("GetPayment", payment)["status"], "partially_refunded")
    expect(len(call("ListPaymentEvents", payment)["events"]), 5)
    listed = call("ListPayments", {"customer_id": "cust123", "page_size": 1000})["payments"]
    expect(created["paymentId"] in {each["paymentId"] for each in listed}, True)


CHECKS: tuple[Callable[[], None], ...] = (
    both_are_healthy,
    rest_creates_and_reads,
    rest_lives_a_life,
    rest_completes_a_challenge,
    rest_refuses,
    the_service_speaks_json_itself,
    graphql_creates_and_reads,
    graphql_refuses,
    grpc_lists_its_methods,
    grpc_lives_a_life,
    events_are_streamed,
)


def create_by_rest() -> str:
    return str(ask(f"{MOCK}/api/payments", PAYMENT, status=201)["data"]["payment_id"])


def graphql(document: str, variables: Mapping[str, object]) -> Any:
    return ask(f"{MOCK}/graphql", {"query": document, "variables": variables})


def call(method: str, request: Mapping[str, object]) -> Any:
    url = f"{GRPC}/payment.v1.PaymentService/{method}"
    return json.loads(buf(url, "--emit-defaults", "--data", json.dumps(request)))


def buf(*arguments: str) -> str:
    program = Path(sys.executable).with_name("buf")
    finished = subprocess.run(
        [program, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments],
        capture_output=True,
        text=True,
        timeout=CALL_LIMIT_SECONDS,
        check=False,  # its own words say more than its exit code
    )
    if finished.returncode != 0:
        raise Unexpected(finished.stderr)
    return finished.stdout


def ask(
    url: str,
    body: Mapping[str, object] | None = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Any:
    """The JSON that a GET, or a POST of `body`, is answered with. Raises Unexpected."""
    request = urllib.request.Request(  # noqa: S310 - the URLs are the constants above
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=CALL_LIMIT_SECONDS) as reply:  # noqa: S310
            found, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        found, text = error.code, error.read()
    if found != status:
        raise Unexpected(f"{url} said {found} instead of {status}: {text.decode()}")
    return json.loads(text)


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise Unexpected(f"{found!r} instead of {wanted!r}")


if __name__ == "__main__":
    sys.exit(main())
