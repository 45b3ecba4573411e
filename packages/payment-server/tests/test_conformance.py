"""What every processor's adapter must do, whoever is behind it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from processor_bench import (
    BENCHES,
    ENDS_THE_PROCESS,
    HAS_NO_EFFECT,
    IMPOSSIBLE,
    SETTLE_SECONDS,
    Bench,
    Failure,
    an_operation,
)
from processor_outside import Book

from payment_server.domain import ids
from payment_server.domain.errors import InvalidRequest, ProcessorUnreachable
from payment_server.domain.operation import Operation, OperationKind, OperationStatus, Verdict
from payment_server.domain.payment import CaptureMethod, Payment

PATIENCE_SECONDS = 10.0
LITTLE_PATIENCE_SECONDS = 0.2  # for an answer that never comes
KINDS = [each for each in OperationKind if each is not OperationKind.COMPLETE]


@pytest.fixture(scope="module", params=BENCHES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with BENCHES[request.param]() as found:
        yield found


@pytest.fixture
def payment() -> Payment:
    payment_id = ids.new_id()
    return Payment(
        payment_id=payment_id,
        merchant_id="default",
        customer_id="cust123",
        payment_method="card",
        capture_method=CaptureMethod.MANUAL,
        description="",
        metadata={},
        currency="USD",
        exponent=2,
        amount_minor=1000,
        created_at=ids.time_of(payment_id),
        updated_at=ids.time_of(payment_id),
    )


async def settled(bench: Bench, payment: Payment, operation: Operation) -> Verdict:
    """What look-ups say in the end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            verdict = await bench.found(payment, operation)
            is_final = verdict.status is not OperationStatus.PENDING
            if is_final and verdict.recheck_at is None:
                return verdict
            await asyncio.sleep(SETTLE_SECONDS / 10)


def test_each_adapter_either_has_a_failure_or_a_reason_why_not() -> None:
    assert IMPOSSIBLE.keys() == BENCHES.keys()
    reasons = [reason for reasons in IMPOSSIBLE.values() for reason in reasons.values()]
    assert all(reasons)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_operation_that_comes_again_has_one_effect_and_one_verdict(
    bench: Bench, payment: Payment, kind: OperationKind
) -> None:
    operation = an_operation(payment, kind)
    verdict = await bench.ask(payment, operation)
    assert await bench.ask(payment, operation) == verdict
    bench.count_effects(operation)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_operation_that_comes_many_times_at_once_has_one_effect_and_one_verdict(
    bench: Bench, payment: Payment, kind: OperationKind
) -> None:
    operation = an_operation(payment, kind)
    verdicts = await asyncio.gather(*(bench.ask(payment, operation) for _ in range(20)))
    assert verdicts == verdicts[:1] * 20
    bench.count_effects(operation)


@pytest.mark.parametrize("token", ["card", "decline:lost_card", "card_3ds"])
async def test_a_verdict_outlives_the_processors_crash(
    bench: Bench, payment: Payment, token: str
) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE, token)
    verdict = await bench.ask(payment, operation)
    await bench.restarted()
    assert await bench.found(payment, operation) == verdict
    assert await bench.ask(payment, operation) == verdict
    bench.count_effects(operation)


async def test_two_operations_of_one_payment_have_two_effects(
    bench: Bench, payment: Payment
) -> None:
    for _ in range(2):
        operation = an_operation(payment, OperationKind.REFUND, amount_minor=300)
        await bench.ask(payment, operation)
        bench.count_effects(operation)
    bench.add_up(payment, Book(refunded=600))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_known_operation_is_found_with_its_verdict(
    bench: Bench, payment: Payment, kind: OperationKind
) -> None:
    operation = an_operation(payment, kind)
    verdict = await bench.ask(payment, operation)
    assert await bench.found(payment, operation) == verdict
    bench.count_effects(operation)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_operation_is_not_found_and_looking_has_no_effect(
    bench: Bench, payment: Payment, kind: OperationKind
) -> None:
    operation = an_operation(payment, kind)
    assert await bench.processor.look_up(payment, operation) is None
    bench.count_effects(operation, 0)


async def test_a_pending_refund_is_found_pending_until_it_succeeds(
    bench: Bench, payment: Payment
) -> None:
    operation = an_operation(payment, OperationKind.REFUND, "card_refund_pending")
    assert (await bench.ask(payment, operation)).status is OperationStatus.PENDING
    early = await bench.processor.look_up(payment, operation)
    assert early is not None
    if datetime.now(UTC) < operation.created_at + timedelta(seconds=SETTLE_SECONDS):
        assert early.status is OperationStatus.PENDING
    assert (await settled(bench, payment, operation)).status is OperationStatus.SUCCEEDED
    bench.count_effects(operation)


