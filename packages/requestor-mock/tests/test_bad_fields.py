"""Wrong fields of every kind, through both doors from one table: each is named, none repeated."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CARD = "4539578763621486"
CREATE = """
mutation($input: PaymentInput!, $key: String) {
  createPayment(payload: $input, idempotencyKey: $key) { paymentId }
}
"""

Post = Callable[[str, object], httpx.Response]
Told = Callable[[httpx.Response], tuple[Any, ...]]
Create = Callable[..., dict[str, Any]]


def invalid(*fields: str) -> tuple[Any, ...]:
    return ("FIELD_INVALID", "INVALID_ARGUMENT", 400, list(fields), {})


def rejected(*fields: str) -> tuple[Any, ...]:
    return ("CARD_DATA_REJECTED", "INVALID_ARGUMENT", 400, list(fields), {})


FIELD_ROWS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an amount of nothing": ({"amount": ""}, ["amount"]),
    "an amount of zero": ({"amount": "0.00"}, ["amount"]),
    "a negative amount": ({"amount": "-1"}, ["amount"]),
    "an amount with an exponent": ({"amount": "1e5"}, ["amount"]),
    "an amount with an underscore": ({"amount": "1_000"}, ["amount"]),
    "an amount that is no number": ({"amount": "NaN"}, ["amount"]),
    "an amount in Arabic digits": ({"amount": "\u0661\u0660"}, ["amount"]),
    "an amount with a leading zero": ({"amount": "01"}, ["amount"]),
    "an amount with a space": ({"amount": " 1"}, ["amount"]),
    "an amount of thirteen digits": ({"amount": "1234567890123"}, ["amount"]),
    "more decimals than the currency has": ({"amount": "1.001"}, ["amount"]),
    "decimals of a currency without": ({"amount": "1.0", "currency": "JPY"}, ["amount"]),
    "an amount that is a JSON number": ({"amount": 10}, ["amount"]),
    "an amount that is a JSON fraction": ({"amount": 10.5}, ["amount"]),
    "an amount that is null": ({"amount": None}, ["amount"]),
    "an unknown currency": ({"currency": "ZZZ"}, ["currency"]),
    "gold": ({"currency": "XAU"}, ["currency"]),
    "a currency that is a number": ({"currency": 1}, ["currency"]),
    "no customer": ({"customer_id": ""}, ["customer_id"]),
    "a customer too long": ({"customer_id": "x" * 256}, ["customer_id"]),
    "a customer with NUL": ({"customer_id": "a\0b"}, ["customer_id"]),
    "a customer with a line break": ({"customer_id": "a\nb"}, ["customer_id"]),
    "a customer with a lone surrogate": ({"customer_id": "\ud800"}, ["customer_id"]),
    "a customer that is a list": ({"customer_id": ["a"]}, ["customer_id"]),
    "a payment method too long": ({"payment_method": "x" * 256}, ["payment_method"]),
    "an unknown capture method": ({"capture_method": "later"}, ["capture_method"]),
    "a capture method only for answers": ({"capture_method": "unknown"}, ["capture_method"]),
    "a description too long": ({"description": "x" * 1001}, ["description"]),
    "metadata of 51 entries": ({"metadata": {str(n): "" for n in range(51)}}, ["metadata"]),
    "a metadata key too long": ({"metadata": {"k" * 41: ""}}, ["metadata[0]"]),
    "a metadata value too long": ({"metadata": {"key": "v" * 501}}, ["metadata.key"]),
    "a metadata value that is a number": ({"metadata": {"key": 1}}, ["metadata"]),
    "a deadline that is no time": ({"expires_at": "tomorrow"}, ["expires_at"]),
    "a deadline that is a number": ({"expires_at": 4_000_000_000}, ["expires_at"]),
    "a deadline that is a number in words": ({"expires_at": "4000000000"}, ["expires_at"]),
    "a deadline without an offset": ({"expires_at": "2126-01-01T00:00:00"}, ["expires_at"]),
    "a deadline out of range": ({"expires_at": "9999-12-31T23:59:59-14:00"}, ["expires_at"]),
    "metadata that is a string": ({"metadata": "key"}, ["metadata"]),
    "a key too long": ({"idempotency_key": "k" * 256}, ["idempotency_key"]),
    "a key that is empty": ({"idempotency_key": ""}, ["idempotency_key"]),
    "a key beyond ASCII": ({"idempotency_key": "clé"}, ["idempotency_key"]),
    "an unknown field": ({"amuont": "1"}, ["amuont"]),
    "a field whose name is no name": ({CARD: "1"}, ["(no name)"]),
    "a field that hides a card number": ({f"_{CARD}": "1"}, ["(no name)"]),
    "several wrong fields of one kind": (
        {"amount": "x", "currency": "ZZZ", "customer_id": ""},
        ["amount", "currency", "customer_id"],
    ),
    "several fields of the wrong type": (
        {"amount": 1, "currency": 2, "description": 3},
        ["amount", "currency", "description"],
    ),
}

CARD_ROWS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a card number as payment method": ({"payment_method": CARD}, ["payment_method"]),
    "a card number in words": ({"description": f"card {CARD}."}, ["description"]),
    "a card number in groups": (
        {"description": "4539-5787-6362-1486"},
        ["description"],
    ),
    "a card number in metadata": ({"metadata": {"note": CARD}}, ["metadata.note"]),
    "a CVC by the name of its key": ({"metadata": {"cvc": "123"}}, ["metadata.cvc"]),
}


def rest_body(fields: dict[str, Any]) -> dict[str, Any]:
    return {"amount": "10.00", "customer_id": "cust123"} | fields


def graphql_body(fields: dict[str, Any]) -> dict[str, Any]:
    payload = rest_body(fields)
    key = payload.pop("idempotency_key", None)
    camel = {
        "customer_id": "customerId",
        "payment_method": "paymentMethod",
        "capture_method": "captureMethod",
        "expires_at": "expiresAt",
    }
    renamed = {camel.get(name, name): value for name, value in payload.items()}
    return {"query": CREATE, "variables": {"input": renamed, "key": key}}


@pytest.mark.parametrize(("fields", "wrong"), FIELD_ROWS.values(), ids=FIELD_ROWS)
def test_rest_names_every_wrong_field(
    post: Post, told: Told, fields: dict[str, Any], wrong: list[str]
) -> None:
    answer = post("/api/payments", rest_body(fields))
    assert told(answer) == invalid(*wrong)


@pytest.mark.parametrize(("fields", "wrong"), FIELD_ROWS.values(), ids=FIELD_ROWS)
def test_graphql_names_every_wrong_field(
    post: Post, told: Told, fields: dict[str, Any], wrong: list[str]
) -> None:
    answer = post("/graphql", graphql_body(fields))
    assert told(answer) == invalid(*wrong)


@pytest.mark.parametrize(("fields", "wrong"), CARD_ROWS.values(), ids=CARD_ROWS)
def test_rest_refuses_card_data_without_repeating_it(
    post: Post, told: Told, fields: dict[str, Any], wrong: list[str]
) -> None:
    answer = post("/api/payments", rest_body(fields))
    assert told(answer) == rejected(*wrong)
    assert CARD not in answer.text


@pytest.mark.parametrize(("fields", "wrong"), CARD_ROWS.values(), ids=CARD_ROWS)
def test_graphql_refuses_card_data_without_repeating_it(
    post: Post, told: Told, fields: dict[str, Any], wrong: list[str]
) -> None:
    answer = post("/graphql", graphql_body(fields))
    assert told(answer) == rejected(*wrong)
    assert CARD not in answer.text


@pytest.mark.parametrize("number", [int(CARD), [CARD], {"number": CARD}])
def test_no_door_repeats_a_value_of_the_wrong_type(post: Post, number: object) -> None:
    fields = {"payment_method": number}
    answers = [
        post("/api/payments", rest_body(fields)),
        post("/graphql", graphql_body(fields)),
    ]
    assert not any(CARD in answer.text for answer in answers)


UNKNOWN_IDS = {
    "of a payment that is not": "01890000-0000-7000-8000-000000000000",
    "that is none": "nothing",
}


@pytest.mark.parametrize("refund_id", UNKNOWN_IDS.values(), ids=UNKNOWN_IDS)
def test_both_doors_know_no_refund_of_an_id(
    post: Post, told: Told, rest: httpx.Client, refund_id: str
) -> None:
    query = {
        "query": "query($id:String!){refund(refundId:$id){amount}}",
        "variables": {"id": refund_id},
    }
    expected: tuple[Any, ...] = ("REFUND_NOT_FOUND", "NOT_FOUND", 404, [], {})
    assert told(rest.get(f"/api/refunds/{refund_id}")) == expected
    assert told(post("/graphql", query)) == expected


@pytest.mark.parametrize("lists", ["refunds", "events"])
def test_an_unknown_payment_has_no_lists(told: Told, rest: httpx.Client, lists: str) -> None:
    answer = rest.get(f"/api/payments/nothing/{lists}")
    assert told(answer) == ("PAYMENT_NOT_FOUND", "NOT_FOUND", 404, [], {})


@pytest.mark.parametrize("payment_id", UNKNOWN_IDS.values(), ids=UNKNOWN_IDS)
def test_both_doors_know_no_payment_of_an_id(
    post: Post, told: Told, rest: httpx.Client, payment_id: str
) -> None:
    query = {
        "query": "query($id:String!){payment(paymentId:$id){amount}}",
        "variables": {"id": payment_id},
    }
    expected: tuple[Any, ...] = ("PAYMENT_NOT_FOUND", "NOT_FOUND", 404, [], {})
    assert told(rest.get(f"/api/payments/{payment_id}")) == expected
    assert told(post("/graphql", query)) == expected


@pytest.mark.parametrize("payment_id", ["%00", "x" * 256])
def test_an_id_that_cannot_be_one_is_a_wrong_field(
    told: Told, rest: httpx.Client, payment_id: str
) -> None:
    assert told(rest.get(f"/api/payments/{payment_id}")) == invalid("payment_id")


@pytest.mark.parametrize("merchant_id", ["UPPER", "a b", "x" * 65, "clé"])
def test_a_merchant_that_cannot_be_one_is_a_wrong_field(
    told: Told, rest: httpx.Client, merchant_id: str
) -> None:
    answer = rest.get("/api/payments", headers={b"X-Merchant-Id": merchant_id.encode()})
    assert told(answer) == invalid("x-merchant-id")


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"page_size": "many"}, ["page_size"]),
        ({"page_size": "-1"}, ["page_size"]),
        ({"page_token": "nothing"}, ["page_token"]),
        ({"status": "done"}, ["status"]),
        ({"status": "unknown"}, ["status"]),
        ({"created_from": "yesterday"}, ["created_from"]),
        ({"created_before": "2026-01-01T00:00:00"}, ["created_before"]),
        ({"created_from": "0001-01-01T00:00:00+14:00"}, ["created_from"]),
        ({"created_from": "1700000000"}, ["created_from"]),
        ({"created_before": "1.5"}, ["created_before"]),
        ({"created_from": ""}, ["created_from"]),
        ({"customer_id": ""}, ["customer_id"]),
        ({"page_token": ""}, ["page_token"]),
        ({"page_size": ""}, ["page_size"]),
        ({"status": ""}, ["status"]),
        ({"metadata": "a"}, ["metadata"]),
        ({"metadata[]": "a"}, ["(no name)"]),
        ({f"metadata[{'k' * 41}]": "a"}, ["metadata[0]"]),
        ({"metadata[key]": "v" * 501}, ["metadata.key"]),
        (
            {"customer_id": "", "created_from": "1", "of": "a"},
            ["created_from", "customer_id", "of"],
        ),
        ({"customer": "ann"}, ["customer"]),
        ({"page_size": "x", "status": "x"}, ["page_size", "status"]),
    ],
)
def test_a_list_names_every_wrong_parameter(
    told: Told, rest: httpx.Client, parameters: dict[str, str], wrong: list[str]
) -> None:
    assert told(rest.get("/api/payments", params=parameters)) == invalid(*wrong)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("customer_id", ["a", "b"]),
        ("status", ["created", "failed"]),
        ("created_from", ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        ("page_size", ["1", "2"]),
    ],
)
def test_a_parameter_that_is_given_twice_is_wrong(
    told: Told, rest: httpx.Client, name: str, values: list[str], same: bool
) -> None:
    parameters = [(name, values[0]), (name, values[0 if same else 1])]
    assert told(rest.get("/api/payments", params=tuple(parameters))) == invalid(name)


@pytest.mark.parametrize("lists", ["refunds", "events"])
@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ([("page_size", "many")], "page_size"),
        ([("page_size", "-1")], "page_size"),
        ([("page_size", "1"), ("page_size", "2")], "page_size"),
        ([("page_token", "nothing")], "page_token"),
        ([("page_token", "")], "page_token"),
        ([("metadata[key]", "a")], "(no name)"),
        ([("status", "pending")], "status"),
        ([(CARD, "1")], "(no name)"),
    ],
)
def test_a_payments_lists_name_the_wrong_parameter(
    told: Told,
    rest: httpx.Client,
    create: Create,
    lists: str,
    parameters: list[tuple[str, str]],
    wrong: str,
) -> None:
    path = f"/api/payments/{create()['payment_id']}/{lists}"
    assert told(rest.get(path, params=tuple(parameters))) == invalid(wrong)


def test_a_metadata_entry_that_is_asked_for_twice_is_wrong(told: Told, rest: httpx.Client) -> None:
    answer = rest.get("/api/payments?metadata[key]=a&metadata[key]=b")
    assert told(answer) == invalid("(no name)")


@pytest.mark.parametrize("name", ["query", "variables", "operationName"])
def test_graphql_takes_no_parameter_twice(told: Told, rest: httpx.Client, name: str) -> None:
    parameters = [("query", "{ __typename }"), (name, "{}"), (name, "{}")]
    assert told(rest.get("/graphql", params=tuple(parameters))) == invalid(name)


@pytest.mark.parametrize("lists", ["refunds", "events"])
@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("first: -1", "first"),
        ("first: 101", "first"),
        ('after: "nothing"', "page_token"),
        ('after: ""', "page_token"),
    ],
)
def test_a_payments_connections_name_the_wrong_argument(
    post: Post, told: Told, create: Create, lists: str, arguments: str, wrong: str
) -> None:
    document = f"""query($id: String!) {{
      payment(paymentId: $id) {{ {lists}({arguments}) {{ edges {{ cursor }} }} }} }}"""
    body = {"query": document, "variables": {"id": create()["payment_id"]}}
    assert told(post("/graphql", body)) == invalid(wrong)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("first: -1", "first"),
        ("first: 101", "first"),
        ('first: "1"', "first"),
        ('after: "nothing"', "page_token"),
        ("status: done", "status"),
        ("status: unknown", "status"),
        ('customerId: ""', "customer_id"),
        ('after: ""', "page_token"),
        ('createdFrom: "1700000000"', "created_from"),
        ("createdFrom: 1700000000", "created_from"),
        ('createdBefore: "2026-01-01T00:00:00"', "created_before"),
        ("metadata: {key: 1}", "metadata"),
        ('metadata: "key"', "metadata"),
    ],
)
def test_a_connection_names_the_wrong_argument(
    post: Post, told: Told, arguments: str, wrong: str
) -> None:
    document = f"{{ payments({arguments}) {{ edges {{ cursor }} }} }}"
    assert told(post("/graphql", {"query": document})) == invalid(wrong)
