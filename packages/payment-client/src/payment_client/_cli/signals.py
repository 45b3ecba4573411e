"""Signals that end the program: all of them as Ctrl-C does, so that a change's key is told."""

import signal
from types import FrameType
from typing import Final, NoReturn

from payment_client._cli.exits import Exit

_ENDINGS: Final = {
    name: code
    for name, code in (("SIGHUP", Exit.HUNG_UP), ("SIGTERM", Exit.TERMINATED))
    if hasattr(signal, name)  # a system may have no SIGHUP
}


class Ended(KeyboardInterrupt):
    """Another signal than that of Ctrl-C has come."""

    def __init__(self, code: Exit) -> None:
        super().__init__()
        self.code = code


def hear_signals() -> None:
    """From here on; what the program was started to ignore, as by nohup, it goes on to ignore."""
    for name, code in _ENDINGS.items():
        number = signal.Signals[name]
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ending(code))


def exit_by(interrupt: KeyboardInterrupt) -> Exit:
    """The exit code of a command that was ended so."""
    return interrupt.code if isinstance(interrupt, Ended) else Exit.INTERRUPTED


def _ending(code: Exit) -> "signal._HANDLER":
    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Ended(code)

    return end
