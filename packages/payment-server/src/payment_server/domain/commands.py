"""What callers ask for: parsed once, with all that is wrong told at once.

Whatever surface a request came through, it becomes one of these; they are what idempotency
fingerprints, so two spellings of one wish are equal here.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from payment_server.domain.errors import InvalidRequest, Violation
from payment_server.domain.money import AMOUNT_PATTERN, Currency, MoneyInvalid
from payment_server.domain.money import currency_of as known_currency
from payment_server.domain.money import parse_amount as minor_units
from payment_server.domain.payment import Action, CaptureMethod, Status

CUSTOMER_ID_LIMIT: Final = 255
PAYMENT_METHOD_LIMIT: Final = 255
DESCRIPTION_LIMIT: Final = 1_000
METADATA_ENTRIES_LIMIT: Final = 50
METADATA_KEY_LIMIT: Final = 40
METADATA_VALUE_LIMIT: Final = 500
REASON_LIMIT: Final = 255
RESULT_LIMIT: Final = 1_000
ID_LIMIT: Final = 255  # longer than any id of ours: what is shorter is merely unknown
CURSOR_LIMIT: Final = 255  # longer than any cursor of ours
PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_LIMIT: Final = 1_000
MERCHANT_DEFAULT: Final = "default"

_PROCESS_ACTIONS: Final = tuple(each for each in Action if each is not Action.COMPLETE)
_MERCHANT = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)
_AMOUNT = re.compile(AMOUNT_PATTERN, re.ASCII)
_TELLABLE = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_DOLLARS: Final = Currency("USD", 2)  # where no currency is named, or none that is known
CARD_NUMBER_DIGITS: Final = 13  # the fewest that one has
VERSION_LIMIT: Final = 2**63 - 1  # the largest that the database's BIGINT has


class CreatePayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Record a payment of `amount_minor`."""

    amount_minor: int
    currency: Currency
    customer_id: str
    payment_method: str
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    description: str = ""
    metadata: dict[str, str] = {}
    expires_at: datetime | None = None


class ChangePayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Move a payment on, whichever call asks for it.

    `amount` is a decimal string; empty means all that is left. `final`: nothing is captured after
    this. `strict`: a capture of what is held, which never authorizes it first. `reason` is a
    refund's, `result` a challenge's. Whatever field is added has to be unset in every wish that
    could be said without it, or its fingerprint changes and old keys break.
    """

    payment_id: str
    action: Action
    amount: str = ""
    payment_method: str = ""
    final: bool = False
    strict: bool = False
    reason: str = ""
    result: str = ""
    expected_version: int = 0


class ListPayments(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page of the payments that match every filter that is set."""

    customer_id: str = ""
    status: Status | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    metadata: dict[str, str] = {}
    page_size: int = PAGE_SIZE_DEFAULT
    page_token: str = ""


class ListOfPayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page of what belongs to a payment."""

    what: Literal["refunds", "events"]
    payment_id: str
    page_size: int = PAGE_SIZE_DEFAULT
    page_token: str = ""


class WatchPayments(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one payment, one customer or a merchant, behind a cursor or from now on."""

    payment_id: str = ""
    customer_id: str = ""
    cursor: str = ""
    from_beginning: bool = False


