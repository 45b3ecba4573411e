"""What the words of a command line mean: options that commands share, and their values."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from payment_client._cli.output import FORMATS
from payment_client._terms import new_key

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time such as 2026-11-23 or 2026-11-23T08:15:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _entries(
    _context: click.Context, _option: click.Parameter, words: tuple[str, ...]
) -> dict[str, str]:
    entries: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise click.BadParameter(f"{word!r} is not KEY=VALUE.")
        if key in entries:
            raise click.BadParameter(f"{key!r} is there twice.")
        entries[key] = value
    return entries


def _together(*options: Callable[[FunctionT], FunctionT]) -> Callable[[FunctionT], FunctionT]:
    def decorate(function: FunctionT) -> FunctionT:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


payment_id: Final = click.argument("payment_id", metavar="PAYMENT_ID")

metadata: Final = click.option(
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_entries,
    help="An entry of the metadata; may be repeated.",
)


def time_option(name: str, purpose: str) -> Callable[[FunctionT], FunctionT]:
    """An option whose value is a point in time."""
    return click.option(name, metavar="TIME", callback=_moment, help=purpose)


idempotency_key: Final = click.option(
    "--idempotency-key",
    metavar="KEY",
    # Made here and not in the client, so that it can be told of a call that was interrupted.
    default=new_key,
    help="What is repeated with the same key happens once. Default: a new one.",
)

change: Final = _together(
    payment_id,
    idempotency_key,
    click.option(
        "--expected-version",
        type=click.IntRange(min=1),
        help="Only if the payment still has this version.",
    ),
)
"""What every change of a payment that is there can be told."""

amount: Final = click.option("--amount", metavar="AMOUNT", help="Only so much. Default: all.")

CONNECTION: Final = "payment_client.cli."
"""Under which names the options of the connection are kept, whichever side of the command's name
they stand on; behind it wins."""


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    if value is not None:
        context.meta[f"{CONNECTION}{option.name}"] = value


def _kept(name: str, purpose: str, **rest: Any) -> click.Option:
    return click.Option([name], expose_value=False, callback=_keep, help=purpose, **rest)


def connection_options() -> list[click.Parameter]:
    """The options of every command that calls the service, and of the program itself."""
    pem = click.File("rb")
    return [
        _kept(
            "--target",
            "Where the service's gRPC is. Default: PAYMENT_TARGET, then 127.0.0.1:50051.",
            metavar="HOST:PORT",
        ),
        _kept("--merchant-id", "Whose payments. Default: as the service decides.", metavar="ID"),
        _kept(
            "--api-key-file",
            "Has the API key; - is standard input. Default: PAYMENT_API_KEY.",
            type=click.File("r"),
        ),
        _kept("--tls", "Encrypt the connection.", is_flag=True, default=None),
        _kept("--tls-root", "Trust these certificates alone (PEM); implies --tls.", type=pem),
        _kept(
            "--tls-server-name",
            "Whom the service's certificate has to be for; implies --tls. Default: the target.",
            metavar="NAME",
        ),
        _kept("--tls-certificate", "A certificate of your own (PEM), with --tls-key.", type=pem),
        _kept("--tls-key", "Its private key (PEM).", type=pem),
        _kept(
            "--timeout",
            "The longest that a call may take. Default: PAYMENT_TIMEOUT_SECONDS, then 5.",
            type=float,
            metavar="SECONDS",
        ),
        _kept(
            "--output",
            "Default: auto, a table on a terminal and JSON lines elsewhere.",
            type=click.Choice(FORMATS),
            is_eager=True,  # so that it holds for what is wrong with the others
        ),
    ]
