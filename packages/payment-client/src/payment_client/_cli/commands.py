"""The commands of `payments`: each says one method of the client, and shows what it answers."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

import click
from click.shell_completion import get_completion_class

from payment_client import (
    Action,
    CaptureMethod,
    Payment,
    PaymentStatus,
    ProcessedPayment,
)
from payment_client._cli import parameters
from payment_client._cli.exits import Exit, exit_after
from payment_client._cli.program import Program, Session
from payment_client._cli.signals import exit_by
from payment_client._settings import DEFAULT_PATIENCE_SECONDS

TABLE_LIMIT: Final = 50
"""More payments than that nobody reads on a screen."""
PAGE_SIZE: Final = 500
"""Payments of one call of a long list: few calls, and a first line that comes soon."""

_STATUSES: Final = [each.value for each in PaymentStatus if each is not PaymentStatus.UNKNOWN]
_METHODS: Final = [each.value for each in CaptureMethod if each is not CaptureMethod.UNKNOWN]

session = click.make_pass_decorator(Session)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="payment-client", message="%(version)s")
def payments() -> None:
    """The payment service on the command line.

    Tables for people on a terminal, a JSON object a line elsewhere. An API key comes from
    PAYMENT_API_KEY or a file, never from the command line, which every user of the machine can see.
    """


def run() -> int:
    """Runs the command line of this process; the exit code."""
    return payments.run()


@payments.command()
@click.option("--amount", required=True, metavar="AMOUNT", help='In units: "10.00" is ten dollars.')
@click.option("--customer-id", required=True, metavar="ID", help="Who owes it.")
@click.option("--currency", default="USD", show_default=True, help="ISO 4217, such as EUR.")
@click.option("--payment-method", default="card", show_default=True, help="How it is paid.")
@click.option(
    "--capture-method",
    type=click.Choice(_METHODS),
    default="automatic",
    show_default=True,
    help="With manual, `process` only holds the money, and `capture` takes it.",
)
@click.option("--description", default="", help="Your own words on it.")
@parameters.metadata
@parameters.time_option("--expires-at", "Expires if nobody has tried it by then.")
@parameters.idempotency_key
@session
def create(
    session: Session,
    amount: str,
    customer_id: str,
    currency: str,
    payment_method: str,
    capture_method: str,
    description: str,
    metadata: dict[str, str],
    expires_at: datetime | None,
    idempotency_key: str,
) -> None:
    """Record a payment; no money moves before `process`."""
    payment = session.payments.create(
        amount=amount,
        customer_id=customer_id,
        currency=currency,
        payment_method=payment_method,
        capture_method=CaptureMethod(capture_method),
        description=description,
        metadata=metadata,
        expires_at=expires_at,
        idempotency_key=idempotency_key,
    )
    session.output.show(payment, idempotency_key=idempotency_key, replayed=payment.call.replayed)


@payments.command()
@parameters.payment_id
@session
def get(session: Session, payment_id: str) -> None:
    """Show a payment as it is now."""
    session.output.show(session.payments.get(payment_id))


@payments.command("list")
@click.option("--customer-id", metavar="ID", help="Of one customer.")
@click.option(
    "--status", type=click.Choice(_STATUSES), metavar="STATUS", help="Such as captured or failed."
)
@parameters.time_option("--created-from", "From then on: a date or a time, in UTC unless it says.")
@parameters.time_option("--created-before", "Before then.")
@parameters.metadata
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"So many at most. Default: {TABLE_LIMIT} in a table, all of them as JSON.",
)
@session
def list_payments(
    session: Session,
    customer_id: str | None,
    status: str | None,
    created_from: datetime | None,
    created_before: datetime | None,
    metadata: dict[str, str],
    limit: int | None,
) -> None:
    """List payments, newest first."""
    if limit is None and session.output.is_table:
        limit = TABLE_LIMIT
    found = session.payments.list(
        customer_id=customer_id,
        status=None if status is None else PaymentStatus(status),
        created_from=created_from,
        created_before=created_before,
        metadata=metadata,
        # One more than is shown, to know whether there are more.
        page_size=PAGE_SIZE if limit is None else min(limit + 1, PAGE_SIZE),
    )
    _show_first(session, iter(found), limit)


def _show_first(session: Session, found: Iterator[Payment], limit: int | None) -> None:
    session.output.show_payments(islice(found, limit))
    if limit is not None and next(found, None) is not None:
        session.output.note(
            f"There are more: --limit {10 * limit} shows more, --output json all of them."
        )


@payments.command()
@parameters.change
@click.option(
    "--action",
    type=click.Choice([each.value for each in Action]),
    default="process",
    show_default=True,
    help="process runs it to its end by its capture method; the others are steps.",
)
@parameters.amount
@click.option("--payment-method", help="Try another one, after a decline.")
@session
def process(
    session: Session,
    payment_id: str,
    idempotency_key: str,
    expected_version: int | None,
    action: str,
    amount: str | None,
    payment_method: str | None,
) -> Exit:
    """Run a payment to its end, or the step that is named."""
    done = session.payments.process(
        payment_id,
        action,
        amount=amount,
        payment_method=payment_method,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    return _show_change(session, done, idempotency_key)


@payments.command()
@parameters.change
@parameters.amount
@click.option("--final", is_flag=True, help="Release what is left of the hold.")
@session
def capture(
    session: Session,
    payment_id: str,
    idempotency_key: str,
    expected_version: int | None,
    amount: str | None,
    final: bool,
) -> Exit:
    """Take what is held, or a part of it."""
    done = session.payments.capture(
        payment_id,
        amount=amount,
        final=final,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    return _show_change(session, done, idempotency_key)


@payments.command()
@parameters.change
@session
def cancel(
    session: Session, payment_id: str, idempotency_key: str, expected_version: int | None
) -> Exit:
    """End a payment, or release what is left of a hold."""
    done = session.payments.cancel(
        payment_id, expected_version=expected_version, idempotency_key=idempotency_key
    )
    return _show_change(session, done, idempotency_key)


@payments.command()
@parameters.change
@click.option("--result", default="", help='What the processor has to know, such as "refused".')
@session
def complete(
    session: Session,
    payment_id: str,
    idempotency_key: str,
    expected_version: int | None,
    result: str,
) -> Exit:
    """Go on after the customer has done what was asked of them."""
    done = session.payments.complete(
        payment_id,
        result=result,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    return _show_change(session, done, idempotency_key)


def _show_change(session: Session, done: ProcessedPayment, idempotency_key: str) -> Exit:
    session.output.show(done, idempotency_key=idempotency_key, replayed=done.call.replayed)
    return exit_after(done.operation)


@payments.command()
@parameters.change
@parameters.amount
@click.option("--reason", default="", help="Your own words on it.")
@session
def refund(
    session: Session,
    payment_id: str,
    idempotency_key: str,
    expected_version: int | None,
    amount: str | None,
    reason: str,
) -> Exit:
    """Give back what was captured, or a part of it."""
    done = session.payments.refund(
        payment_id,
        amount=amount,
        reason=reason,
        expected_version=expected_version,
        idempotency_key=idempotency_key,
    )
    session.output.show(done, idempotency_key=idempotency_key, replayed=done.call.replayed)
    return exit_after(done.operation)


@payments.command()
@parameters.payment_id
@session
def refunds(session: Session, payment_id: str) -> None:
    """List a payment's refunds, newest first."""
    session.output.show_refunds(session.payments.refunds(payment_id))