class _Fields:
    """Collects what is wrong with a request's fields."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def wrong(self, field: str, message: str) -> None:
        self._violations.append(Violation(field, message))

    def text(self, field: str, value: str, limit: int, *, required: bool = False) -> str:
        if (flaw := _flaw_of(value, limit, required=required)) is not None:
            self.wrong(field, flaw)
        return value

    def id(self, field: str, value: str) -> str:
        return self.text(field, value, ID_LIMIT, required=True)

    def part(self, amount: str) -> str:
        if amount and _AMOUNT.fullmatch(amount) is None:
            self.wrong("amount", 'must be a decimal string such as "10.00"')
        return amount

    def version(self, expected: int) -> int:
        if not 0 <= expected <= VERSION_LIMIT:
            self.wrong("expected_version", "is no version that a payment can have")
        return expected

    def page_size(self, wanted: int) -> int:
        if wanted < 0:
            self.wrong("page_size", "must not be below zero")
        return min(wanted or PAGE_SIZE_DEFAULT, PAGE_SIZE_LIMIT)

    def moment(self, field: str, given: datetime | None) -> datetime | None:
        """To the millisecond, as all surfaces tell time, and in UTC, so that each spelling of it
        is the same wish."""
        if given is None:
            return None
        try:
            utc = given.astimezone(UTC)
        except OverflowError:
            self.wrong(field, "is no time of the years 1 to 9999")
            return None
        return utc.replace(microsecond=utc.microsecond // 1000 * 1000)

    def metadata(self, entries: Mapping[str, str]) -> dict[str, str]:
        if not entries:
            return {}
        if len(entries) > METADATA_ENTRIES_LIMIT:
            self.wrong(
                "metadata",
                f"has {len(entries)} entries; at most {METADATA_ENTRIES_LIMIT} are allowed",
            )
            return {}
        known = dict(entries)
        for position, (key, value) in enumerate(known.items()):
            for flaw in (
                _flaw_of(key, METADATA_KEY_LIMIT, required=True),
                _flaw_of(value, METADATA_VALUE_LIMIT),
            ):
                if flaw is not None:
                    self.wrong(metadata_path(position, key), flaw)
        return known

    def money(self, amount: str, currency: str) -> tuple[int, Currency]:
        known = _DOLLARS
        try:
            known = known_currency(currency or _DOLLARS.code)
        except MoneyInvalid as error:
            self.wrong("currency", str(error))
        try:
            return minor_units(amount, known.exponent), known
        except MoneyInvalid as error:
            self.wrong("amount", str(error) if amount else "is required")
            return 0, known

    def refuse(self) -> None:
        """Raises InvalidRequest if anything was wrong."""
        if self._violations:
            raise InvalidRequest(self._violations)


def create_payment(
    *,
    amount: str,
    currency: str,
    customer_id: str,
    payment_method: str,
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC,
    description: str = "",
    metadata: Mapping[str, str],
    expires_at: datetime | None = None,
) -> CreatePayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    amount_minor, known = fields.money(amount, currency)
    command = CreatePayment(
        amount_minor=amount_minor,
        currency=known,
        customer_id=fields.text("customer_id", customer_id, CUSTOMER_ID_LIMIT, required=True),
        payment_method=fields.text("payment_method", payment_method, PAYMENT_METHOD_LIMIT)
        or "card",
        capture_method=capture_method,
        description=fields.text("description", description, DESCRIPTION_LIMIT),
        metadata=fields.metadata(metadata),
        expires_at=fields.moment("expires_at", expires_at),
    )
    fields.refuse()
    return command


def process_payment(
    *,
    payment_id: str,
    action: str,
    amount: str = "",
    payment_method: str = "",
    expected_version: int = 0,
) -> ChangePayment:
    """ProcessPayment's wish; raises InvalidRequest."""
    fields = _Fields()
    is_known = not action or action in _PROCESS_ACTIONS
    if not is_known:
        fields.wrong("action", f"must be one of {', '.join(_PROCESS_ACTIONS)}")
    wanted = Action(action) if action and is_known else Action.PROCESS
    if amount and is_known and wanted not in (Action.CAPTURE, Action.REFUND):
        fields.wrong("amount", f"cannot be given with {wanted}")
    if payment_method and wanted in (Action.CANCEL, Action.REFUND):
        fields.wrong("payment_method", f"cannot be given with {wanted}")
    command = ChangePayment(
        payment_id=fields.id("payment_id", payment_id),
        action=wanted,
        amount=fields.part(amount),
        payment_method=fields.text("payment_method", payment_method, PAYMENT_METHOD_LIMIT),
        expected_version=fields.version(expected_version),
    )
    fields.refuse()
    return command


def capture_payment(
    *, payment_id: str, amount: str = "", final: bool = False, expected_version: int = 0
) -> ChangePayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ChangePayment(
        payment_id=fields.id("payment_id", payment_id),
        action=Action.CAPTURE,
        amount=fields.part(amount),
        final=final,
        strict=True,
        expected_version=fields.version(expected_version),
    )
    fields.refuse()
    return command


def cancel_payment(*, payment_id: str, expected_version: int = 0) -> ChangePayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ChangePayment(
        payment_id=fields.id("payment_id", payment_id),
        action=Action.CANCEL,
        expected_version=fields.version(expected_version),
    )
    fields.refuse()
    return command


