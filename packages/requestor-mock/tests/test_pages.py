"""GraphiQL and the API page as a browser on a closed network sees them, and their files."""

import functools
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import FieldNode, OperationDefinitionNode, get_variable_values, parse, validate
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from requestor_mock import pages
from requestor_mock.graphql_execution import SCHEMA

pytestmark = pytest.mark.xdist_group("browser")  # one Chromium is enough

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # the closed network
)
PAGES = {"/graphql": "createPayment", "/docs": "/api/payments/{payment_id}"}
"""An operation that each shows."""
LINT = """
() => document.querySelectorAll(".CodeMirror").forEach(each => each.CodeMirror.performLint())
"""
KNOWS_SCHEMA = """
() => Boolean(document.querySelector(".CodeMirror").CodeMirror.options.lint.schema)
"""
MISSPELL = """
() => {
  const editor = document.querySelector(".CodeMirror").CodeMirror;
  editor.setValue(editor.getValue().replace("paymentId", "paymnetId"));
}
"""
PACKAGE = Path(__file__).parent.parent
PATIENCE_SECONDS = 20
"""For a browser's first page on a busy machine."""
POLL_MS = 20


@pytest.fixture(scope="module")
def origin(mock: Any) -> str:
    return str(mock.url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page, what it asked of whom, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)


def open_page(browser: Browser, url: str, shows: str) -> Visit:
    """The page in a profile of its own, once it `shows` an operation and asks for nothing more."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    visit = Visit(context.new_page())
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("websocket", lambda ws: visit.requests.append(ws.url.replace("ws", "http", 1)))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("console", visit.note)
    visit.page.goto(url)
    visit.page.get_by_text(shows).first.wait_for()
    visit.page.wait_for_load_state("networkidle")
    return visit


@pytest.fixture(scope="module")
def visit(browser: Browser, origin: str) -> Callable[[str], Visit]:
    """Opens each page once for all tests that only look at it."""
    return functools.cache(lambda path: open_page(browser, f"{origin}{path}", PAGES[path]))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_the_operations(visit: Callable[[str], Visit], path: str) -> None:
    expect(visit(path).page.get_by_text(PAGES[path]).first).to_be_visible()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_nobody_but_its_own_origin(
    visit: Callable[[str], Visit], origin: str, path: str
) -> None:
    assert [url for url in visit(path).requests if not url.startswith(f"{origin}/")] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_nothing_to_complain_about(visit: Callable[[str], Visit], path: str) -> None:
    assert visit(path).complaints == []


def until(page: Page, look: str, given: object, fits: Callable[[Any], bool] = bool) -> Any:
    """What a look into the page finds, once it fits. Playwright's own waiting evaluates text in the
    page, which the page's policy forbids."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not fits(found := page.evaluate(look, given)):
        assert time.monotonic() < give_up, f"it found {found!r}"
        page.wait_for_timeout(POLL_MS)
    return found


def kept(page: Page, name: str, fits: Callable[[Any], bool] = bool) -> str:
    """What GraphiQL keeps by a name, once it fits: it writes a moment after something changed."""
    return str(until(page, "name => localStorage.getItem(name)", f"graphiql:{name}", fits))


class GraphiQL:
    """The page, used as a visitor does."""

    def __init__(self, browser: Browser, origin: str) -> None:
        self.page = open_page(browser, f"{origin}/graphql", PAGES["/graphql"]).page
        self.results = self.page.get_by_label("Result Window")

    def open(self, example: str) -> None:
        """Goes to an example's tab, and waits until GraphiQL knows the name of its operation."""
        self.page.get_by_role("tab", name=example).click()
        kept(self.page, "operationName", lambda name: bool(name == example))

    def run(self, example: str, **variables: object) -> None:
        """Executes an example, with its own variables unless others are given."""
        self.open(example)
        if variables:
            box = self.page.get_by_role("region", name="Variables").get_by_role("textbox")
            box.press("Control+A")
            self.page.keyboard.insert_text(json.dumps(variables))
        self.page.get_by_role("button", name="Execute query").click()

    def shows(self, text: str) -> None:
        """Waits until the results have the text."""
        expect(self.results).to_contain_text(text, timeout=PATIENCE_SECONDS * 1000)

    def shown(self, name: str) -> str:
        """The value of a field in the results."""
        found = re.search(f'"{name}": "([^"]+)"', self.results.inner_text())
        assert found, self.results.inner_text()
        return found.group(1)


@pytest.fixture
def graphiql(browser: Browser, origin: str) -> GraphiQL:
    """The page on a first visit."""
    return GraphiQL(browser, origin)


def test_graphiql_runs_its_examples(graphiql: GraphiQL) -> None:
    graphiql.run("CreatePayment")
    graphiql.shows('"status": "created"')
    payment_id = graphiql.shown("paymentId")
    graphiql.run("ProcessPayment", id=payment_id)
    graphiql.shows('"status": "authorized"')
    graphiql.run("CapturePayment", id=payment_id, amount="6.00", final=True)
    graphiql.shows('"amountCaptured": "6.00"')
    graphiql.run("RefundPayment", id=payment_id, amount="2.50", reason="one of the books")
    graphiql.shows('"status": "partially_refunded"')
    graphiql.run("ReadRefund", id=graphiql.shown("refundId"))
    graphiql.shows(f'"paymentId": "{payment_id}"')
    graphiql.run("ReadPayment", id=payment_id)
    graphiql.shows('"reason": "one of the books"')  # what is further below is not in the page
    graphiql.run("ListPayments")
    graphiql.shows('"hasNextPage"')


