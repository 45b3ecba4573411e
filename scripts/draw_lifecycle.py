"""Draws the life of a payment into payment-server's README, from the tables of domain/payment.py.

With --check it writes nothing and exits with 1 where the README shows another life.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from payment_server.domain.payment import ALLOWED_ACTIONS, REFUSALS, TRANSITIONS, Action, Status

README = Path(__file__).resolve().parent.parent / "packages/payment-server/README.md"
BEGIN, END = "<!-- drawn by `make lifecycle` -->\n", "<!-- end of the drawing -->\n"


def main(arguments: list[str]) -> int:
    text = README.read_text(encoding="utf-8")
    place = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if not place.search(text):
        print(f"{README.name} has no place for the drawing")
        return 1
    drawn = place.sub(lambda _: f"{BEGIN}{drawing()}{END}", text)
    if "--check" in arguments:
        if drawn != text:
            print(f"{README.name} shows another life: run `make lifecycle`")
        return int(drawn != text)
    README.write_text(drawn, encoding="utf-8")
    return 0


def drawing() -> str:
    return "\n".join(("", *diagram(), "", *cells(), "", ""))


def diagram() -> Iterator[str]:
    """A state diagram in Mermaid; steps that leave the status as it is are listed in its box."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"  [*] --> {Status.CREATED} : payment.created"
    for status in Status:
        for target, events in sorted(steps_from(status).items()):
            yield f"  {status} --> {target} : {', '.join(events)}"
    for status in Status:
        if not steps_from(status):
            yield f"  {status} --> [*]"
    yield "```"


def steps_from(status: Status) -> dict[Status, list[str]]:
    """The events of each step, by the status that it leads to."""
    steps: dict[Status, list[str]] = {}
    for (source, event), targets in TRANSITIONS.items():
        for target in targets if source is status else ():
            steps.setdefault(target, []).append(event.removeprefix("payment."))
    return steps


def cells() -> Iterator[str]:
    """What may be asked in which status, or the reason why not."""
    yield f"| status | {' | '.join(Action)} |"
    yield f"|---|{'---|' * len(Action)}"
    for status in Status:
        row = (
            "**yes**" if action in ALLOWED_ACTIONS[status] else REFUSALS[status, action]
            for action in Action
        )
        yield f"| {status} | {' | '.join(row)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
