"""WatchPayments: what a watcher hears, and from where on."""

import uuid
from typing import Any

import grpc
import pytest
from msgspec.structs import replace
from service_under_test import Servers, refusal
from watching_under_test import heard, next_answer, opened, said

from payment.v1 import payment_pb2 as pb
from payment_server import watching as module
from payment_server.domain.events import BEGINNING, cursor_of, read_cursor

UNKNOWN = "01a20710-38df-7091-a55f-2c1049425859"


async def captured(servers: Servers, **fields: str) -> str:
    """The id of a payment with three events."""
    payment_id = (await servers.created(**fields)).payment_id
    await servers.process(payment_id)
    return payment_id


def whole(payment_id: str) -> list[tuple[str, int]]:
    return [(payment_id, version) for version in (1, 2, 3)]


async def test_the_first_answer_says_where_the_watch_begins(servers: Servers) -> None:
    await captured(servers)
    _, cursor = await opened(servers)
    answers, again = await opened(servers, cursor=cursor)
    assert again == cursor
    payment_id = await captured(servers)
    assert said(await heard(answers, 3)) == whole(payment_id)


async def test_events_are_told_as_they_are_listed(servers: Servers) -> None:
    answers, _ = await opened(servers)
    payment_id = await captured(servers)
    told = [each.event for each in await heard(answers, 3)]
    listed = await servers.stub.ListPaymentEvents(
        pb.ListPaymentEventsRequest(payment_id=payment_id)
    )
    assert told == list(listed.events)


async def test_a_watch_goes_on_behind_each_of_its_cursors(servers: Servers) -> None:
    answers, cursor = await opened(servers)
    for _ in range(3):
        await captured(servers)
    told = await heard(answers, 9)
    for index, each in enumerate([cursor, *(each.cursor for each in told)]):
        resumed, _ = await opened(servers, cursor=each)
        assert await heard(resumed, 9 - index) == told[index:]
        resumed.cancel()


async def test_a_watch_from_the_beginning_tells_all(servers: Servers) -> None:
    first, second = await captured(servers), await captured(servers)
    answers, cursor = await opened(servers, from_beginning=True)
    assert read_cursor(cursor)[1] == BEGINNING
    assert said(await heard(answers, 6)) == whole(first) + whole(second)


async def test_a_customers_watch_tells_only_of_their_payments(servers: Servers) -> None:
    answers, cursor = await opened(servers, customer_id="anna")
    await captured(servers, customer_id="bert")
    annas = await captured(servers, customer_id="anna")
    assert said(await heard(answers, 3)) == whole(annas)
    again, _ = await opened(servers, customer_id="anna", cursor=cursor)
    assert said(await heard(again, 3)) == whole(annas)


async def test_a_payments_watch_tells_only_of_it(servers: Servers) -> None:
    payment_id = (await servers.created()).payment_id
    answers, _ = await opened(servers, payment_id=payment_id.upper())
    await captured(servers)
    await servers.process(payment_id)
    assert said(await heard(answers, 2)) == whole(payment_id)[1:]


async def test_a_payments_watch_goes_on_behind_a_cursor_of_another_watch(servers: Servers) -> None:
    everything, _ = await opened(servers)
    payment_id = (await servers.created()).payment_id
    await captured(servers)
    between = (await heard(everything, 4))[-1].cursor
    await servers.process(payment_id)
    answers, _ = await opened(servers, payment_id=payment_id, cursor=between)
    assert said(await heard(answers, 2)) == whole(payment_id)[1:]


async def test_a_merchant_sees_only_their_own(servers: Servers) -> None:
    answers, _ = await opened(servers, merchant="acme")
    await captured(servers)
    request = pb.CreatePaymentRequest(amount="1", customer_id="c")
    created = await servers.stub.CreatePayment(request, metadata=(("x-merchant-id", "acme"),))
    assert said(await heard(answers, 1)) == [(created.payment_id, 1)]


@pytest.mark.parametrize("payment_id", [UNKNOWN, "pay_1"])
async def test_a_payment_that_there_is_not_cannot_be_watched(
    servers: Servers, payment_id: str
) -> None:
    failed = await refusal(watch(servers, payment_id=payment_id))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "PAYMENT_NOT_FOUND")
    assert "ResourceInfo" in failed.details
    assert failed.trailing["x-request-id"]


async def test_a_payment_of_another_merchant_cannot_be_watched(servers: Servers) -> None:
    payment_id = (await servers.created()).payment_id
    stream = servers.stub.WatchPayments(
        pb.WatchPaymentsRequest(payment_id=payment_id), metadata=(("x-merchant-id", "acme"),)
    )
    assert (await refusal(stream.read())).reason == "PAYMENT_NOT_FOUND"


async def watch(servers: Servers, **wish: str | bool) -> object:
    """The first answer."""
    return await servers.stub.WatchPayments(pb.WatchPaymentsRequest(**wish)).read()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"payment_id": UNKNOWN, "customer_id": "c"}, "customer_id"),
        ({"cursor": "1.AAAA", "from_beginning": True}, "from_beginning"),
        ({"cursor": "1.AAAA"}, "cursor"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "x" * 256}, "cursor"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    servers: Servers, wish: dict[str, str | bool], field: str
) -> None:
    failed = await refusal(watch(servers, **wish))
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", [field])


async def test_bytes_that_are_no_wish_are_malformed(servers: Servers) -> None:
    method: Any = servers.channel.unary_stream("/payment.v1.PaymentService/WatchPayments")
    assert (await refusal(method(b"\xff").read())).reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": 2**64 - 1},
        {"payment_id": UNKNOWN},
        {"version": 4},
        {"version": -1},
    ],
    ids=str,
)
async def test_a_cursor_of_what_never_happened_has_expired(
    servers: Servers, change: dict[str, str | int]
) -> None:
    await captured(servers)
    _, cursor = await opened(servers)
    database, position = read_cursor(cursor)
    failed = await refusal(watch(servers, cursor=cursor_of(database, replace(position, **change))))
    assert (failed.code, failed.reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")


async def test_a_cursor_of_another_database_has_expired(servers: Servers) -> None:
    await captured(servers)
    _, cursor = await opened(servers)
    foreign = cursor_of(uuid.uuid4(), read_cursor(cursor)[1])
    assert (await refusal(watch(servers, cursor=foreign))).reason == "CURSOR_EXPIRED"


async def test_a_quiet_watch_says_now_and_then_how_far_it_has_come(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    answers, began = await opened(servers, customer_id="anna")
    everything, _ = await opened(servers)
    await captured(servers, customer_id="bert")
    last = (await heard(everything, 3))[-1].cursor
    cursor = began
    while cursor != last:
        answer = await next_answer(answers)
        assert not answer.HasField("event")
        cursor = answer.cursor
    annas = await captured(servers, customer_id="anna")
    resumed, _ = await opened(servers, customer_id="anna", cursor=cursor)
    assert said(await heard(resumed, 3)) == whole(annas) == said(await heard(answers, 3))


async def test_a_long_way_to_the_next_match_is_told_on_the_way(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_ROWS", 2)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    for _ in range(3):
        await captured(servers, customer_id="bert")
    answers, cursor = await opened(servers, customer_id="anna", from_beginning=True)
    for _ in range(3):
        answer = await next_answer(answers)
        assert read_cursor(answer.cursor)[1] > read_cursor(cursor)[1]
        cursor = answer.cursor
