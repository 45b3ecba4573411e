"""The program around its commands: the connection they share, and every way in which they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

import click

from payment_client import PaymentClient, PaymentError, Payments, Tls
from payment_client._cli import failures
from payment_client._cli.exits import Exit
from payment_client._cli.output import Output, OutputLost, forget_stdout
from payment_client._cli.parameters import CONNECTION, connection_options
from payment_client._cli.signals import exit_by, hear_signals


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with."""

    client: PaymentClient
    output: Output

    @property
    def payments(self) -> Payments:
        return self.client.payments


class _Sections(click.Command):
    """Shows the options of the connection apart from the command's own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shared = {option.name for option in connection_options()}
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Connection and output": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                title = "Connection and output" if parameter.name in shared else "Options"
                sections[title].append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class Command(_Sections):
    """A command that calls the service. Its function gets a `Session`, and returns its exit code;
    None is 0."""

    def __init__(self, *, params: list[click.Parameter] | None = None, **rest: Any):
        super().__init__(params=[*(params or ()), *connection_options()], **rest)

    def invoke(self, ctx: click.Context) -> Exit:
        output = _output(ctx)
        key: str | None = ctx.params.get("idempotency_key")
        try:
            with _connected(ctx) as client:
                ctx.obj = Session(client, output)
                code: Exit | None = super().invoke(ctx)
                return Exit.DONE if code is None else code
        except PaymentError as error:
            failure = failures.failure_of(error)
        except KeyboardInterrupt as signal:
            output.close_echo()
            failure = failures.interruption(exit_by(signal), key)
        except ValueError as error:  # of an argument, before anything is sent
            failure = failures.misuse(str(error), ctx.command_path)
        except OutputLost as lost:
            if lost.reader_is_gone:
                return Exit.READER_GONE
            failure = failures.lost_output(lost.why, key)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            failure = failures.fault(error, key)
        output.tell(failure)
        return failure.exit


class Program(click.Group, _Sections):
    """`payments` itself; the options of the connection may stand before the command's name too."""

    command_class = Command

    def __init__(self, *, params: list[click.Parameter] | None = None, **rest: Any):
        super().__init__(params=[*(params or ()), *connection_options()], **rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _Sections.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)  # as a payment's life goes, not by the alphabet

    def format_epilog(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in Exit])

    def run(self) -> int:
        """Runs the command line of this process; the exit code."""
        hear_signals()
        try:
            code: int | None = self.main(prog_name="payments", standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return Exit.USAGE
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            command = "payments" if context is None else context.command_path
            _output(context).tell(failures.misuse(error.format_message(), command))
            return Exit.USAGE
        except click.Abort:
            return Exit.INTERRUPTED
        except BrokenPipeError:  # of a help page
            forget_stdout()
            return Exit.READER_GONE
        return code or Exit.DONE


def _connected(context: click.Context) -> PaymentClient:
    given = {
        name.removeprefix(CONNECTION): value
        for name, value in context.meta.items()
        if name.startswith(CONNECTION)
    }
    key_file: TextIO | None = given.get("api_key_file")
    try:
        return PaymentClient(
            given.get("target"),
            merchant_id=given.get("merchant_id"),
            api_key=None if key_file is None else key_file.read().strip(),
            tls=_tls(given),
            timeout_seconds=given.get("timeout"),
        )
    except ValueError as error:
        raise click.UsageError(str(error), context) from error


def _tls(given: Mapping[str, Any]) -> Tls | None:
    if not any(name.startswith("tls") for name in given):
        return None
    return Tls(
        root_certificates=_contents(given.get("tls_root")),
        server_name=given.get("tls_server_name"),
        private_key=_contents(given.get("tls_key")),
        certificate_chain=_contents(given.get("tls_certificate")),
    )


def _contents(file: BinaryIO | None) -> bytes | None:
    return None if file is None else file.read()


def _output(context: click.Context | None) -> Output:
    meta = {} if context is None else context.meta
    return Output(meta.get(f"{CONNECTION}output", "auto"))