async def test_a_refund_that_may_still_fail_says_when_to_look_again(
    bench: Bench, payment: Payment
) -> None:
    operation = an_operation(payment, OperationKind.REFUND, "card_refund_late_fail")
    verdict = await bench.ask(payment, operation)
    assert verdict.status is OperationStatus.SUCCEEDED
    assert verdict.recheck_at is not None
    assert verdict.recheck_at > operation.created_at
    later = await settled(bench, payment, operation)
    assert later.status is OperationStatus.FAILED
    assert later.decline is not None


@pytest.mark.parametrize(
    ("code", "network_code", "advice"),
    [("insufficient_funds", "51", "later"), ("lost_card", "41", "never")],
)
async def test_a_decline_carries_code_advice_and_message(
    bench: Bench, payment: Payment, code: str, network_code: str, advice: str
) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE, f"decline:{code}")
    decline = (await bench.ask(payment, operation)).decline
    assert decline is not None
    assert (decline.code, decline.network_code, decline.advice) == (code, network_code, advice)
    assert decline.message.endswith(".")
    bench.add_up(payment, Book())


async def test_a_hold_is_authorized_and_its_end_is_to_come(bench: Bench, payment: Payment) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE)
    verdict = await bench.ask(payment, operation)
    assert verdict.status is OperationStatus.SUCCEEDED
    assert verdict.expires_at is None or verdict.expires_at > operation.created_at
    bench.add_up(payment, Book(authorized=1000))


async def test_an_authorization_that_captures_takes_the_money_at_once(
    bench: Bench, payment: Payment
) -> None:
    operation = replace(an_operation(payment, OperationKind.AUTHORIZE), captures=True)
    assert (await bench.ask(payment, operation)).status is OperationStatus.SUCCEEDED
    bench.add_up(payment, Book(authorized=1000, captured=1000))


async def test_a_part_is_captured_the_rest_released_and_a_part_given_back(
    bench: Bench, payment: Payment
) -> None:
    final = an_operation(payment, OperationKind.CAPTURE, amount_minor=200)
    for operation in (
        an_operation(payment, OperationKind.AUTHORIZE),
        an_operation(payment, OperationKind.CAPTURE, amount_minor=300),
        replace(final, released_minor=500),
        an_operation(payment, OperationKind.REFUND, amount_minor=100),
    ):
        assert (await bench.ask(payment, operation)).status is OperationStatus.SUCCEEDED
    bench.add_up(payment, Book(authorized=1000, captured=500, voided=500, refunded=100))


async def test_a_cancel_releases_the_hold(bench: Bench, payment: Payment) -> None:
    for kind in (OperationKind.AUTHORIZE, OperationKind.CANCEL):
        assert (await bench.ask(payment, an_operation(payment, kind))).decline is None
    bench.add_up(payment, Book(authorized=1000, voided=1000))


@pytest.mark.parametrize("captures", [True, False])
async def test_a_capture_may_fail_alone_or_with_its_authorization(
    bench: Bench, payment: Payment, captures: bool
) -> None:
    token = "card_capture_fails"
    operation = an_operation(payment, OperationKind.AUTHORIZE, token)
    if not captures:
        assert (await bench.ask(payment, operation)).status is OperationStatus.SUCCEEDED
        operation = an_operation(payment, OperationKind.CAPTURE, token)
    decline = (await bench.ask(payment, replace(operation, captures=captures))).decline
    assert decline is not None
    assert decline.code == "processing_error"


async def challenged(bench: Bench, payment: Payment, words: str, captures: bool) -> Verdict:
    """What comes of a challenge with that result."""
    asked = replace(an_operation(payment, OperationKind.AUTHORIZE, "card_3ds"), captures=captures)
    challenge = await bench.ask(payment, asked)
    assert challenge.status is OperationStatus.REQUIRES_ACTION
    assert challenge.expires_at is not None
    assert challenge.expires_at > asked.created_at
    completion = replace(
        an_operation(payment, OperationKind.COMPLETE, "card_3ds"),
        completes=asked.operation_id,
        captures=captures,
        words=bench.processor.read_result(words),
    )
    verdict = await bench.ask(payment, completion)
    assert await bench.ask(payment, completion) == verdict
    assert await bench.found(payment, completion) == verdict
    bench.count_effects(completion)
    return verdict


@pytest.mark.parametrize("captures", [True, False])
async def test_a_challenge_that_is_met_is_approved(
    bench: Bench, payment: Payment, captures: bool
) -> None:
    verdict = await challenged(bench, payment, "", captures)
    assert verdict.status is OperationStatus.SUCCEEDED
    bench.add_up(payment, Book(authorized=1000, captured=1000 if captures else 0))


