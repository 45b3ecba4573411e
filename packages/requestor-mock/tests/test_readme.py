"""The examples of the README, run against the real services."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLE = re.compile(r"```sh\n(curl .*?)```\s*```json\n(.*?)```", re.DOTALL)
PROGRAM = re.compile(r"```python\n(.*?)```\s*```\n(.*?)```", re.DOTALL)


def run(rest: httpx.Client, command: str) -> Any:
    """What the curl command would print."""
    method, headers, content, address = "GET", {}, None, ""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                content = next(words)
            case _:
                address = word
    path = address.removeprefix("http://localhost:8001")
    return rest.request(method, path, headers=headers, content=content).json()


def cut_to(shown: Any, told: Any) -> Any:
    """`told` without what the README leaves out."""
    if isinstance(shown, dict):
        return {name: cut_to(shown[name], told.get(name)) for name in shown}
    if isinstance(shown, list):
        return [cut_to(shown[0], each) for each in told]
    return "…" if shown == "…" and isinstance(told, str) else told


def test_every_answer_is_as_shown(rest: httpx.Client) -> None:
    payment_id = ""
    for command, text in EXAMPLE.findall(README):
        told, shown = run(rest, command.replace("$ID", payment_id)), json.loads(text)
        assert cut_to(shown, told) == shown, command
        payment_id = payment_id or told["data"]["payment_id"]


def test_events_are_told_as_shown(
    mock: Any, rest: httpx.Client, merchant: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rest.post("/api/payments", json={"amount": "10.00", "customer_id": "cust123"})
    ((program, shown),) = PROGRAM.findall(README)
    here = f'connect("{mock.url.replace("http", "ws")}/graphql", additional_headers={merchant!r}'
    program = program.replace('connect("ws://localhost:8001/graphql"', here)
    exec(compile(program, "README.md", "exec"), {})  # noqa: S102 - our own words
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [json.loads(line) for line in shown.splitlines()]
    assert [cut_to(a, b) for a, b in zip(expected, told, strict=True)] == expected


def test_no_example_is_left_out() -> None:
    assert len(EXAMPLE.findall(README)) == README.count("curl ") > 0


@pytest.mark.parametrize("setting", ["PAYMENT_TARGET", "REQUESTOR_HTTP_PORT", "REQUESTOR_HOST"])
def test_every_setting_is_in_the_table(setting: str) -> None:
    assert f"| `{setting}` |" in README
