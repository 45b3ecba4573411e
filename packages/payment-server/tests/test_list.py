"""ListPayments over gRPC and /v1: order, pages and filters."""

from datetime import timedelta
from typing import Any

import pytest
from service_under_test import Servers, refusal

from payment.v1 import payment_pb2 as pb
from payment_server import reading
from payment_server.store import payments


async def listed(servers: Servers, **fields: Any) -> pb.ListPaymentsResponse:
    return await servers.stub.ListPayments(pb.ListPaymentsRequest(**fields))


async def made(servers: Servers, count: int) -> list[str]:
    """Ids in the order of creation."""
    return [(await servers.created()).payment_id for _ in range(count)]


async def test_the_newest_payment_comes_first(servers: Servers) -> None:
    ids = await made(servers, 5)
    answer = await listed(servers)
    assert [each.payment_id for each in answer.payments] == ids[::-1]
    assert answer.next_page_token == ""


async def test_pages_follow_each_other_without_gap_or_overlap(servers: Servers) -> None:
    ids = await made(servers, 7)
    seen, token = [], ""
    for size in (3, 3, 3):
        page = await listed(servers, page_size=size, page_token=token)
        seen += [each.payment_id for each in page.payments]
        token = page.next_page_token
    assert (seen, token) == (ids[::-1], "")


async def test_what_is_created_meanwhile_does_not_shift_the_pages(servers: Servers) -> None:
    ids = await made(servers, 4)
    first = await listed(servers, page_size=2)
    await made(servers, 2)
    second = await listed(servers, page_size=2, page_token=first.next_page_token)
    assert [each.payment_id for each in second.payments] == ids[1::-1]


async def test_filters_must_all_match(servers: Servers) -> None:
    wanted = await servers.created(customer_id="a", metadata={"order": "1", "shop": "x"})
    await servers.created(customer_id="a", metadata={"order": "2"})
    await servers.created(customer_id="b", metadata={"order": "1"})
    answer = await listed(servers, customer_id="a", metadata={"order": "1"})
    assert [each.payment_id for each in answer.payments] == [wanted.payment_id]


async def test_a_status_filters(servers: Servers) -> None:
    await servers.created()
    done = await servers.created()
    await servers.process(done.payment_id)
    answer = await listed(servers, status=pb.PAYMENT_STATUS_CAPTURED)
    assert [each.payment_id for each in answer.payments] == [done.payment_id]


async def test_the_created_range_includes_its_start_and_not_its_end(servers: Servers) -> None:
    payment = await servers.created()
    at = payment.created_at.ToDatetime()
    step = timedelta(milliseconds=1)
    assert len((await listed(servers, created_from=at, created_before=at + step)).payments) == 1
    assert len((await listed(servers, created_before=at)).payments) == 0
    assert len((await listed(servers, created_from=at + step)).payments) == 0


async def all_pages(servers: Servers, **fields: Any) -> list[pb.ListPaymentsResponse]:
    pages = [await listed(servers, **fields)]
    while token := pages[-1].next_page_token:
        pages.append(await listed(servers, page_token=token, **fields))
    return pages


def ids_of(pages: list[pb.ListPaymentsResponse]) -> list[str]:
    return [each.payment_id for page in pages for each in page.payments]


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 5, 6, 7, 8])
async def test_a_page_of_several_blocks_has_all_that_was_asked_for(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, page_size: int
) -> None:
    monkeypatch.setattr(reading, "BLOCK_ROWS", 3)
    ids = await made(servers, 7)
    pages = await all_pages(servers, page_size=page_size)
    assert ids_of(pages) == ids[::-1]
    assert {len(page.payments) for page in pages[:-1]} <= {page_size}


@pytest.mark.parametrize("customer_id", ["", "cust123"])
async def test_a_page_whose_time_is_up_says_where_to_go_on(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, customer_id: str
) -> None:
    monkeypatch.setattr(payments, "SCAN_ROWS", 2)
    monkeypatch.setattr(reading, "PAGE_SECONDS", 0.0)
    wanted = [(await servers.created(metadata={"order": "1"})).payment_id]
    await made(servers, 4)
    wanted += [(await servers.created(metadata={"order": "1"})).payment_id for _ in range(2)]
    await made(servers, 1)
    pages = await all_pages(servers, metadata={"order": "1"}, customer_id=customer_id)
    assert ids_of(pages) == wanted[::-1]
    assert [len(page.payments) for page in pages] == [1, 1, 0, 1, 0]


