"""Page tokens: where the last page ended, bound to the filters that it was listed with."""

import base64
import binascii
import hashlib
import uuid
from typing import Final

import msgspec
from msgspec.structs import replace

from payment_server.domain.commands import (
    PAGE_SIZE_DEFAULT,
    VERSION_LIMIT,
    ListOfPayment,
    ListPayments,
)
from payment_server.domain.errors import InvalidRequest, Violation

Listing = ListPayments | ListOfPayment

_FILTERS_BYTES: Final = 8  # enough to catch a mistake; a token guards nothing


def token_after(wish: Listing, last_id: str) -> str:
    """The opaque token of the page that follows."""
    raw = uuid.UUID(last_id).bytes + _filters(wish)
    return base64.urlsafe_b64encode(raw).decode()


def read_token(wish: Listing) -> str | None:
    """The id that the page before ended with, None for the first page; raises InvalidRequest."""
    if not wish.page_token:
        return None
    try:
        raw = base64.b64decode(wish.page_token.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raw = b""
    if len(raw) != 16 + _FILTERS_BYTES:
        raise InvalidRequest([Violation("page_token", "is not a token of this service")])
    if raw[16:] != _filters(wish):
        raise InvalidRequest([Violation("page_token", "belongs to a list with other filters")])
    return str(uuid.UUID(bytes=raw[:16]))


def _filters(wish: Listing) -> bytes:
    """The page's size may change from page to page (AIP-158), its filters may not."""
    filters = replace(wish, page_token="", page_size=PAGE_SIZE_DEFAULT)
    text = msgspec.json.encode(filters, order="deterministic")
    return hashlib.sha256(text).digest()[:_FILTERS_BYTES]


def version_as_id(version: int) -> str:
    """Events are numbered, not named; a token holds 16 bytes either way."""
    return str(uuid.UUID(int=version))


def version_of_id(id_: str) -> int:
    """What `version_as_id` was given; of a made-up id, at most what the database can compare."""
    return min(uuid.UUID(id_).int, VERSION_LIMIT)