def refund_payment(
    *, payment_id: str, amount: str = "", reason: str = "", expected_version: int = 0
) -> ChangePayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ChangePayment(
        payment_id=fields.id("payment_id", payment_id),
        action=Action.REFUND,
        amount=fields.part(amount),
        reason=fields.text("reason", reason, REASON_LIMIT),
        expected_version=fields.version(expected_version),
    )
    fields.refuse()
    return command


def complete_payment_action(
    *, payment_id: str, result: str = "", expected_version: int = 0
) -> ChangePayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ChangePayment(
        payment_id=fields.id("payment_id", payment_id),
        action=Action.COMPLETE,
        result=fields.text("result", result, RESULT_LIMIT),
        expected_version=fields.version(expected_version),
    )
    fields.refuse()
    return command


def get_payment(payment_id: str) -> str:
    """The id to look for; raises InvalidRequest."""
    fields = _Fields()
    fields.id("payment_id", payment_id)
    fields.refuse()
    return payment_id


def get_refund(refund_id: str) -> str:
    """The id to look for; raises InvalidRequest."""
    fields = _Fields()
    fields.id("refund_id", refund_id)
    fields.refuse()
    return refund_id


def list_of_payment(
    what: Literal["refunds", "events"],
    *,
    payment_id: str,
    page_size: int = 0,
    page_token: str = "",
) -> ListOfPayment:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ListOfPayment(
        what=what,
        payment_id=fields.id("payment_id", payment_id),
        page_size=fields.page_size(page_size),
        page_token=page_token,
    )
    fields.refuse()
    return command


def watch_payments(
    *, payment_id: str = "", customer_id: str = "", cursor: str = "", from_beginning: bool = False
) -> WatchPayments:
    """Raises InvalidRequest."""
    fields = _Fields()
    if payment_id and customer_id:
        fields.wrong("customer_id", "cannot be given with payment_id")
    if cursor and from_beginning:
        fields.wrong("from_beginning", "cannot be given with cursor")
    command = WatchPayments(
        payment_id=fields.text("payment_id", payment_id, ID_LIMIT),
        customer_id=fields.text("customer_id", customer_id, CUSTOMER_ID_LIMIT),
        cursor=fields.text("cursor", cursor, CURSOR_LIMIT),
        from_beginning=from_beginning,
    )
    fields.refuse()
    return command


def list_payments(
    *,
    customer_id: str = "",
    status: Status | None = None,
    created_from: datetime | None = None,
    created_before: datetime | None = None,
    metadata: Mapping[str, str],
    page_size: int = 0,
    page_token: str = "",
) -> ListPayments:
    """Raises InvalidRequest."""
    fields = _Fields()
    command = ListPayments(
        customer_id=fields.text("customer_id", customer_id, CUSTOMER_ID_LIMIT),
        status=status,
        created_from=created_from,
        created_before=created_before,
        metadata=fields.metadata(metadata),
        page_size=fields.page_size(page_size),
        page_token=page_token,
    )
    fields.refuse()
    return command


def merchant_id(text: str) -> str:
    """A merchant's id, "default" for none; raises InvalidRequest."""
    if text and _MERCHANT.fullmatch(text) is None:
        raise InvalidRequest([Violation("x-merchant-id", f"must match {_MERCHANT.pattern}")])
    return text or MERCHANT_DEFAULT


def is_tellable(name: str) -> bool:
    """Whether a name that a caller chose may stand in an answer or a log: short, plain, and with
    too few digits to be a card number."""
    digits = sum(character.isdigit() for character in name)
    return _TELLABLE.fullmatch(name) is not None and digits < CARD_NUMBER_DIGITS


def metadata_path(position: int, key: str) -> str:
    """How a metadata entry is named in an answer: by its key, or by its place."""
    return f"metadata.{key}" if is_tellable(key) else f"metadata[{position}]"


def _flaw_of(text: str, limit: int, *, required: bool = False) -> str | None:
    """Its length, or what PostgreSQL or a log could not take: control characters, NUL, lone
    surrogates."""
    if required and not text:
        return "is required"
    if len(text) > limit:
        return f"has {len(text)} characters; at most {limit} are allowed"
    if text.isascii() and text.isprintable():
        return None
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs"):
            return "has a control character or a lone surrogate"
    return None
