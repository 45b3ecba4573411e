"""Many payments in one call: at the real service, and at one of foreign make."""

import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from payment.v1 import payment_pb2 as pb
from payment_client import (
    CardDataRejected,
    CreatedPayments,
    IdempotencyKeyReused,
    Internal,
    InvalidRequest,
    NewPayment,
    OutcomeUnknown,
    Payment,
    PaymentError,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from conftest import ForeignServer, Twin

ZEROS = {
    field.name: "0.00" for field in pb.Payment.DESCRIPTOR.fields if field.name.startswith("amount")
}


def new(amount: Decimal | str | int = "10.00", **fields: Any) -> NewPayment:
    return NewPayment(**{"amount": amount, "customer_id": "cust123", **fields})


# What the service does with them.


async def test_each_payment_is_recorded_in_its_order(twin: "Twin") -> None:
    done = await twin.create_many(new(amount) for amount in (1, "2", Decimal("3.00")))
    assert [str(each.amount) for each in done.payments] == ["1.00", "2.00", "3.00"]
    assert done.results == done.payments
    assert list(done.payments) == (await twin.list_all())[::-1]
    done.raise_first_error()


async def test_what_is_told_is_what_create_would_have_told(twin: "Twin") -> None:
    wish = new("1.5", currency="eur", description="Two tickets", metadata={"order": "42"})
    [payment] = (await twin.create_many([wish])).payments
    assert payment == await twin.create(
        amount="1.5",
        currency="eur",
        description="Two tickets",
        metadata={"order": "42"},
        idempotency_key=wish.idempotency_key,
    )


async def test_the_same_payments_sent_again_are_replays(twin: "Twin") -> None:
    wishes = [new(), new()]
    first = await twin.create_many(wishes[:1])
    again = await twin.create_many(wishes)
    assert [each.call.replayed for each in again.payments] == [True, False]
    assert again.payments[0] == first.payments[0]
    assert len(await twin.list_all()) == 2


async def test_one_that_is_refused_holds_up_no_other(twin: "Twin") -> None:
    key = new().idempotency_key
    wishes = [
        new(idempotency_key=key),
        new("-1", currency="XYZ"),
        new("99", idempotency_key=key),
        new(description="my card is 4539578763621486"),
        new(description="x" * 70_000),
        new(),
    ]
    done = await twin.create_many(wishes, headers={"x-request-id": "r-1"})
    kinds = [type(each) for each in done.results]
    assert kinds == [
        *(Payment, InvalidRequest, IdempotencyKeyReused, CardDataRejected, ResourceExhausted),
        Payment,
    ]
    assert [each.idempotency_key for each in done.errors] == [
        each.idempotency_key for each in wishes[1:5]
    ]
    assert {each.request_id for each in done.errors} == {"r-1"}
    assert [each.field for each in done.errors[0].violations] == ["currency", "amount"]
    with pytest.raises(InvalidRequest):
        done.raise_first_error()


async def test_an_error_is_the_one_that_create_raises(twin: "Twin") -> None:
    [error] = (await twin.create_many([new("0", customer_id="")])).errors
    with pytest.raises(PaymentError) as caught:
        await twin.create(amount="0", customer_id="")
    assert facts(error) == facts(caught.value)


def facts(error: PaymentError) -> dict[str, object]:
    own = {"idempotency_key": "", "request_id": ""}
    return {name: value for name, value in vars(error).items() if name not in own}


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_of_none_or_too_many_is_refused(twin: "Twin", count: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await twin.create_many([new()] * count)
    assert [each.field for each in caught.value.violations] == ["requests"]


async def test_a_batch_that_is_too_large_is_refused(twin: "Twin") -> None:
    with pytest.raises(ResourceExhausted):
        await twin.create_many([new(description="x" * 60_000) for _ in range(20)])
    assert await twin.list_all() == []


async def test_the_answer_to_a_mebibyte_is_read(twin: "Twin") -> None:
    wishes = [new(metadata={"k": "x" * 500}, description="y" * 300) for _ in range(1_000)]
    assert len((await twin.create_many(wishes, timeout_seconds=30)).payments) == 1_000


# What is refused before anything is sent.


async def test_what_cannot_be_sent_is_told_with_its_position(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    twin = connect(foreign.target)
    for wish, field in (
        (new(customer_id="\ud800"), "requests[1].customer_id"),
        (new(idempotency_key=""), "requests[1].idempotency_key"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await twin.create_many([new(), wish])
        assert [each.field for each in caught.value.violations] == [field]
    with pytest.raises(TypeError, match="never a float") as raised:
        await twin.create_many([new(), new(10.0)])  # type: ignore[arg-type]
    assert raised.value.__notes__ == ["This is about payment 1 of the batch, counted from 0."]
    assert foreign.methods == []


# What another server may do with them.


async def test_each_payment_has_one_key_for_all_attempts(
    connect: "Callable[..., Twin]", foreign: "ForeignServer"
) -> None:
    foreign.fail(grpc.StatusCode.UNIMPLEMENTED)
    wishes = [new(), new(idempotency_key="order-42"), new()]
    for _ in range(2):
        with pytest.raises(PaymentError):
            await connect(foreign.target).create_many(wishes)
    first, second = map(pb.BatchCreatePaymentsRequest.FromString, foreign.requests)
    assert first == second
    keys = [each.idempotency_key for each in first.requests]
    assert keys == [each.idempotency_key for each in wishes]
    assert len(set(keys)) == 3


CREATED = pb.BatchCreatePaymentsResult(
    created=pb.CreatePaymentResponse(payment=pb.Payment(**ZEROS))  # type: ignore[arg-type]
)


@pytest.mark.parametrize(
    ("results", "told"),
    [
        ([], "0 results for 1 requests"),
        ([CREATED, CREATED], "2 results for 1 requests"),
        ([pb.BatchCreatePaymentsResult()], "neither a payment nor an error"),
        (
            [pb.BatchCreatePaymentsResult(created=pb.CreatePaymentResponse())],
            "an amount that is no number",
        ),
    ],
    ids=["too few", "too many", "nothing", "no payment"],
)
async def test_an_answer_against_the_contract_is_internal(
    connect: "Callable[..., Twin]",
    foreign: "ForeignServer",
    results: list[pb.BatchCreatePaymentsResult],
    told: str,
) -> None:
    answer = pb.BatchCreatePaymentsResponse(results=results)
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    with pytest.raises(Internal, match=told):
        await connect(foreign.target).create_many([new()])


@pytest.mark.parametrize(
    ("replay", "flags"), [("true", (True, False)), ("reconstructed", (True, True))]
)
async def test_a_replay_among_them_says_that_it_is_one(
    connect: "Callable[..., Twin]",
    foreign: "ForeignServer",
    replay: str,
    flags: tuple[bool, bool],
) -> None:
    replayed = pb.BatchCreatePaymentsResult(created=CREATED.created, idempotency_replayed=replay)
    answer = pb.BatchCreatePaymentsResponse(results=[CREATED, replayed])
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    first, second = (await connect(foreign.target).create_many([new(), new()])).payments
    assert (first.call.replayed, first.call.reconstructed) == (False, False)
    assert (second.call.replayed, second.call.reconstructed) == flags


@pytest.mark.parametrize("code", [0, 13, 99])
async def test_an_error_of_any_code_is_read(
    connect: "Callable[..., Twin]", foreign: "ForeignServer", code: int
) -> None:
    error = pb.Error(code=code, message="because")
    error.details.add().Pack(ErrorInfo(reason="NEW", domain="payment.v1"))
    answer = pb.BatchCreatePaymentsResponse(results=[pb.BatchCreatePaymentsResult(error=error)])
    foreign.answer = lambda _request, _context: answer.SerializeToString()
    [told] = (await connect(foreign.target).create_many([new()])).errors
    assert (type(told), told.reason, told.message) == (OutcomeUnknown, "NEW", "because")


# The values.


def test_two_new_payments_are_two_payments() -> None:
    assert new() != new()
    assert new(idempotency_key="k") == new(idempotency_key="k")
    assert hash(new(idempotency_key="k", metadata={"a": "b"}))


def test_a_new_payment_pickles_with_its_key() -> None:
    wish = new()
    assert pickle.loads(pickle.dumps(wish)) == wish  # noqa: S301 - our own


def test_what_is_printed_has_no_words_of_customers() -> None:
    wish = new("10.00", idempotency_key="k-1", description="secret")
    assert repr(wish) == "NewPayment(10.00 USD, key k-1)"
    done = CreatedPayments(results=(Unavailable("secret"),))
    assert repr(done) == "CreatedPayments(0 recorded, 1 failed)"
