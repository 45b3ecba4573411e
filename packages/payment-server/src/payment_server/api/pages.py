"""The API pages: Scalar, Swagger UI and what they load, all of it out of this package.

They work on a closed network, so nothing here may name another origin. The files in assets/vendor
are written by scripts/vendor_assets.py, those beside it by hand.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.params import FromPath

ASSETS: Final = Path(__file__).parent / "assets"
VENDOR: Final = ASSETS / "vendor"

# Named here, because a machine's own table of types may say something else.
MEDIA_TYPES: Final = MappingProxyType(
    {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
)
FILES: Final[Mapping[str, Path]] = MappingProxyType(
    {
        path.name: path
        for path in (*ASSETS.iterdir(), *VENDOR.iterdir())
        if path.suffix in MEDIA_TYPES
    }
)
"""Every file that is served, by the name it is asked for; so no path reaches outside of them."""


def _fingerprint() -> str:
    """Changes whenever a file does; the manifest has the hashes of what is in assets/vendor."""
    own = [path for _, path in sorted(FILES.items()) if path.parent == ASSETS]
    content = b"".join(path.read_bytes() for path in (VENDOR / "manifest.json", *own))
    return hashlib.sha256(content).hexdigest()[:12]


ASSETS_PATH: Final = f"/docs/assets/{_fingerprint()}"
"""The folder's address changes with its content, so that browsers may keep the files."""

# A year is the longest that caches honour.
CACHE_CONTROL: Final = "public, max-age=31536000, immutable"

# Scalar and Swagger UI put styles and small pictures into the page themselves. The pages carry
# this policy in a meta element, so that it holds whichever handler answers with them.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)

SCALAR_OPTIONS: Final = MappingProxyType(
    {
        "defaultOpenAllTags": True,
        # All of Scalar that would talk to its makers, turned off:
        "agent": {"disabled": True},
        "hideClientButton": True,
        "mcp": {"disabled": True},
        "proxyUrl": "",
        "showDeveloperTools": "never",
        "telemetry": False,
        "withDefaultFonts": False,
    }
)


def openapi_config(title: str, version: str, description: str) -> OpenAPIConfig:
    """OpenAPI 3.1 at /docs/openapi.json, shown by Scalar at /docs and Swagger UI at /docs/swagger.

    The app must register `assets_router` as well.
    """
    return OpenAPIConfig(
        title=title,
        version=version,
        description=description,
        path="/docs",
        use_handler_docstrings=True,
        render_plugins=[
            _Page("/", _scalar_html),
            _Page("/swagger", _swagger_html),
            JsonRenderPlugin(path="/openapi.json"),
        ],
    )


class _Page(OpenAPIRenderPlugin):
    """A page of which only title and schema address vary; it fetches the schema itself."""

    def __init__(self, path: str, html: Callable[[str, str], str]) -> None:
        super().__init__(path=path)
        self._html = html

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        title, schema_url = openapi_schema["info"]["title"], self.get_openapi_json_route(request)
        return self._html(title, schema_url).encode()


def _scalar_html(title: str, schema_url: str) -> str:
    options = escape(json.dumps({**SCALAR_OPTIONS, "url": schema_url}))
    mount = f'<div id="api-reference" data-configuration="{options}"></div>'
    return _html(title, mount, scripts=["scalar.js"])


def _swagger_html(title: str, schema_url: str) -> str:
    mount = f'<div id="swagger-ui" data-url="{escape(schema_url)}"></div>'
    scripts = ["swagger-ui-bundle.js", "swagger.js"]
    return _html(title, mount, styles=["swagger-ui.css"], scripts=scripts)


def _html(title: str, mount: str, *, styles: Sequence[str] = (), scripts: Sequence[str]) -> str:
    """A page that loads the named files; `mount` is HTML, `title` is not."""
    links = "".join(f'<link rel="stylesheet" href="{ASSETS_PATH}/{name}">\n' for name in styles)
    loads = "".join(f'<script src="{ASSETS_PATH}/{name}"></script>\n' for name in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" type="image/svg+xml" href="{ASSETS_PATH}/favicon.svg">
{links}<style>body {{ margin: 0 }}</style>
</head>
<body>
<noscript>This page needs JavaScript.</noscript>
{mount}
{loads}</body>
</html>
"""


@get("/{name:str}", sync_to_thread=True)  # reads up to 4 MB
def _asset(name: FromPath[str]) -> Response[bytes]:
    path = FILES.get(name)
    if path is None:
        raise NotFoundException("There is no such file.")
    headers = {"Cache-Control": CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix], headers=headers)


assets_router: Final = Router(ASSETS_PATH, route_handlers=[_asset], include_in_schema=False)
"""Serves `FILES`, uncompressed: squeezing 4 MB would hold up the payments beside it."""