async def test_a_page_looks_on_while_it_has_time(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "SCAN_ROWS", 2)
    wanted = await servers.created(metadata={"order": "1"})
    await made(servers, 7)
    page = await listed(servers, metadata={"order": "1"})
    assert ids_of([page]) == [wanted.payment_id]


LARGEST = {f"{number:040}": "é" * 500 for number in range(50)}  # of as many bytes as a request has
CLIENTS_LIMIT_BYTES = 4 * 1024 * 1024
"""What gRPC's clients take of an answer unless told otherwise."""


async def test_a_page_of_the_largest_payments_fits_into_an_answer(servers: Servers) -> None:
    ids = [(await servers.created(metadata=LARGEST)).payment_id for _ in range(90)]
    pages = await all_pages(servers, page_size=1000)
    assert ids_of(pages) == ids[::-1]
    assert sum(page.ByteSize() for page in pages) > CLIENTS_LIMIT_BYTES
    assert {page.ByteSize() > CLIENTS_LIMIT_BYTES / 4 for page in pages[:-1]} == {True}


async def test_a_page_of_the_largest_events_fits_into_an_answer(servers: Servers) -> None:
    payment = await servers.created(metadata=LARGEST, amount="100.00")
    await servers.process(payment.payment_id, "authorize")
    for _ in range(44):
        await servers.ask(payment.payment_id, "capture", amount="1.00")
    versions: list[int] = []
    token = ""
    while token or not versions:
        request = pb.ListPaymentEventsRequest(
            payment_id=payment.payment_id, page_size=1000, page_token=token
        )
        page = await servers.stub.ListPaymentEvents(request)
        versions += [each.version for each in page.events]
        token = page.next_page_token
    assert versions == list(range(1, 92))


async def test_a_merchant_sees_its_own_payments_only(servers: Servers) -> None:
    await servers.created()
    answer = await servers.stub.ListPayments(
        pb.ListPaymentsRequest(), metadata=(("x-merchant-id", "other"),)
    )
    assert len(answer.payments) == 0


async def test_a_token_of_another_list_is_refused(servers: Servers) -> None:
    await made(servers, 2)
    token = (await listed(servers, page_size=1)).next_page_token
    failed = await refusal(listed(servers, page_token=token, customer_id="cust123"))
    assert (failed.reason, failed.fields) == ("FIELD_INVALID", ["page_token"])


@pytest.mark.parametrize(
    "fields", [{"page_size": -1}, {"page_token": "nonsense"}, {"status": 99}], ids=str
)
async def test_a_bad_list_is_refused_by_field(servers: Servers, fields: dict[str, object]) -> None:
    failed = await refusal(listed(servers, **fields))
    assert failed.fields == list(fields)


async def test_more_than_1000_a_page_gives_1000(servers: Servers) -> None:
    await made(servers, 1)
    assert len((await listed(servers, page_size=5_000)).payments) == 1


async def test_the_same_list_over_http(servers: Servers) -> None:
    ids = await made(servers, 3)
    await servers.created(metadata={"order": "7"})
    reply = await servers.http.get("/v1/payments", params={"page_size": "2"})
    page = reply.json()
    rest = await servers.http.get("/v1/payments", params={"page_token": page["next_page_token"]})
    assert [each["payment_id"] for each in rest.json()["payments"]] == ids[1::-1]
    one = await servers.http.get("/v1/payments", params={"metadata[order]": "7"})
    assert len(one.json()["payments"]) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statsu", "captured"),
        ("status", "lost"),
        ("page_size", "many"),
        ("created_from", "2026-11-23"),
        ("created_from", "2026-11-23T10:00:00"),
    ],
)
async def test_a_bad_parameter_is_named(servers: Servers, name: str, value: str) -> None:
    reply = await servers.http.get("/v1/payments", params={name: value})
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, name)
