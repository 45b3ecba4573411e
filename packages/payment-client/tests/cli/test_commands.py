"""Every command of `payments` in a pipe: JSON lines, at the real service."""

import json
import signal
from typing import TYPE_CHECKING

from payment_client import CaptureMethod, NewPayment, Payment, PaymentClient
from payment_client._cli.commands import PAGE_SIZE

if TYPE_CHECKING:
    from cli.conftest import Program


def create(client: PaymentClient, payment_method: str = "card", **fields: object) -> Payment:
    return client.payments.create(
        amount="10",
        customer_id="cust123",
        payment_method=payment_method,
        **fields,  # type: ignore[arg-type]
    )


def held(client: PaymentClient) -> Payment:
    payment = create(client, capture_method=CaptureMethod.MANUAL)
    return client.payments.process(payment.payment_id).payment


def captured(client: PaymentClient) -> Payment:
    return client.payments.process(create(client).payment_id).payment


def test_create_records_what_its_options_say(program: "Program", client: PaymentClient) -> None:
    ended = program.run(
        *("create", "--amount", "1000", "--currency", "jpy", "--customer-id", "cust123"),
        *("--payment-method", "card_visa", "--capture-method", "manual"),
        *("--description", "zwei Stühle", "--metadata", "order=1042", "--metadata", "shop=a=b"),
        *("--expires-at", "2100-01-01", "--idempotency-key", "order-1042"),
    )
    [line] = ended.lines
    assert (ended.code, ended.error) == (0, "")
    assert line["amount"] == "1000"
    assert line["description"] == "zwei Stühle"
    assert line["expires_at"] == "2100-01-01T00:00:00Z"
    assert (line["idempotency_key"], line["replayed"]) == ("order-1042", False)
    stored = client.payments.get(line["payment_id"])
    assert stored.metadata == {"order": "1042", "shop": "a=b"}
    assert (stored.payment_method, stored.capture_method) == ("card_visa", CaptureMethod.MANUAL)


def test_the_same_key_is_answered_with_the_same_payment(
    program: "Program", client: PaymentClient
) -> None:
    payment = create(client, idempotency_key="order-1")
    [line] = program.run(
        *("create", "--amount", "10.00", "--customer-id", "cust123"),
        *("--idempotency-key", "order-1"),
    ).lines
    assert (line["payment_id"], line["replayed"]) == (payment.payment_id, True)


def test_get_shows_the_payment_with_the_names_of_the_contract(
    program: "Program", client: PaymentClient
) -> None:
    payment = captured(client)
    [line] = program.run("get", payment.payment_id).lines
    assert (line["status"], line["amount_captured"]) == ("captured", "10.00")
    assert line["allowed_actions"] == ["refund"]
    assert line["created_at"].endswith("Z")
    assert line["decline"] is None


def test_process_runs_a_payment_to_its_end(program: "Program", client: PaymentClient) -> None:
    ended = program.run("process", create(client).payment_id)
    assert ended.code == 0
    assert ended.lines[0]["status"] == "captured"
    assert ended.lines[0]["operation"]["kind"] == "authorize"


def test_process_takes_the_step_that_is_named(program: "Program", client: PaymentClient) -> None:
    ended = program.run("process", create(client).payment_id, "--action", "authorize")
    assert ended.lines[0]["status"] == "authorized"


def test_capture_takes_a_part_and_releases_the_rest(
    program: "Program", client: PaymentClient
) -> None:
    ended = program.run("capture", held(client).payment_id, "--amount", "4", "--final")
    assert ended.code == 0
    [line] = ended.lines
    assert (line["amount_captured"], line["amount_voided"]) == ("4.00", "6.00")


def test_cancel_ends_a_payment_of_the_expected_version(
    program: "Program", client: PaymentClient
) -> None:
    payment = create(client)
    ended = program.run("cancel", payment.payment_id, "--expected-version", str(payment.version))
    assert (ended.code, ended.lines[0]["status"]) == (0, "canceled")


def test_refund_gives_back_a_part_and_shows_the_refund(
    program: "Program", client: PaymentClient
) -> None:
    payment = captured(client)
    ended = program.run("refund", payment.payment_id, "--amount", "2.50", "--reason", "one broke")
    assert ended.code == 0
    [line] = ended.lines
    assert (line["status"], line["refund"]["reason"]) == ("partially_refunded", "one broke")
    assert program.run("refunds", payment.payment_id).lines == [line["refund"]]


def test_complete_goes_on_after_a_challenge(program: "Program", client: PaymentClient) -> None:
    payment = create(client, "card_3ds")
    client.payments.process(payment.payment_id)
    ended = program.run("complete", payment.payment_id)
    assert (ended.code, ended.lines[0]["status"]) == (0, "captured")


def test_events_are_told_oldest_first(program: "Program", client: PaymentClient) -> None:
    payment = captured(client)
    lines = program.run("events", payment.payment_id).lines
    assert [line["version"] for line in lines] == list(range(1, payment.version + 1))
    assert lines[0]["type"] == "payment.created"
    assert lines[-1]["payment"]["status"] == "captured"


def test_list_filters_and_shows_the_newest_first(program: "Program", client: PaymentClient) -> None:
    payments = [create(client, metadata={"shop": "a"}) for _ in range(3)]
    create(client, metadata={"shop": "b"})
    ended = program.run(
        *("list", "--customer-id", "cust123", "--status", "created", "--metadata", "shop=a"),
        *("--created-from", payments[0].created_at.isoformat(), "--created-before", "2100-01-01"),
        *("--limit", "2"),
    )
    shown = [line["payment_id"] for line in ended.lines]
    assert shown == [payments[2].payment_id, payments[1].payment_id]
    assert (ended.code, ended.error) == (0, "")


def test_list_goes_over_all_pages(program: "Program", client: PaymentClient) -> None:
    count = PAGE_SIZE + 1
    client.payments.create_many([NewPayment(amount=1, customer_id="c") for _ in range(count)])
    assert len({line["payment_id"] for line in program.run("list").lines}) == count


def test_health_tells_of_the_service(program: "Program") -> None:
    ended = program.run("health")
    assert (ended.code, ended.lines[0]["status"]) == (0, "healthy")


def test_a_watch_tells_each_event_at_once_and_goes_on_behind_a_cursor(
    program: "Program", client: PaymentClient
) -> None:
    payment = create(client)
    watch = program.start("watch", "--payment-id", payment.payment_id, "--from-beginning")
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    assert (first["type"], first["version"]) == ("payment.created", 1)
    client.payments.cancel(payment.payment_id)
    assert json.loads(watch.stdout.readline())["version"] == 2
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130
    assert watch.stderr is not None
    assert watch.stderr.read() == ""

    [behind] = program.run("watch", "--cursor", first["cursor"], "--limit", "1").lines
    assert behind["version"] == 2