def test_graphiql_watches(graphiql: GraphiQL, origin: str) -> None:
    graphiql.run("WatchPayments", customerId="watched")
    graphiql.shows('"event": null')
    body = {"amount": "10.00", "customer_id": "watched"}
    payment = httpx.post(f"{origin}/api/payments", json=body).json()["data"]
    graphiql.shows('"type": "payment.created"')
    graphiql.shows(payment["payment_id"])
    httpx.post(f"{origin}/api/payments/{payment['payment_id']}/cancel")
    graphiql.shows('"type": "payment.canceled"')


def test_graphiql_watches_on_behalf_of_the_merchant_in_its_headers(
    graphiql: GraphiQL, origin: str, merchant: dict[str, str]
) -> None:
    graphiql.open("WatchPayments")
    graphiql.page.get_by_role("button", name="Headers").click()
    graphiql.page.get_by_role("region", name="Headers").get_by_role("textbox").press("Control+A")
    graphiql.page.keyboard.insert_text(json.dumps(merchant))
    graphiql.page.get_by_role("button", name="Execute query").click()
    graphiql.shows('"event": null')
    body = {"amount": "10.00", "customer_id": "cust123"}
    payment = httpx.post(f"{origin}/api/payments", json=body, headers=merchant).json()["data"]
    graphiql.shows(payment["payment_id"])


def examples(page: Page) -> list[tuple[str, dict[str, Any]]]:
    """The document of every tab, with its variables."""
    tabs = json.loads(kept(page, "tabState"))["tabs"]
    return [(tab["query"], json.loads(tab["variables"])) for tab in tabs]


def test_every_example_fits_the_schema_and_its_variables(visit: Callable[[str], Visit]) -> None:
    schema = SCHEMA._schema
    for query, variables in examples(visit("/graphql").page):
        document = parse(query)
        assert validate(schema, document) == []
        (operation,) = document.definitions
        assert isinstance(operation, OperationDefinitionNode)
        assert operation.name
        given = get_variable_values(schema, operation.variable_definitions or (), variables)
        assert not isinstance(given, list), given


def test_every_root_field_has_an_example(visit: Callable[[str], Visit]) -> None:
    schema = SCHEMA._schema
    shown = {
        selection.name.value
        for query, _ in examples(visit("/graphql").page)
        for operation in parse(query).definitions
        if isinstance(operation, OperationDefinitionNode)
        for selection in operation.selection_set.selections
        if isinstance(selection, FieldNode)
    }
    roots = (schema.query_type, schema.mutation_type, schema.subscription_type)
    assert shown == {name for root in roots if root for name in root.fields}


def marked(graphiql: GraphiQL) -> Locator:
    """What the editors underline, once they have looked."""
    until(graphiql.page, KNOWS_SCHEMA, None)
    graphiql.page.evaluate(LINT)
    return graphiql.page.locator("[class*=CodeMirror-lint-mark]")


def test_the_editor_finds_nothing_wrong_with_an_example(graphiql: GraphiQL) -> None:
    tabs = graphiql.page.get_by_role("tab").all_inner_texts()
    assert tabs
    for tab in tabs:
        graphiql.open(tab)
        expect(marked(graphiql)).to_have_count(0)


def test_the_editor_marks_what_is_wrong(graphiql: GraphiQL) -> None:
    graphiql.page.evaluate(MISSPELL)
    expect(marked(graphiql)).to_have_text(["paymnetId"])


def test_the_schema_is_openapi_3_1(origin: str) -> None:
    assert httpx.get(f"{origin}/docs/openapi.json").json()["openapi"].startswith("3.1")


@pytest.mark.parametrize("name", sorted(pages.FILES))
def test_an_asset_says_what_it_is(origin: str, name: str) -> None:
    answer = httpx.get(f"{origin}{pages.ASSETS_PATH}/{name}")
    kind = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    expected = kind.get(Path(name).suffix, "text/plain")
    assert answer.headers["content-type"].split(";")[0] == expected
    assert answer.content == pages.FILES[name].read_bytes()


def test_an_asset_may_be_kept_for_ever(origin: str) -> None:
    answer = httpx.get(f"{origin}{pages.ASSETS_PATH}/graphiql.js")
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "../../pages.py",
        "..%2f..%2fpages.py",
        "%2e%2e/%2e%2e/pages.py",
        "..%5c..%5cpages.py",
        "vendor/react.js",
        "vendor%2freact.js",
        "%2fetc%2fpasswd",
        "react.js%00.css",
        "manifest.json",
    ],
)
def test_what_is_no_asset_is_not_served(origin: str, name: str) -> None:
    host, port = origin.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    connection.request("GET", f"{pages.ASSETS_PATH}/{name}")  # sends the path as it stands
    assert connection.getresponse().status == 404
    connection.close()


def test_vendored_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((pages.VENDOR / "manifest.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pages.VENDOR.iterdir()
        if path.name != "manifest.json"
    }
    assert found == {entry["file"]: entry["sha256"] for entry in manifest}


def test_the_wheel_brings_every_asset_along(tmp_path: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "building the wheel takes uv"
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, PACKAGE], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = {Path(name).name for name in packed.namelist() if "/assets/" in name}
    assert names >= pages.FILES.keys()
