"""The API pages as a browser on a closed network sees them, and the files they are made of."""

import asyncio
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright
from service_under_test import Servers

from payment_server.api import pages

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
OPERATION = "/v1/payments/{payment_id}"
PATIENCE_SECONDS = 20
"""For a browser's first page on a busy machine."""
PACKAGE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as playwright:
        chromium = playwright.chromium
        browser = await chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@dataclass
class Visit:
    """A page, what it asked of whom, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda ws: self.requests.append(ws.url.replace("ws", "http", 1)))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    async def open(self, url: str) -> None:
        """Waits until the page shows an operation and asks for nothing more."""
        self.page.set_default_timeout(PATIENCE_SECONDS * 1000)
        await self.page.goto(url)
        await self.page.get_by_text(OPERATION).first.wait_for()
        await self.page.wait_for_load_state("networkidle")


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """A page in a profile of its own."""
    context = await browser.new_context()
    yield Visit(await context.new_page())
    await context.close()


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger"])
async def test_a_page_shows_the_operations_without_asking_anybody_else(
    visit: Visit, servers: Servers, path: str
) -> None:
    origin = origin_of(servers)
    await visit.open(origin + path)
    assert [url for url in visit.requests if not url.startswith(f"{origin}/")] == []
    assert visit.complaints == []


async def test_scalar_sends_a_test_request_to_its_own_origin(
    visit: Visit, servers: Servers
) -> None:
    await visit.open(f"{origin_of(servers)}/docs")
    await visit.page.get_by_role("button", name="(get /v1/payments)", exact=False).first.click()
    async with visit.page.expect_response(re.compile(r"/v1/payments(\?.*)?$")) as answer:
        await visit.page.get_by_role("button", name="Send get request").click()
    assert (await answer.value).ok


def origin_of(servers: Servers) -> str:
    return f"http://127.0.0.1:{servers.http_port}"


async def test_the_schema_is_openapi_3_1(servers: Servers) -> None:
    assert (await servers.http.get("/docs/openapi.json")).json()["openapi"].startswith("3.1")


async def test_every_asset_says_what_it_is(servers: Servers) -> None:
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for name, path in pages.FILES.items():
        answer = await servers.http.get(f"{pages.ASSETS_PATH}/{name}")
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind == kinds.get(path.suffix, "text/plain")
        assert answer.content == path.read_bytes()


async def test_an_asset_may_be_kept_for_ever(servers: Servers) -> None:
    answer = await servers.http.get(f"{pages.ASSETS_PATH}/swagger.js")
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "../../pages.py",
        "..%2f..%2fpages.py",
        "%2e%2e/%2e%2e/pages.py",
        "..%5c..%5cpages.py",
        "vendor/scalar.js",
        "vendor%2fscalar.js",
        "%2fetc%2fpasswd",
        "scalar.js%00.css",
        "manifest.json",
    ],
)
async def test_what_is_no_asset_is_not_served(servers: Servers, name: str) -> None:
    def status() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", servers.http_port, PATIENCE_SECONDS)
        connection.request("GET", f"{pages.ASSETS_PATH}/{name}")  # sends the path as it stands
        answer = connection.getresponse()
        connection.close()
        return answer.status

    assert await asyncio.to_thread(status) == 404


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
        names = {Path(name).name for name in packed.namelist() if "/api/assets/" in name}
    assert names >= pages.FILES.keys()
