"""One blocking client and many threads, at the real service."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple

from payment_client import OutcomeUnknown, Payment, PaymentClient, Unavailable

THREADS = 32
TIMEOUT_SECONDS = 20
LIMIT_SECONDS = 60
"""A thread that takes longer hangs."""


def create(client: PaymentClient, key: str) -> Payment:
    return client.payments.create(
        amount=1, customer_id="cust123", metadata={"key": key}, idempotency_key=key
    )


def test_threads_share_a_client(service: str, merchant_id: str) -> None:
    keys = [f"order-{number}" for number in range(10 * THREADS)]
    with (
        PaymentClient(service, merchant_id=merchant_id, timeout_seconds=TIMEOUT_SECONDS) as client,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        created = list(threads.map(lambda key: create(client, key), keys))
        assert [each.metadata["key"] for each in created] == keys
        listed = {each.payment_id: each for each in client.payments.list(page_size=1_000)}
    assert listed == {each.payment_id: each for each in created}


class Ended(NamedTuple):
    """What became of the calls of a thread."""

    created: list[str]
    """Keys."""
    last_key: str
    error: Exception


def create_until_it_fails(client: PaymentClient, name: str) -> Ended:
    created: list[str] = []
    for number in count():
        key = f"{name}-{number}"
        try:
            create(client, key)
        except Exception as error:
            return Ended(created, key, error)
        created.append(key)
    raise AssertionError("it never fails")


def test_closing_a_client_ends_the_calls_of_all_threads_and_each_is_told_what_is_known(
    service: str, merchant_id: str
) -> None:
    client = PaymentClient(service, merchant_id=merchant_id, timeout_seconds=TIMEOUT_SECONDS)
    with ThreadPoolExecutor(THREADS) as threads:
        ending = [threads.submit(create_until_it_fails, client, f"t{n}") for n in range(THREADS)]
        create(client, "main")
        client.close()
        ended = [each.result(LIMIT_SECONDS) for each in ending]
    with PaymentClient(service, merchant_id=merchant_id, timeout_seconds=TIMEOUT_SECONDS) as direct:
        there = Counter(each.metadata["key"] for each in direct.payments.list(page_size=1_000))
    assert {type(each.error) for each in ended} <= {OutcomeUnknown, Unavailable, RuntimeError}
    told = {key for each in ended for key in each.created} | {"main"}
    doubtful = {each.last_key for each in ended if isinstance(each.error, OutcomeUnknown)}
    assert told <= there.keys() <= told | doubtful
    assert set(there.values()) == {1}
