"""Ids: UUIDv7 (RFC 9562) as lower-case text. Their order is the order of creation."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import uuid_utils

LOWEST: Final = "00000000-0000-0000-0000-000000000000"
HIGHEST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"

_CANONICAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_TIME_LIMIT: Final = 2**48 - 1


def new_id() -> str:
    """Later than every id that this process drew before."""
    return str(uuid_utils.uuid7())


def time_of(canonical_id: str) -> datetime:
    """When the id was drawn, to the millisecond, UTC."""
    return _EPOCH + int(canonical_id[:8] + canonical_id[9:13], 16) * _MILLISECOND


def lowest_at(moment: datetime) -> str:
    """What no id drawn at `moment` or later is below: a range of time is a range of ids."""
    milliseconds = -((_EPOCH - moment) // _MILLISECOND)  # rounds up
    digits = f"{min(max(milliseconds, 0), _TIME_LIMIT):012x}"
    return f"{digits[:8]}-{digits[8:]}{LOWEST[13:]}"


def canonical(text: str) -> str | None:
    """The id in lower case, or None for what no id looks like."""
    lower = text.lower()
    return lower if _CANONICAL.fullmatch(lower) else None
