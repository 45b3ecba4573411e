"""The command line: dev, serve, migrate, verify, doctor, healthcheck, config, version."""

import asyncio
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click
from msgspec.structs import replace

from payment_server.settings import Settings, SettingsInvalid, read_settings

if TYPE_CHECKING:
    from payment_server.app import Address, Plan
    from payment_server.store.audit import Finding

DEV_GRACE_SECONDS: Final = 0.5  # a developer who pressed Ctrl-C does not want to wait
SERVE_GRACE_SECONDS: Final = 10.0  # twice as long as a processor may take
EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound
WORKERS_LIMIT: Final = 64  # more processes than cores gain nothing, and few machines have more
HEALTHCHECK_LIMIT_SECONDS: Final = 3.0  # longer than the service itself waits for its database

CANNOT_LOOK: Final = 2
"""`verify`'s exit code where it found nothing out; what it did find out is 0 or 1."""

Function = TypeVar("Function", bound=Callable[..., Any])


def main() -> None:
    """The entry point; a wrong setting is one clear line, not a trace."""
    try:
        cli()
    except SettingsInvalid as error:
        _fail(str(error))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A payment service and its sandbox, the same program as in production."""


def _running_options(function: Function) -> Function:
    """The options that `dev` and `serve` share."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(1, WORKERS_LIMIT),
            help="Processes on the same ports; SIGHUP replaces them one by one."
            " Default: 1 with dev, as many as cores with serve.",
        ),
        click.option(
            "--ready-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write the ports there, as JSON, when they answer.",
        ),
        click.option("--http-port", type=click.IntRange(0, 65_535), help="0: any free port."),
        click.option("--grpc-port", type=click.IntRange(0, 65_535), help="0: any free port."),
    ):
        function = option(function)
    return function


@cli.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the embedded PostgreSQL keeps its data.",
)
@click.option("--ephemeral", is_flag=True, help="Forget everything at the end.")
@_running_options
def dev(
    data_dir: Path | None,
    ephemeral: bool,
    grpc_port: int | None,
    http_port: int | None,
    ready_file: Path | None,
    workers: int | None,
) -> None:
    """Run on this machine only, in the sandbox, with a PostgreSQL of its own.

    DATABASE_URL names another PostgreSQL instead.
    """
    from payment_server.app import Plan

    settings = _with_ports(read_settings(os.environ), grpc_port, http_port)
    if data_dir is not None:
        settings = replace(settings, data_dir=data_dir.absolute())
    if settings.database_url is not None and (ephemeral or data_dir is not None):
        _fail("DATABASE_URL is set, so --data-dir and --ephemeral have no meaning")
    _run(
        Plan(
            settings=replace(settings, processor="sandbox", host="127.0.0.1"),
            embedded=settings.database_url is None,
            ephemeral=ephemeral,
            migrate=True,
            grace_seconds=DEV_GRACE_SECONDS,
            stays_on_hangup=False,
            on_ready=_writing(ready_file),
        ),
        workers or 1,
    )


@cli.command()
@_running_options
def serve(
    grpc_port: int | None, http_port: int | None, ready_file: Path | None, workers: int | None
) -> None:
    """Run as in production: DATABASE_URL and PAYMENT_PROCESSOR must be set."""
    from payment_server.app import Plan

    settings = _with_ports(read_settings(os.environ), grpc_port, http_port)
    if settings.processor is None:
        _fail("PAYMENT_PROCESSOR is not set; `sandbox` moves no money")
    if settings.database_url is None:
        _fail("DATABASE_URL is not set; `payment-server dev` brings a database of its own")
    _set_up_logging(settings)
    logging.getLogger(__name__).warning(
        "NO AUTHENTICATION IS ON: whoever reaches %s can move payments", settings.host
    )
    _run(
        Plan(
            settings=settings,
            embedded=False,
            migrate=settings.migrate_on_start,
            grace_seconds=SERVE_GRACE_SECONDS,
            on_ready=_writing(ready_file),
        ),
        workers or _cores(),
    )


@cli.command(hidden=True)
def worker() -> None:
    """One of several processes that serve; started by its supervisor alone."""
    from payment_server.app import Plan
    from payment_server.supervised import read_brief, say_ready

    brief = read_brief()
    settings = replace(
        read_settings(os.environ),
        processor=brief.processor,
        host=brief.host,
        grpc_port=brief.grpc_port,
        http_port=brief.http_port,
    )
    if brief.database_url is not None:
        settings = replace(settings, database_url=brief.database_url)
        settings = replace(settings, owner_database_url=brief.database_url)
    _set_up_logging(settings, f"worker {brief.number} ")
    plan = Plan(
        settings=settings,
        embedded=False,
        migrate=False,
        grace_seconds=brief.grace_seconds,
        on_ready=lambda _: say_ready(),
        http_listener=brief.http_listener,
        embedded_data_dir=None
        if brief.embedded_data_dir is None
        else Path(brief.embedded_data_dir),
    )
    _run(plan)


@cli.command()
def migrate() -> None:
    """Bring the database to this version's schema (PAYMENT_OWNER_DATABASE_URL or DATABASE_URL)."""
    from payment_server.domain.errors import PaymentServiceError
    from payment_server.store.schema import SchemaError
    from payment_server.store.schema import migrate as apply

    settings = read_settings(os.environ)
    if settings.owner_database_url is None:
        _fail("DATABASE_URL is not set")
    try:
        applied = asyncio.run(apply(settings.owner_database_url))
    except (SchemaError, PaymentServiceError) as error:
        _fail(f"cannot migrate: {error}")
    for each in applied:
        click.echo(f"applied {each.number:04d} {each.name}")
    click.echo("the schema is up to date")


