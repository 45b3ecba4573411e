"""Where results and failures go: tables for people on a terminal, JSON lines for programs.

Each line is out before the next one is made, so that a watch can be followed in a pipe.
"""

import errno
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from io import StringIO
from typing import Final, TextIO

import click
from rich.console import Console, RenderableType

from payment_client import Event, Health, Payment, ProcessedPayment, Refund, RefundedPayment
from payment_client._cli import as_json, as_text
from payment_client._cli.failures import Failure

FORMATS: Final = ("auto", "table", "json")
WIDTH_WITHOUT_TERMINAL: Final = 120
"""Columns of a table in a pipe; COLUMNS says otherwise."""


class OutputLost(Exception):
    """The answer could not be written; the cause says why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror)
        self.reader_is_gone = isinstance(cause, BrokenPipeError)
        self.why = cause.strerror or str(cause)


class Output:
    """Standard output and standard error, each in one of the two ways.

    `auto` asks each of them whether it is a terminal.
    """

    def __init__(self, form: str) -> None:
        self.is_table = _is_for_people(form, sys.stdout)
        """Results are tables and details for people; otherwise each is a line of JSON."""
        self._tells_people = _is_for_people(form, sys.stderr)

    def show(
        self, value: Payment | ProcessedPayment | RefundedPayment | Health, **beside: object
    ) -> None:
        """One result; what is `beside` it is for programs."""
        if self.is_table:
            self._draw(as_text.details(value), soft_wrap=True)
        else:
            self._write_line(as_json.line(value, **beside))

    def show_payments(self, payments: Iterable[Payment]) -> None:
        """Payments in their order; as JSON each as soon as it is there."""
        if self.is_table:
            self._draw(as_text.payments_table(payments, _width()))
        else:
            self._write_lines(payments)

    def show_refunds(self, refunds: Iterable[Refund]) -> None:
        """The refunds of one payment."""
        if self.is_table:
            self._draw(as_text.refunds_table(refunds, _width()))
        else:
            self._write_lines(refunds)

    def show_events(self, events: Iterable[Event]) -> None:
        """The events of one payment."""
        if self.is_table:
            self._draw(as_text.events_table(events))
        else:
            self._write_lines(events)

    def show_watched(self, event: Event, cursor: str) -> None:
        """An event that has just been seen, and the place to go on from."""
        if self.is_table:
            self._draw(as_text.event_line(event), soft_wrap=True)
        else:
            self._write_line(as_json.line(event, cursor=cursor))

    def note(self, text: str) -> None:
        """Something that is no result and no failure; for people only."""
        if self.is_table and self._tells_people:
            _tell(text)

    def close_echo(self) -> None:
        """Ends the line on which a terminal shows the ^C that was pressed."""
        if _is_for_people("auto", sys.stderr):
            _tell("")

    def tell(self, failure: Failure) -> None:
        """Why there is no result, or not the one that was asked for."""
        _tell(failure.for_people() if self._tells_people else failure.for_programs())

    def _write_lines(self, values: Iterable[Payment | Refund | Event]) -> None:
        for value in values:
            self._write_line(as_json.line(value))

    def _write_line(self, text: str) -> None:
        _write(f"{text}\n".encode())

    def _draw(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        drawn = StringIO()  # so that all is written, or lost, in one place
        stream: TextIO | None = sys.stdout
        console = Console(
            file=drawn,
            force_terminal=stream is not None and stream.isatty(),
            width=_width(),
            markup=False,
            emoji=False,
            highlight=False,
        )
        console.print(what, soft_wrap=soft_wrap)
        encoding = "utf-8" if stream is None else stream.encoding
        _write(drawn.getvalue().encode(encoding, "backslashreplace"))


def forget_stdout() -> None:
    """Lets nothing more be written, so that the end of the program does not fail over it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_for_people(form: str, stream: TextIO | None) -> bool:
    if form == "auto":
        return stream is not None and stream.isatty()
    return form == "table"


def _width() -> int:
    return shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 0)).columns


def _write(line: bytes) -> None:
    stream: TextIO | None = sys.stdout
    if stream is None:  # it was closed before the program began
        raise OutputLost(OSError(errno.EBADF, os.strerror(errno.EBADF)))
    try:
        stream.buffer.write(line)
        stream.buffer.flush()
    except OSError as error:
        forget_stdout()
        raise OutputLost(error) from error


def _tell(text: str) -> None:
    with suppress(OSError):  # nobody is left to be told; the exit code still says it
        click.echo(text, err=True)