@payments.command()
@parameters.payment_id
@session
def events(session: Session, payment_id: str) -> None:
    """List what has happened to a payment, oldest first."""
    session.output.show_events(session.payments.events(payment_id))


@payments.command()
@click.option("--payment-id", metavar="ID", help="Of one payment.")
@click.option("--customer-id", metavar="ID", help="Of one customer's payments.")
@click.option("--from-beginning", is_flag=True, help="From the first event that there is.")
@click.option("--cursor", metavar="CURSOR", help="Behind the event that was shown with it.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many. Default: never.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=DEFAULT_PATIENCE_SECONDS,
    show_default=True,
    help="Give up when nothing was heard of the service for so long; inf: never.",
)
@session
def watch(
    session: Session,
    payment_id: str | None,
    customer_id: str | None,
    from_beginning: bool,
    cursor: str | None,
    limit: int | None,
    patience: float,
) -> Exit:
    """Show events as they happen, until Ctrl-C."""
    with session.payments.watch(
        payment_id=payment_id,
        customer_id=customer_id,
        from_beginning=from_beginning,
        cursor=cursor,
        patience_seconds=patience,
    ) as watcher:
        session.output.note("Watching. Ctrl-C ends it.")
        try:
            for event in islice(watcher, limit):
                session.output.show_watched(event, watcher.cursor)
        except KeyboardInterrupt as signal:  # as a watch ends
            session.output.close_echo()
            return exit_by(signal)
        finally:
            session.output.note(f"To go on behind this: --cursor {watcher.cursor}")
    return Exit.DONE


@payments.command()
@session
def health(session: Session) -> Exit:
    """Ask whether the service can take payments now."""
    seen = session.client.health()
    session.output.show(seen)
    return Exit.DONE if seen.healthy else Exit.DECLINED


@payments.command(cls=click.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes your shell complete `payments`.

    For bash: eval "$(payments completion bash)"
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(script(payments, {}, "payments", "_PAYMENTS_COMPLETE").source())
