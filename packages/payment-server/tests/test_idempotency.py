"""One key, one effect, one answer: every mutating call, on both surfaces."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from databases import copy_of
from mutating_calls import (
    CALLS,
    CANCEL,
    CAPTURE,
    COMPLETE,
    CREATE,
    PROCESS,
    REFUND,
    STEPS,
    Call,
    both_refusals,
    http_reply,
    is_reused,
    moved_on,
    over_grpc,
    over_http,
)
from service_under_test import Servers, refusal, running

every_call = pytest.mark.parametrize("call", CALLS, ids=str)
every_step = pytest.mark.parametrize("call", STEPS, ids=str)
both = pytest.mark.parametrize("send", [over_grpc, over_http])


@pytest.fixture(scope="module")
async def servers(superuser_url: str, template: str) -> AsyncIterator[Servers]:
    """One service for all: each test has payments and a key of its own."""
    async with copy_of(superuser_url, template) as url, running(url, {}, None) as started:
        yield started


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


# Replays.


@every_call
@both
async def test_a_replay_has_the_same_bytes_and_is_marked(
    servers: Servers, key: str, call: Call, send: Any
) -> None:
    payment_id = await call.prepared(servers)
    first = await send(servers, call, payment_id, key=key)
    again = await send(servers, call, payment_id, key=key)
    assert (again.raw, first.replayed, again.replayed) == (first.raw, "", "true")


@every_call
async def test_a_replay_on_the_other_surface_has_the_same_values(
    servers: Servers, key: str, call: Call
) -> None:
    for first_by, then_by in ((over_grpc, over_http), (over_http, over_grpc)):
        payment_id = await call.prepared(servers)
        first = await first_by(servers, call, payment_id, key=f"{key}-{first_by.__name__}")
        again = await then_by(servers, call, payment_id, key=f"{key}-{first_by.__name__}")
        assert (again.said, again.replayed) == (first.said, "true")


@every_step
async def test_a_replay_tells_what_was_even_when_the_payment_moved_on(
    servers: Servers, key: str, call: Call
) -> None:
    payment_id = await call.prepared(servers)
    first = await over_grpc(servers, call, payment_id, key=key)
    await moved_on(servers, payment_id)
    assert (await over_grpc(servers, call, payment_id, key=key)).raw == first.raw


async def test_a_decline_binds_its_key(servers: Servers, key: str) -> None:
    payment_id = (await servers.created(payment_method="decline:insufficient_funds")).payment_id
    first = await over_grpc(servers, PROCESS, payment_id, key=key)
    await servers.process(payment_id, payment_method="card")
    again = await over_grpc(servers, PROCESS, payment_id, key=key)
    assert (again.raw, again.operation["status"]) == (first.raw, "failed")


# Other meanings.


@pytest.mark.parametrize("call", [each for each in CALLS if each.other is not None], ids=str)
async def test_another_wish_under_the_key_is_refused(
    servers: Servers, key: str, call: Call
) -> None:
    payment_id = await call.prepared(servers)
    await over_grpc(servers, call, payment_id, key=key)
    assert is_reused(*await both_refusals(servers, call, payment_id, key=key, fields=call.other))


@every_step
async def test_the_key_on_another_payment_is_refused(
    servers: Servers, key: str, call: Call
) -> None:
    await over_grpc(servers, call, await call.prepared(servers), key=key)
    another = await call.prepared(servers)
    assert is_reused(*await both_refusals(servers, call, another, key=key))
    assert (await over_grpc(servers, call, another, key=f"{key}-2")).replayed == ""


@every_step
async def test_the_key_of_a_creation_is_refused(servers: Servers, key: str, call: Call) -> None:
    await over_grpc(servers, CREATE, "", key=key)
    payment_id = await call.prepared(servers)
    assert is_reused(*await both_refusals(servers, call, payment_id, key=key))


ONE_MEANING = {
    "an amount without its decimals": (REFUND, {"amount": "4.00"}, REFUND, {"amount": "4"}),
    "an amount with one decimal": (CAPTURE, {"amount": "4.50"}, CAPTURE, {"amount": "4.5"}),
    "no action for process": (PROCESS, {}, PROCESS, {"action": "process"}),
    "refund by its name": (REFUND, {"amount": "4"}, PROCESS, {"action": "refund", "amount": "4"}),
    "cancel by its name": (CANCEL, {}, PROCESS, {"action": "cancel"}),
    "no result for approved": (COMPLETE, {}, COMPLETE, {"result": "approved"}),
    "a test number for its token": (
        PROCESS,
        {"payment_method": "4242 4242 4242 4242"},
        PROCESS,
        {"payment_method": "card_visa"},
    ),
}


@pytest.mark.parametrize(("one", "fields", "same", "as_"), ONE_MEANING.values(), ids=ONE_MEANING)
async def test_two_spellings_are_one_meaning(
    servers: Servers, key: str, one: Call, fields: dict[str, Any], same: Call, as_: dict[str, Any]
) -> None:
    payment_id = await one.prepared(servers)
    first = await over_grpc(servers, one, payment_id, key=key, fields=fields)
    for send in (over_grpc, over_http):
        again = await send(servers, same, payment_id.upper(), key=key, fields=as_)
        assert (again.replayed, again.said["operation"]) == ("true", first.said["operation"])


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": "10"},
        {"amount": "10.0", "currency": "usd"},
        {"currency": "USD", "payment_method": "card", "description": "", "metadata": {}},
    ],
    ids=str,
)
async def test_two_spellings_of_a_payment_are_one_meaning(
    servers: Servers, key: str, fields: dict[str, Any]
) -> None:
    first = await over_grpc(servers, CREATE, "", key=key)
    for send in (over_grpc, over_http):
        assert (await send(servers, CREATE, "", key=key, **fields)).said == first.said


async def test_the_capture_that_authorizes_too_is_another_meaning(
    servers: Servers, key: str
) -> None:
    payment_id = await CAPTURE.prepared(servers)
    await over_grpc(servers, CAPTURE, payment_id, key=key, fields={"amount": "4"})
    wish = {"action": "capture", "amount": "4"}
    assert is_reused(*await both_refusals(servers, PROCESS, payment_id, key=key, fields=wish))


async def test_a_deadline_is_part_of_the_meaning_whatever_its_offset(
    servers: Servers, key: str
) -> None:
    deadline = datetime(2999, 1, 1, 12, tzinfo=UTC)
    first = await over_grpc(servers, CREATE, "", key=key, expires_at=deadline)
    elsewhere = "2999-01-01T14:00:00.0004+02:00"
    again = await over_http(servers, CREATE, "", key=key, expires_at=elsewhere)
    assert (again.said, again.replayed) == (first.said, "true")
    later = {**CREATE.fields, "expires_at": "2999-01-01T12:00:01Z"}
    reply = await http_reply(servers, CREATE, "", key=key, fields=later)
    assert reply.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"


# The order of judgement: key, fingerprint, expected_version, state, amounts.


@every_step
async def test_a_bound_key_is_judged_before_version_and_status(
    servers: Servers, key: str, call: Call
) -> None:
    payment_id = await call.prepared(servers)
    first = await over_grpc(servers, call, payment_id, key=key)
    for send in (over_grpc, over_http):
        again = await send(servers, call, payment_id, key=key, expected_version=77)
        assert (again.said, again.replayed) == (first.said, "true")


async def test_another_meaning_is_judged_before_version_and_status(
    servers: Servers, key: str
) -> None:
    payment_id = await CANCEL.prepared(servers)
    await over_grpc(servers, CANCEL, payment_id, key=key)
    wish = {"amount": "99.00", "expected_version": 77}
    assert is_reused(*await both_refusals(servers, REFUND, payment_id, key=key, fields=wish))


async def test_the_version_is_judged_before_status_and_amount(servers: Servers) -> None:
    payment_id = await CANCEL.prepared(servers)
    wish = {"amount": "99.00", "expected_version": 77}
    failed, reply = await both_refusals(servers, REFUND, payment_id, fields=wish)
    assert failed.reason == reply.json()["reason"] == "VERSION_MISMATCH"
    assert failed.metadata == reply.json()["metadata"] == {"expected_version": "77", "version": "3"}


async def test_the_status_is_judged_before_the_amount(servers: Servers) -> None:
    payment_id = await CAPTURE.prepared(servers)
    failed, reply = await both_refusals(servers, REFUND, payment_id, fields={"amount": "99.001"})
    assert failed.reason == reply.json()["reason"] == "NOT_CAPTURED"


REFUSED = {
    "a bad field": ({"amount": "nonsense"}, "FIELD_INVALID"),
    "too many decimals": ({"amount": "1.001"}, "FIELD_INVALID"),
    "a stale version": ({"expected_version": 77}, "VERSION_MISMATCH"),
    "too much": ({"amount": "99.00"}, "AMOUNT_EXCEEDS_REFUNDABLE"),
}


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_binds_no_key(
    servers: Servers, key: str, fields: dict[str, Any], reason: str
) -> None:
    payment_id = await REFUND.prepared(servers)
    failed, reply = await both_refusals(servers, REFUND, payment_id, key=key, fields=fields)
    assert failed.reason == reply.json()["reason"] == reason
    assert (await over_grpc(servers, REFUND, payment_id, key=key)).replayed == ""


@pytest.mark.parametrize("call", [CAPTURE, REFUND, COMPLETE], ids=str)
async def test_a_refused_step_binds_no_key(servers: Servers, key: str, call: Call) -> None:
    payment_id = (await servers.created(payment_method=call.payment_method)).payment_id
    await refusal(over_grpc(servers, call, payment_id, key=key))
    for action in call.before:
        await servers.ask(payment_id, action)
    assert (await over_grpc(servers, call, payment_id, key=key)).replayed == ""


async def test_an_unknown_payment_binds_no_key(servers: Servers, key: str) -> None:
    nowhere = "01a20710-38df-7091-a55f-2c1049425859"
    assert (await refusal(over_grpc(servers, PROCESS, nowhere, key=key))).code is (
        grpc.StatusCode.NOT_FOUND
    )
    payment_id = await PROCESS.prepared(servers)
    assert (await over_grpc(servers, PROCESS, payment_id, key=key)).replayed == ""
