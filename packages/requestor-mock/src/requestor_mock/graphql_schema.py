"""What GraphQL can read and watch: each resolver is one call of payment-client and the shape of
its answer."""

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField

from payment_client import PaymentStatus
from requestor_mock.bodies import moment
from requestor_mock.graphql_limits import PAGE_SIZES
from requestor_mock.graphql_types import (
    After,
    Connection,
    First,
    Info,
    connection,
    described,
    page_of,
    said,
    streamed,
)
from requestor_mock.parameters import check
from requestor_mock.shapes import Event, Payment, Refund, shown

# Every field that makes a call may be null, so that one that fails takes no other's answer with it:
# a mutation that happened must not look as if it had not.


@described
async def refunds(
    root: strawberry.Parent[Payment],
    info: Info,
    first: First = PAGE_SIZES["refunds"],
    after: After = None,
) -> Connection[Refund] | None:
    """Its refunds as they are now, newest first, a page at a time."""
    caller = info.context.caller
    pager = caller.client.payments.refunds(
        root.payment_id, **page_of("refunds", first, after), headers=caller.headers
    )
    page = await anext(aiter(pager.pages()))
    return connection(Refund, page.refunds, page.next_page_token, after)


@described
async def events(
    root: strawberry.Parent[Payment],
    info: Info,
    first: First = PAGE_SIZES["events"],
    after: After = None,
) -> Connection[Event] | None:
    """What happened to it, oldest first, a page at a time."""
    caller = info.context.caller
    pager = caller.client.payments.events(
        root.payment_id, **page_of("events", first, after), headers=caller.headers
    )
    page = await anext(aiter(pager.pages()))
    return connection(Event, page.events, page.next_page_token, after)


def _extend(shape: type, **fields: object) -> None:
    """Lets GraphQL ask for more of a shape than REST shows."""
    definition = get_object_definition(shape, strict=True)
    for name, field in fields.items():
        assert isinstance(field, StrawberryField)  # noqa: S101 - `described` made it
        field.python_name = name
        field.origin = shape
        definition.fields.append(field)


_extend(Payment, refunds=refunds, events=events)


@strawberry.type
class Query:
    @described
    async def payment(self, info: Info, payment_id: str) -> Payment | None:
        """One payment as it is now."""
        caller = info.context.caller
        return shown(await caller.client.payments.get(payment_id, headers=caller.headers), Payment)

    @described
    async def payments(
        self,
        info: Info,
        first: First = PAGE_SIZES["payments"],
        after: After = None,
        customer_id: str | None = None,
        status: PaymentStatus | None = None,
        created_from: Annotated[str | None, said("Created then or later; RFC 3339.")] = None,
        created_before: Annotated[str | None, said("Created earlier; RFC 3339.")] = None,
        metadata: Annotated[dict[str, str] | None, said("Only those with these entries.")] = None,
    ) -> Connection[Payment] | None:
        """Payments, newest first, a page at a time."""
        caller = info.context.caller
        check(
            customer_id=customer_id,
            status=status,
            created_from=created_from,
            created_before=created_before,
        )
        pager = caller.client.payments.list(
            customer_id=customer_id,
            status=status,
            created_from=moment(created_from),
            created_before=moment(created_before),
            metadata=metadata,
            **page_of("payments", first, after),
            headers=caller.headers,
        )
        page = await anext(aiter(pager.pages()))
        return connection(Payment, page.payments, page.next_page_token, after)

    @described
    async def refund(self, info: Info, refund_id: str) -> Refund | None:
        """One refund as it is now."""
        caller = info.context.caller
        told = await caller.client.payments.get_refund(refund_id, headers=caller.headers)
        return shown(told, Refund)


@strawberry.type(description="How far a watch has come, and what happened.")
class WatchedEvent:
    cursor: str = strawberry.field(description="Where a later watch goes on behind this.")
    event: Event | None = strawberry.field(
        description="Null in the first message, which says that the watch has begun."
    )


@strawberry.type
class Subscription:
    @streamed
    async def payment_events(
        self,
        info: Info,
        payment_id: Annotated[str | None, said("Only this payment's; it must exist.")] = None,
        customer_id: Annotated[
            str | None, said("Only those of this customer's payments; not with paymentId.")
        ] = None,
        cursor: Annotated[str | None, said("Go on behind it; default: from now on.")] = None,
        from_beginning: Annotated[
            bool, said("Without a cursor: from the first event that there is.")
        ] = False,
    ) -> AsyncGenerator[WatchedEvent, None]:
        """Events as they happen: of one payment, of one customer's payments, or of all. Who resumes
        with the last cursor that they saw misses none and gets none twice."""
        caller = info.context.caller
        check(payment_id=payment_id, customer_id=customer_id, cursor=cursor)
        watch = caller.client.payments.watch(
            payment_id=payment_id,
            customer_id=customer_id,
            cursor=cursor,
            from_beginning=from_beginning,
            headers=caller.headers,
        )
        async with watch as watcher:
            yield WatchedEvent(cursor=watcher.cursor, event=None)
            async for event in watcher:
                yield WatchedEvent(cursor=watcher.cursor, event=shown(event, Event))