async def test_a_challenge_that_is_not_met_is_declined(bench: Bench, payment: Payment) -> None:
    verdict = await challenged(bench, payment, "refused", captures=True)
    assert verdict.decline is not None
    assert verdict.decline.code == "authentication_failed"
    bench.add_up(payment, Book())


def test_a_result_that_no_challenge_has_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidRequest) as caught:
        bench.processor.read_result("perhaps")
    assert [each.field for each in caught.value.violations] == ["result"]


@pytest.mark.parametrize("token", ["card", "decline:lost_card", "pm_1MtwBwLkdIwHu7ix28a3tqPa"])
def test_a_token_stays_what_it_is(bench: Bench, token: str) -> None:
    assert bench.processor.tokenize(bench.processor.tokenize(token)) == token


async def test_an_answer_that_never_comes_is_found(bench: Bench, payment: Payment) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE, "card_timeout")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LITTLE_PATIENCE_SECONDS):
            await bench.ask(payment, operation)
    verdict = await bench.processor.look_up(payment, operation)
    assert verdict is not None
    assert verdict.status is OperationStatus.SUCCEEDED
    bench.count_effects(operation)


@dataclass(frozen=True)
class Failed:
    """A call that went wrong: what it answered, if anything, and whether it may have been heard."""

    status: OperationStatus | None
    was_reached: bool = True


async def failed(bench: Bench, failure: Failure, payment: Payment, operation: Operation) -> Failed:
    """The call through the failure, after which the processor works again."""
    await bench.fail(payment, failure)
    is_silent = failure is Failure.SILENCE
    try:
        async with asyncio.timeout(LITTLE_PATIENCE_SECONDS if is_silent else PATIENCE_SECONDS):
            return Failed((await bench.ask(payment, operation)).status)
    except TimeoutError:
        return Failed(None)
    except ProcessorUnreachable:
        return Failed(None, was_reached=False)
    finally:
        if failure in ENDS_THE_PROCESS:
            await bench.restarted()


TOLD = {
    Failure.REFUSED: Failed(None, was_reached=False),
    Failure.CUT_BEFORE: Failed(OperationStatus.PENDING),
    Failure.CRASH_BEFORE: Failed(OperationStatus.PENDING),
    Failure.CUT_DURING: Failed(OperationStatus.PENDING),
    Failure.CRASH_DURING: Failed(OperationStatus.PENDING),
    Failure.CRASH_AFTER: Failed(OperationStatus.SUCCEEDED),
    Failure.SILENCE: Failed(None),
}
"""Nobody is told that nothing happened unless that is sure."""

FAILING = [
    (name, failure) for name in BENCHES for failure in Failure if failure not in IMPOSSIBLE[name]
]
with_each_failure = pytest.mark.parametrize(("bench", "failure"), FAILING, indirect=["bench"])


@with_each_failure
async def test_a_failed_call_tells_no_more_than_is_known(
    bench: Bench, payment: Payment, failure: Failure
) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE)
    assert await failed(bench, failure, payment, operation) == TOLD[failure]


@with_each_failure
@pytest.mark.parametrize("kind", OperationKind)
async def test_what_a_failed_call_left_is_found_and_done_once(
    bench: Bench, payment: Payment, failure: Failure, kind: OperationKind
) -> None:
    operation = an_operation(payment, kind)
    await failed(bench, failure, payment, operation)
    bench.count_effects(operation, 0 if failure in HAS_NO_EFFECT else 1)
    found = await bench.processor.look_up(payment, operation)
    assert (found is None) == (failure in HAS_NO_EFFECT)
    verdict = await bench.ask(payment, operation)
    assert verdict.status is OperationStatus.SUCCEEDED
    assert found in (None, verdict)
    bench.count_effects(operation)


@with_each_failure
async def test_a_failed_call_that_was_to_be_declined_is_declined(
    bench: Bench, payment: Payment, failure: Failure
) -> None:
    operation = an_operation(payment, OperationKind.AUTHORIZE, "decline:insufficient_funds")
    await failed(bench, failure, payment, operation)
    decline = (await bench.found(payment, operation)).decline
    assert decline is not None
    assert decline.code == "insufficient_funds"
    bench.count_effects(operation)


@with_each_failure
async def test_duplicates_during_a_failure_have_one_effect(
    bench: Bench, payment: Payment, failure: Failure
) -> None:
    operation = an_operation(payment, OperationKind.CAPTURE)
    await asyncio.gather(
        failed(bench, failure, payment, operation),
        *(asyncio.gather(bench.ask(payment, operation), return_exceptions=True) for _ in range(5)),
    )
    await bench.found(payment, operation)
    bench.count_effects(operation)
