"""How `payments` ends: its exit code, and what it says of it on standard error."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from payment_client import PaymentClient
from payment_client._cli.exits import Exit

if TYPE_CHECKING:
    from cli.conftest import Program
    from conftest import ForeignServer

UNKNOWN_ID: Final = "019ab000-0000-7000-8000-000000000000"
README: Final = Path(__file__).resolve().parents[2] / "README.md"


def details(reason: str) -> tuple[str, bytes]:
    status = Status()
    status.details.add().Pack(ErrorInfo(reason=reason, domain="payment.v1"))
    return ("grpc-status-details-bin", status.SerializeToString())


def test_a_decline_is_an_answer_with_an_exit_code_of_its_own(
    program: "Program", client: PaymentClient
) -> None:
    payment = client.payments.create(
        amount=10, customer_id="c", payment_method="decline:insufficient_funds"
    )
    ended = program.run("process", payment.payment_id)
    assert (ended.code, ended.error) == (Exit.DECLINED, "")
    assert ended.lines[0]["decline"]["code"] == "insufficient_funds"


def test_a_customer_who_has_to_act_leaves_it_undecided(
    program: "Program", client: PaymentClient
) -> None:
    payment = client.payments.create(amount=10, customer_id="c", payment_method="card_3ds")
    ended = program.run("process", payment.payment_id)
    assert (ended.code, ended.lines[0]["status"]) == (Exit.UNDECIDED, "requires_action")


def test_a_refusal_tells_all_that_is_wrong(program: "Program") -> None:
    ended = program.run("create", "--amount", "-1", "--customer-id", "")
    assert (ended.code, ended.output) == (Exit.INVALID, "")
    assert (ended.failure["exit_code"], ended.failure["reason"]) == (3, "FIELD_INVALID")
    assert {each["field"] for each in ended.failure["violations"]} == {"amount", "customer_id"}


def test_an_unknown_payment_is_not_found(program: "Program") -> None:
    ended = program.run("get", UNKNOWN_ID)
    assert (ended.code, ended.failure["error"]) == (Exit.NOT_FOUND, "PaymentNotFound")
    assert ended.failure["request_id"]


def test_a_status_that_forbids_it_is_a_conflict(program: "Program", client: PaymentClient) -> None:
    payment = client.payments.create(amount=10, customer_id="c")
    ended = program.run("capture", payment.payment_id)
    assert (ended.code, ended.failure["reason"]) == (Exit.CONFLICT, "NOT_AUTHORIZED")
    assert ended.failure["metadata"]["status"] == "created"


def test_a_service_that_is_not_there_is_unavailable(program: "Program") -> None:
    program.target = "127.0.0.1:1"
    ended = program.run("get", UNKNOWN_ID, "--timeout", "2")
    assert (ended.code, ended.failure["error"]) == (Exit.UNAVAILABLE, "Unavailable")


def test_an_unknown_outcome_names_the_key_to_repeat_it_with(
    abroad: "Program", foreign: "ForeignServer"
) -> None:
    foreign.fail(grpc.StatusCode.UNAVAILABLE, "who knows", details("OUTCOME_UNKNOWN"))
    ended = abroad.run("create", "--amount", "1", "--customer-id", "c", "--timeout", "2")
    assert (ended.code, ended.failure["error"]) == (Exit.OUTCOME_UNKNOWN, "OutcomeUnknown")
    key = ended.failure["idempotency_key"]
    assert key
    assert key.encode() in foreign.requests[0]


def test_a_fault_of_the_service_is_told_as_one(abroad: "Program", foreign: "ForeignServer") -> None:
    foreign.fail(grpc.StatusCode.INTERNAL, "it broke")
    ended = abroad.run("get", UNKNOWN_ID)
    assert (ended.code, ended.failure["message"]) == (Exit.SERVICE_FAULT, "it broke")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, Exit.INTERRUPTED),
        (signal.SIGTERM, Exit.TERMINATED),
        (signal.SIGHUP, Exit.HUNG_UP),
    ],
)
def test_a_signal_during_a_change_names_the_key_to_repeat_it_with(
    abroad: "Program", foreign: "ForeignServer", number: signal.Signals, code: Exit
) -> None:
    foreign.never_answer()
    process = abroad.start("cancel", UNKNOWN_ID, "--timeout", "60")
    assert foreign.arrivals.acquire(timeout=20)
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    key = re.search(r'"idempotency_key": "([0-9a-f]{32})"', error)
    assert key is not None
    assert key[1].encode() in foreign.requests[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get"], "Missing argument 'PAYMENT_ID'"),
        (["list", "--metadata", "x"], "Invalid value for '--metadata': 'x' is not KEY=VALUE"),
        (["list", "--metadata", "a=1", "--metadata", "a=2"], "'a' is there twice"),
        (["list", "--created-from", "yesterday"], "'yesterday' is no time"),
        (["health", "--target", "http://here"], "must be host:port of gRPC"),
        (["watch", "--patience", "nan"], "patience_seconds must be above 0"),
        (["health", "--tls-key", "/dev/null"], "private_key and certificate_chain"),
    ],
)
def test_a_command_line_that_makes_no_sense_sends_nothing(
    program: "Program", words: list[str], message: str
) -> None:
    ended = program.run(*words)
    assert (ended.code, ended.output, ended.failure["reason"]) == (Exit.USAGE, "", "USAGE")
    assert message in ended.failure["message"]


def test_a_reader_that_has_gone_ends_it_quietly(program: "Program", client: PaymentClient) -> None:
    client.payments.create(amount=10, customer_id="c")
    ours, theirs = os.pipe()
    os.close(ours)
    ended = program.run("list", output=theirs)
    os.close(theirs)
    assert (ended.code, ended.error) == (Exit.READER_GONE, "")


def test_a_table_for_an_output_that_is_closed_names_the_key(program: "Program") -> None:
    words = f"--merchant-id {program.merchant_id} create --amount 1 --customer-id c --output table"
    ended = program.typed(["sh", "-c", f"payments {words} >&-"], columns=120)
    assert ended.code == Exit.OUTPUT_LOST
    assert "--idempotency-key" in ended.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("form", ["json", "table"])
def test_an_answer_that_cannot_be_written_is_no_success(program: "Program", form: str) -> None:
    words = ("create", "--amount", "1", "--customer-id", "c", "--output", form)
    with Path("/dev/full").open("w") as full:
        ended = program.run(*words, output=full.fileno(), PYTHONUNBUFFERED="1")
    assert ended.code == Exit.OUTPUT_LOST
    assert "OUTPUT_LOST" in ended.error
    assert re.search(r"[0-9a-f]{32}", ended.error)  # the key


WITHOUT_LIBRARIES: Final = """
import sys
sys.modules["click"] = sys.modules["rich"] = None
import payment_client
assert not any(name.startswith("payment_client._cli") for name in sys.modules)
from payment_client._cli import main
main()
"""


def test_without_its_libraries_the_client_is_there_and_the_command_says_what_to_install() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARIES], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == Exit.LIBRARIES_MISSING
    assert (
        ended.stderr
        == "payments: the command line is an extra: pip install 'payment-client[cli]'\n"
    )


def test_the_readme_has_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert rows == [(str(int(each)), each.meaning) for each in Exit]