@cli.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Of the embedded PostgreSQL, whether or not `dev` runs on it.",
)
def verify(data_dir: Path | None) -> None:
    """Prove that what is stored adds up, from ledger, operations and events.

    Exit code 0: everything does; 1: something does not; 2: it could not be looked at.
    """
    from payment_server.domain.errors import PaymentServiceError
    from payment_server.store.embedded import EmbeddedPostgresError
    from payment_server.store.schema import SchemaError

    try:
        settings = read_settings(os.environ)
        if settings.database_url is not None and data_dir is not None:
            _fail("DATABASE_URL is set, so --data-dir has no meaning", CANNOT_LOOK)
        findings = asyncio.run(_findings(settings, data_dir or settings.data_dir))
    except (SettingsInvalid, EmbeddedPostgresError, SchemaError, PaymentServiceError) as error:
        _fail(f"cannot verify: {error}", CANNOT_LOOK)
    except OSError as error:  # files of the embedded one that are somebody else's
        _fail(f"cannot verify: {error}", CANNOT_LOOK)
    except KeyboardInterrupt:
        _fail("verified only in part", CANNOT_LOOK)
    total = sum(each.total for each in findings)
    failed = sum(bool(each.failed) for each in findings)
    click.echo(f"checks {len(findings)}, differences {total}, checks that failed {failed}")
    sys.exit(1 if total else CANNOT_LOOK if failed else 0)


async def _findings(settings: Settings, data_dir: Path) -> "list[Finding]":
    """Makes every check and prints what it finds, one after the other."""
    from payment_server.store.audit import audit
    from payment_server.store.embedded import SERVICE_ROLE, visited

    findings: list[Finding] = []

    def tell(finding: "Finding") -> None:
        findings.append(finding)
        for line in finding.lines():
            click.echo(line)

    async with AsyncExitStack() as stack:
        url = settings.database_url
        if url is None:
            visit = visited(data_dir, binaries=settings.postgres_binaries)
            url = (await stack.enter_async_context(visit)).url(SERVICE_ROLE)
        counts = await audit(url, tell)
    click.echo("rows: " + ", ".join(f"{table} {count}" for table, count in counts.items()))
    return findings


@cli.command()
def doctor() -> None:
    """Check the settings, the database and Redis, and say what is wrong."""
    from payment_server.doctor import examine

    findings = asyncio.run(examine(read_settings(os.environ)))
    for finding in findings:
        click.echo(f"{'ok     ' if finding.fine else 'PROBLEM'} {finding.what}")
    if not all(finding.fine for finding in findings):
        sys.exit(1)


@cli.command()
def healthcheck() -> None:
    """Ask the service on PAYMENT_HTTP_PORT whether it is ready: exit code 0 or 1."""
    settings = read_settings(os.environ)
    host = "127.0.0.1" if settings.host in EVERY_ADDRESS else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}/readyz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=HEALTHCHECK_LIMIT_SECONDS) as reply:
            click.echo(reply.read().decode())
    except (urllib.error.URLError, OSError) as error:
        _fail(f"not ready: {error}")


@cli.command()
def config() -> None:
    """Print the settings in force; passwords are left out."""
    for name, value in read_settings(os.environ).shown().items():
        click.echo(f"{name} = {value}")


@cli.command("version")
def show_version() -> None:
    """Print the version."""
    click.echo(version("payment-server"))


def _with_ports(settings: Settings, grpc_port: int | None, http_port: int | None) -> Settings:
    return replace(
        settings,
        grpc_port=settings.grpc_port if grpc_port is None else grpc_port,
        http_port=settings.http_port if http_port is None else http_port,
    )


def _cores() -> int:
    """The cores that this process may use, up to what `--workers` takes."""
    if sys.platform != "linux":
        return 1
    return min(len(os.sched_getaffinity(0)), WORKERS_LIMIT)


def _writing(ready_file: Path | None) -> "Callable[[Address], None] | None":
    from payment_server.app import write_ready

    return None if ready_file is None else partial(write_ready, ready_file)


def _run(plan: "Plan", workers: int = 1) -> None:
    from payment_server.app import CannotStart, run
    from payment_server.domain.errors import PaymentServiceError
    from payment_server.store.database import UnsafeDatabase
    from payment_server.store.embedded import EmbeddedPostgresError
    from payment_server.store.schema import SchemaError

    _set_up_logging(plan.settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            if workers == 1:
                runner.run(run(plan))
            else:
                from payment_server.supervisor import supervise

                runner.run(supervise(plan, workers))
    except (CannotStart, EmbeddedPostgresError, SchemaError, UnsafeDatabase) as error:
        _fail(str(error))
    except PaymentServiceError as error:
        _fail(f"cannot start: {error}")


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # not made for this system
        return None
    return uvloop.new_event_loop


def _set_up_logging(settings: Settings, who: str = "") -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        format=f"%(asctime)s %(levelname)-7s {who}%(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it tells of its start in five lines


def _fail(message: str, exit_code: int = 1) -> NoReturn:
    for line in message.splitlines():
        click.echo(f"payment-server: {line}", err=True)
    sys.exit(exit_code)


if __name__ == "__main__":  # as a supervisor starts its workers
    main()
