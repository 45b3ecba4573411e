"""`payments` on a terminal: tables, details, colours and sentences for people."""

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from payment_client import NewPayment, PaymentClient
from payment_client._cli.commands import TABLE_LIMIT

if TYPE_CHECKING:
    from cli.conftest import Program

ESCAPE = "\x1b["


def test_a_list_is_a_table_in_the_width_of_the_terminal(
    program: "Program", client: PaymentClient
) -> None:
    payment = client.payments.create(amount=10, customer_id="cust123")
    wide = program.on_terminal("list", columns=120).text
    assert wide[0].split() == ["PAYMENT", "STATUS", "AMOUNT", "CUSTOMER", "CREATED"]
    assert wide[1].split()[:5] == [payment.payment_id, "created", "10.00", "USD", "cust123"]
    narrow = program.on_terminal("list", columns=80).text
    assert narrow[0].split() == ["PAYMENT", "STATUS", "AMOUNT", "CUSTOMER"]
    assert payment.payment_id in narrow[1]


def test_a_long_list_is_cut_and_says_that_there_is_more(
    program: "Program", client: PaymentClient
) -> None:
    several = [NewPayment(amount=1, customer_id="c") for _ in range(TABLE_LIMIT + 1)]
    client.payments.create_many(several)
    shown = program.on_terminal("list").text
    assert len(shown) == 1 + TABLE_LIMIT + 1
    assert shown[-1].startswith("There are more")


def test_colours_are_for_terminals_that_want_them(
    program: "Program", client: PaymentClient
) -> None:
    payment = client.payments.create(amount=10, customer_id="c")
    client.payments.process(payment.payment_id)
    assert ESCAPE in program.on_terminal("get", payment.payment_id).output
    plain = program.on_terminal("get", payment.payment_id, NO_COLOR="1").output
    assert "\x1b[3" not in plain
    assert "captured" in plain


def test_a_failure_is_a_sentence_with_its_reason_and_what_follows(
    program: "Program", client: PaymentClient
) -> None:
    payment = client.payments.create(amount=10, customer_id="c")
    ended = program.on_terminal("capture", payment.payment_id)
    lines = ended.text
    assert re.fullmatch(r"payments: .+ \(NOT_AUTHORIZED\)", lines[0])
    assert lines[1] == "  Possible now: process, authorize, cancel."
    assert ended.code == 5


def test_json_may_be_asked_for_on_a_terminal(program: "Program", client: PaymentClient) -> None:
    payment = client.payments.create(amount=10, customer_id="c")
    ended = program.on_terminal("get", payment.payment_id, "--output", "json")
    assert ended.lines[0]["payment_id"] == payment.payment_id


def test_a_watch_shows_a_line_an_event_and_the_cursor_behind_it(
    program: "Program", client: PaymentClient
) -> None:
    client.payments.create(amount=10, customer_id="c")
    ended = program.on_terminal("watch", "--from-beginning", "--limit", "1", NO_COLOR="1")
    first, event, last = ended.text
    assert first.startswith("Watching")
    assert "payment.created" in event
    assert last.startswith("To go on behind this: --cursor ")


def test_bash_completes_commands_and_values(program: "Program") -> None:
    script = """
        eval "$(payments completion bash 2>&1)"
        COMP_WORDS=(payments can) COMP_CWORD=1; _payments_completion payments
        echo "${COMPREPLY[@]}"; COMPREPLY=()
        COMP_WORDS=(payments list --status par) COMP_CWORD=3; _payments_completion payments
        echo "${COMPREPLY[@]}"
    """
    ended = subprocess.run(
        [shutil.which("bash") or "bash", "-c", script],
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout == "cancel\npartially_captured partially_refunded\n"


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete")])
def test_other_shells_have_their_scripts_too(program: "Program", shell: str, word: str) -> None:
    ended = program.run("completion", shell)
    assert ended.code == 0
    assert word in ended.output
