"""Events: one for every version of a payment; and cursors, which say how far a watcher has come."""

import base64
import binascii
import struct
import uuid
from datetime import datetime
from typing import Final, Literal

import msgspec

from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.ids import LOWEST
from payment_server.domain.payment import EventType, Payment

_CURSOR: Final = struct.Struct(">16sQ16sq")  # database, transaction, payment, version
_CURSOR_PREFIX: Final = "1."  # the format's version, so that a later one can tell them apart


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `payment` is the snapshot after it, `occurred_at` is UTC."""

    event_id: str
    type: EventType
    occurred_at: datetime
    payment: Payment


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a database's stream of events: behind this change of this transaction.

    Positions are ordered as the stream is.
    """

    transaction_id: int
    payment_id: str = LOWEST
    version: int = 0


BEGINNING: Final = Position(0)


class _StoredPayment(msgspec.Struct, frozen=True):
    format_version: Literal[1]
    payment: Payment


def encode_snapshot(payment: Payment) -> str:
    """JSON, for the database."""
    return msgspec.json.encode(_StoredPayment(1, payment)).decode()


def decode_snapshot(text: str) -> Payment:
    """Raises msgspec.ValidationError for what `encode_snapshot` of no version wrote."""
    return msgspec.json.decode(text, type=_StoredPayment).payment


def cursor_of(database: uuid.UUID, position: Position) -> str:
    """Opaque text for a watcher to come back with."""
    payment_id = uuid.UUID(position.payment_id).bytes
    raw = _CURSOR.pack(database.bytes, position.transaction_id, payment_id, position.version)
    return _CURSOR_PREFIX + base64.urlsafe_b64encode(raw).decode()


def read_cursor(cursor: str) -> tuple[uuid.UUID, Position]:
    """The database that it came from, and the position. Raises InvalidRequest."""
    try:
        if not cursor.startswith(_CURSOR_PREFIX):
            raise ValueError
        text = cursor.removeprefix(_CURSOR_PREFIX).encode("ascii")
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        database, transaction_id, payment_id, version = _CURSOR.unpack(raw)
    except (ValueError, binascii.Error, struct.error):
        violation = Violation("cursor", "is not a cursor of this service")
        raise InvalidRequest([violation]) from None
    position = Position(transaction_id, str(uuid.UUID(bytes=payment_id)), version)
    return uuid.UUID(bytes=database), position
