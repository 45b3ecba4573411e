"""Many callers at one payment, through two servers on one database: amounts add up, and of what
excludes each other never both happen."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import pytest
from auditing import differences_in
from databases import copy_of
from mutating_calls import STEPS, Call, over_grpc
from service_under_test import SCALE, Refusal, Servers, refusal_of, running

from payment.v1 import payment_pb2 as pb

ROUNDS = 12 * SCALE
WAVE = 50  # payments at once, with ten callers each: more than the connections can serve


@dataclass(frozen=True)
class Pair:
    """Two servers on one database; callers come to one or the other."""

    servers: tuple[Servers, Servers]

    @property
    def first(self) -> Servers:
        return self.servers[0]

    async def read(self, payment_id: str) -> pb.Payment:
        request = pb.GetPaymentRequest(payment_id=payment_id)
        return (await self.first.stub.GetPayment(request)).payment


@pytest.fixture(scope="module")
async def raced_url(superuser_url: str, template: str) -> AsyncIterator[str]:
    async with copy_of(superuser_url, template) as url:
        yield url


@pytest.fixture(scope="module")
async def pair(raced_url: str) -> AsyncIterator[Pair]:
    async with running(raced_url, {}, None) as one, running(raced_url, {}, None) as other:
        yield Pair((one, other))


@dataclass(frozen=True)
class Ask:
    """What one of the callers wants."""

    action: str
    fields: dict[str, Any] = field(default_factory=dict)

    async def outcome(self, servers: Servers, payment_id: str) -> Any:
        """The reply, or the refusal."""
        try:
            return await servers.ask(payment_id, self.action, **self.fields)
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)


async def test_of_ten_captures_of_300_on_1000_exactly_three_succeed(
    pair: Pair, raced_url: str
) -> None:
    reasons: Counter[str] = Counter()
    for _ in range(200 // WAVE):
        reasons += sum(await asyncio.gather(*(ten_captures(pair) for _ in range(WAVE))), Counter())
    assert reasons == {"": 600, "AMOUNT_EXCEEDS_CAPTURABLE": 1_400}
    assert await differences_in(raced_url) == {}


async def ten_captures(pair: Pair) -> Counter[str]:
    """How often each reason was told, with no reason for a success."""
    payment_id = (await pair.first.created(amount="10.00")).payment_id
    await pair.first.process(payment_id, "authorize")
    capture = Ask("capture", {"amount": "3.00"})
    outcomes = await asyncio.gather(
        *(capture.outcome(pair.servers[each % 2], payment_id) for each in range(10))
    )
    payment = await pair.read(payment_id)
    assert (payment.amount_captured, payment.amount_capturable) == ("9.00", "1.00")
    assert payment.version == 9
    return Counter(each.reason if isinstance(each, Refusal) else "" for each in outcomes)


@pytest.mark.parametrize("call", STEPS, ids=str)
async def test_the_same_key_ten_times_has_one_effect_and_one_answer(pair: Pair, call: Call) -> None:
    payment_id = await call.prepared(pair.first)
    version = (await pair.read(payment_id)).version
    answers = await asyncio.gather(
        *(over_grpc(pair.servers[each % 2], call, payment_id, key=payment_id) for each in range(10))
    )
    assert len({each.raw for each in answers}) == 1
    assert Counter(each.replayed for each in answers) == {"": 1, "true": 9}
    assert (await pair.read(payment_id)).version == version + 2


@dataclass(frozen=True)
class Race:
    """Callers of whom exactly one can have it, and the reasons that the others may be told."""

    name: str
    before: Sequence[str]
    asks: Sequence[Ask]
    reasons: set[str]
    payment_method: str = "card"

    def __str__(self) -> str:
        return self.name


BUSY = "PAYMENT_PROCESSING"
CAPTURE, CANCEL, PROCESS = Ask("capture"), Ask("cancel"), Ask("process")
MET, REFUSED = Ask("complete", {"result": "approved"}), Ask("complete", {"result": "refused"})
RACES = [
    Race(
        "cancel against capture",
        ["authorize"],
        [CANCEL, CAPTURE],
        {"CAPTURE_IN_PROGRESS", "ALREADY_CAPTURED", "CANCEL_IN_PROGRESS", "PAYMENT_CANCELED"},
    ),
    Race(
        "cancel against cancel",
        ["authorize"],
        [CANCEL, CANCEL],
        {"CANCEL_IN_PROGRESS", "PAYMENT_CANCELED"},
    ),
    Race(
        "capture against capture",
        ["authorize"],
        [Ask("capture", {"amount": "6.00"})] * 2,
        {"AMOUNT_EXCEEDS_CAPTURABLE"},
    ),
    Race(
        "final capture against final capture",
        ["authorize"],
        [Ask("capture", {"amount": amount, "final": True}) for amount in ("6.00", "4.00")],
        {"CAPTURE_IN_PROGRESS", "ALREADY_CAPTURED"},
    ),
    Race(
        "refund against refund",
        ["process"],
        [Ask("refund", {"amount": "6.00"})] * 2,
        {"AMOUNT_EXCEEDS_REFUNDABLE"},
    ),
    Race(
        "ten refunds of all",
        ["process"],
        [Ask("refund")] * 10,
        {"REFUND_IN_PROGRESS", "ALREADY_REFUNDED"},
    ),
    Race("process against process", [], [PROCESS, PROCESS], {BUSY, "ALREADY_CAPTURED"}),
    Race(
        "process against cancel",
        [],
        [PROCESS, CANCEL],
        {BUSY, "ALREADY_CAPTURED", "PAYMENT_CANCELED"},
    ),
    Race(
        "a challenge met against the same refused",
        ["process"],
        [MET, REFUSED],
        {BUSY, "ALREADY_CAPTURED", "ACTION_NOT_REQUIRED"},
        payment_method="card_3ds",
    ),
    Race(
        "a challenge met against cancel",
        ["process"],
        [MET, CANCEL],
        {BUSY, "ALREADY_CAPTURED", "PAYMENT_CANCELED"},
        payment_method="card_3ds",
    ),
]


@pytest.mark.scaled
@pytest.mark.parametrize("race", RACES, ids=str)
async def test_exactly_one_wins_and_the_others_change_nothing(
    pair: Pair, raced_url: str, race: Race
) -> None:
    random = Random(race.name)
    for _ in range(ROUNDS):
        payment_id = (await pair.first.created(payment_method=race.payment_method)).payment_id
        for action in race.before:
            await pair.first.ask(payment_id, action)
        outcomes = await asyncio.gather(
            *(
                soon(random, ask, pair.servers[index % 2], payment_id)
                for index, ask in enumerate(race.asks)
            )
        )
        lost = [each.reason for each in outcomes if isinstance(each, Refusal)]
        won = [each.payment for each in outcomes if not isinstance(each, Refusal)]
        assert len(won) == 1, lost
        assert set(lost) <= race.reasons
        assert await pair.read(payment_id) == won[0]
    assert await differences_in(raced_url) == {}


async def soon(random: Random, ask: Ask, servers: Servers, payment_id: str) -> Any:
    await asyncio.sleep(random.choice((0, random.uniform(0, 0.006))))
    return await ask.outcome(servers, payment_id)


@pytest.mark.scaled
async def test_a_final_capture_never_releases_what_another_one_takes(
    pair: Pair, raced_url: str
) -> None:
    random = Random("final capture against capture")
    part, final = Ask("capture", {"amount": "3.00"}), Ask("capture", {"amount": "4", "final": True})
    for _ in range(2 * ROUNDS):
        payment_id = (await pair.first.created()).payment_id
        await pair.first.process(payment_id, "authorize")
        took_part, took_final = [
            not isinstance(each, Refusal)
            for each in await asyncio.gather(
                soon(random, part, pair.servers[0], payment_id),
                soon(random, final, pair.servers[1], payment_id),
            )
        ]
        payment = await pair.read(payment_id)
        captured = 3 * took_part + 4 * took_final
        assert payment.amount_captured == f"{captured}.00"
        assert payment.amount_voided == (f"{10 - captured}.00" if took_final else "0.00")
    assert await differences_in(raced_url) == {}


async def test_thirty_refunds_at_once_are_all_booked(pair: Pair, raced_url: str) -> None:
    payment_id = (await pair.first.created(amount="30.00")).payment_id
    await pair.first.process(payment_id)
    refund = Ask("refund", {"amount": "1.00"})
    outcomes = await asyncio.gather(
        *(refund.outcome(pair.servers[each % 2], payment_id) for each in range(30))
    )
    refused = [each.reason for each in outcomes if isinstance(each, Refusal)]
    assert set(refused) <= {"TRANSACTION_ABORTED"}
    payment = await pair.read(payment_id)
    assert payment.amount_refund_pending == "0.00"
    assert payment.amount_refunded == f"{30 - len(refused)}.00"
    assert await differences_in(raced_url) == {}
