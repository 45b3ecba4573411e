"""The command line: serve, healthcheck, version."""

import asyncio
import http.client
import logging
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

import click

from requestor_mock.settings import SettingInvalid, Settings

HEALTHCHECK_LIMIT_SECONDS: Final = 3.0
"""The service bounds its own question to one second; a container's check waits a few."""
BACKLOG: Final = 2_048
"""Connections that wait for us; the kernel cuts it to its own limit."""
STUCK_LIMIT_MS: Final = 20_000
"""How long a peer may take nothing of what was sent: as long as one that a WebSocket pings. uvicorn
closes a connection only behind what is unsent, so that a stuck reader would hold it for ever."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to knock instead


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """An outside requestor of the payment service: REST and GraphQL over payment-client."""


@main.command()
@click.option("--host", help="Address to bind; default REQUESTOR_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65_535), help="REQUESTOR_HTTP_PORT, else 8001.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Written once everything serves: JSON with http_port and pid.",
)
def serve(host: str | None, port: int | None, ready_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = _settings()
    settings = replace(
        settings,
        host=settings.host if host is None else host,
        http_port=settings.http_port if port is None else port,
    )
    with _bound(settings) as listener:  # before the slow imports: a taken port is told at once
        from requestor_mock.app import create_app
        from requestor_mock.serving import serve_until_signal

        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        settings = replace(settings, http_port=listener.getsockname()[1])
        try:
            app = create_app(settings)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        _run(serve_until_signal(app, listener, partial(_announce, settings, ready_file)))


@main.command()
def healthcheck() -> None:
    """Exit 0 if the local service and the payment service behind it are healthy, else 1."""
    settings = _settings()
    connection = http.client.HTTPConnection(
        _EVERYWHERE.get(settings.host, settings.host),
        settings.http_port,
        timeout=HEALTHCHECK_LIMIT_SECONDS,
    )
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        click.echo(answer.read().decode())
    except (OSError, http.client.HTTPException) as error:
        message = f"No health is told on port {settings.http_port}: {error}"
        raise click.ClickException(message) from None
    finally:
        connection.close()
    sys.exit(0 if answer.status == http.HTTPStatus.OK else 1)


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("requestor-mock"))


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except SettingInvalid as error:
        raise click.ClickException(str(error)) from None


def _bound(settings: Settings) -> socket.socket:
    address = (settings.host, settings.http_port)
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise click.ClickException(
            f"Port {settings.http_port} on {settings.host} cannot be used ({error.strerror})."
            " Choose another with REQUESTOR_HTTP_PORT or --port."
        ) from None
    if sys.platform == "linux":  # elsewhere it has no equal; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_LIMIT_MS)
    return listener


def _announce(settings: Settings, ready_file: Path | None) -> None:
    from requestor_mock.serving import write_ready_file

    click.echo(
        f"Serving on http://{settings.host}:{settings.http_port}; "
        f"the payment service is {settings.payment_target}"
    )
    if ready_file is not None:
        write_ready_file(ready_file, settings.http_port)


def _run(program: Coroutine[None, None, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(program)
        return
    import uvloop

    uvloop.run(program)
