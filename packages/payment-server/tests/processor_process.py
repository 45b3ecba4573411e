"""A processor in a process of its own: a bank in small, with a journal that outlives its crashes.

    python processor_process.py JOURNAL SOCKET SETTLE_SECONDS

Each connection to the socket brings one question as a line of JSON and gets a verdict, or null, as
a line of JSON. An effect is one line of the journal, on disk before anybody hears of it, and an
operation that comes again has none. It knows nothing of payment-server but the shape of operations
and verdicts, and it never asks whether an operation is allowed.

It is told by {"ask": "fail", "payment_id": …, "where": …} to fail once, at the next operation of
that payment: `before` the effect, `during` (the effect is there, its reply is not), `after` the
reply, or by `silence`; "crashes": true ends the whole process there instead of the connection.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BACKLOG = 1_000  # more connections at once than any test makes
HOLD_SECONDS = 7 * 24 * 3600.0
CHALLENGE_SECONDS = 900.0

APPROVED, CHALLENGED, SLOW, FAILS_LATER = "approved", "challenged", "slow", "fails later"
DECLINES = {
    "insufficient_funds": ("51", "later", "Your card has insufficient funds."),
    "lost_card": ("41", "never", "Your card was declined."),
    "processing_error": ("96", "later", "Your card could not be processed. Try again later."),
    "authentication_failed": ("", "authenticate", "Your bank could not confirm that it is you."),
    "invalid_account": ("78", "fix", "The account does not exist any more."),
}
"""Code: network code, advice, and what the customer may read."""

Fields = dict[str, Any]


class Journal:
    """One line for every effect, in the order in which they happened."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._file.truncate(sum(len(line) for line in whole))  # a crash may tear the last one
        self.effects: dict[str, Fields] = {}
        for line in whole:
            effect = json.loads(line)
            self.effects[effect["operation_id"]] = effect

    def add(self, effect: Fields) -> None:
        self._file.write(json.dumps(effect).encode() + b"\n")
        os.fsync(self._file.fileno())
        self.effects[effect["operation_id"]] = effect


class Bank:
    def __init__(self, journal: Journal, settle_seconds: float) -> None:
        self._journal = journal
        self._settle_seconds = settle_seconds
        self._faults: dict[str, Fields] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            match question["ask"]:
                case "fail":
                    self._faults[question["payment_id"]] = question
                    await say(writer, None)
                case "look_up":
                    await say(writer, self._verdict(question["operation"]))
                case _:
                    await self._carry_out(question["operation"], writer)
        except (ConnectionError, ValueError):
            pass  # whoever asked has gone away
        finally:
            writer.close()

    async def _carry_out(self, operation: Fields, writer: asyncio.StreamWriter) -> None:
        if self._fails(operation, "before"):
            return
        effect = self._effect(operation)
        if self._fails(operation, "during"):
            return
        never_answers = effect["kind"] == "authorize" and effect["token"] == "card_timeout"
        if self._fails(operation, "silence") or never_answers:
            await asyncio.Event().wait()
        await say(writer, self._verdict(operation))
        self._fails(operation, "after")

    def _fails(self, operation: Fields, where: str) -> bool:
        """Whether the connection is to end here; it may be that the whole process does."""
        fault = self._faults.get(operation["payment_id"])
        if fault is None or fault["where"] != where:
            return False
        del self._faults[operation["payment_id"]]
        if fault["crashes"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    def _effect(self, operation: Fields) -> Fields:
        """The effect, which is there from now on or was there before. Awaits nothing, so that two
        of the same operation cannot meet in here."""
        done = self._journal.effects.get(operation["operation_id"])
        if done is not None:
            return done
        effect = {
            "operation_id": operation["operation_id"],
            "payment_id": operation["payment_id"],
            "kind": operation["kind"],
            "amount_minor": operation["amount_minor"],
            "released_minor": operation["released_minor"],
            "captures": operation["captures"],
            "token": operation["payment_method"],
            "outcome": outcome_of(operation),
            "at": time.time(),
        }
        self._journal.add(effect)
        return effect

    def _verdict(self, operation: Fields) -> Fields | None:
        effect = self._journal.effects.get(operation["operation_id"])
        return None if effect is None else verdict_of(effect, self._settle_seconds)


async def say(writer: asyncio.StreamWriter, answer: Fields | None) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


def outcome_of(operation: Fields) -> str:
    """APPROVED, CHALLENGED, SLOW, FAILS_LATER, or the code of a decline."""
    token = operation["payment_method"]
    match operation["kind"]:
        case "authorize" if token.startswith("decline:"):
            return str(token.removeprefix("decline:"))
        case "authorize" if token == "card_3ds":
            return CHALLENGED
        case "authorize" | "capture" if token == "card_capture_fails":
            takes = operation["captures"] or operation["kind"] == "capture"
            return "processing_error" if takes else APPROVED
        case "complete" if operation["words"] == "refused":
            return "authentication_failed"
        case "refund" if token == "card_refund_pending":
            return SLOW
        case "refund" if token == "card_refund_late_fail":
            return FAILS_LATER
    return APPROVED


def verdict_of(effect: Fields, settle_seconds: float) -> Fields:
    """What is said about an effect now."""
    outcome, settles_at = effect["outcome"], effect["at"] + settle_seconds
    is_settled = time.time() >= settles_at
    if outcome == CHALLENGED:
        until = effect["at"] + CHALLENGE_SECONDS
        return {"status": "requires_action", "expires_at": utc(until), "url": "https://bank.test/"}
    if outcome == SLOW:
        return {"status": "succeeded" if is_settled else "pending"}
    if outcome == FAILS_LATER and not is_settled:
        return {"status": "succeeded", "recheck_at": utc(settles_at)}
    if outcome == APPROVED:
        holds = effect["kind"] in ("authorize", "complete") and not effect["captures"]
        until = utc(effect["at"] + HOLD_SECONDS) if holds else None
        return {"status": "succeeded", "expires_at": until}
    code = "invalid_account" if outcome == FAILS_LATER else outcome
    network_code, advice, message = DECLINES[code]
    decline = {"code": code, "network_code": network_code, "advice": advice, "message": message}
    return {"status": "failed", "decline": decline}


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def end_with_parent() -> None:
    """Ends the process when whoever started it is gone, and its end of our stdin with it."""
    sys.stdin.buffer.read()
    os._exit(0)


async def main(journal: str, socket: str, settle_seconds: str) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    bank = Bank(Journal(Path(journal)), float(settle_seconds))
    server = await asyncio.start_unix_server(bank.serve, socket, backlog=BACKLOG)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
