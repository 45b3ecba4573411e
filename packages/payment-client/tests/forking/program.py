"""A program that forks, which a process of tests with its many threads should not.

Arguments: which client, what happens, and where the service is. Each child prints how its call has
ended, and at last the parent how one of its own has.
"""

import asyncio
import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from typing import Final, TypeAlias

from payment_client import AsyncPaymentClient, PaymentClient

CHILD_LIMIT_SECONDS: Final = 20.0
"""A child needs a tenth of a second, or one where it has to import everything anew."""
CHILDREN: Final = 4

Client: TypeAlias = PaymentClient | AsyncPaymentClient


def main(kind: str, what: str, target: str) -> None:
    client, fork = made(kind, target), multiprocessing.get_context("fork")
    if what == "used before":
        call(client, closes=False)
        run([fork.Process(target=call, args=(client,))])
    elif what == "made before":
        run([fork.Process(target=call, args=(client,)) for _ in range(CHILDREN)])
    else:
        call_by_another(kind, target)
        context = multiprocessing.get_context(what)
        # typeshed knows of Process in the contexts that it can tell by their names.
        run([context.Process(target=call_by_another, args=(kind, target))])  # type: ignore[attr-defined]
    call_by_another(kind, target)


def made(kind: str, target: str) -> Client:
    return AsyncPaymentClient(target) if kind == "AsyncPaymentClient" else PaymentClient(target)


def call(client: Client, *, closes: bool = True) -> None:
    """Says how a call of this client has ended."""
    try:
        if isinstance(client, AsyncPaymentClient):
            asyncio.run(create(client, closes=closes))
        else:
            client.payments.create(amount=1, customer_id="cust123")
    except RuntimeError as error:
        say(f"RuntimeError: {error}")
    else:
        say("answered")


async def create(client: AsyncPaymentClient, *, closes: bool) -> None:
    await client.payments.create(amount=1, customer_id="cust123")
    if closes:
        await client.close()


def call_by_another(kind: str, target: str) -> None:
    """The same, by a client that is made for it."""
    call(made(kind, target))


def say(words: str) -> None:
    os.write(sys.stdout.fileno(), f"{words}\n".encode())  # in one piece, as several processes do it


def run(children: list[BaseProcess]) -> None:
    """All at once; those who do not end are said to hang."""
    for child in children:
        child.start()
    for child in children:
        child.join(CHILD_LIMIT_SECONDS)
        if child.is_alive():
            say("hangs")
            child.kill()
            child.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
