"""A million honest order numbers, ids and keys pass as metadata: none is taken for a card number.

Not among them is what the contract's rule refuses: 13 to 19 bare digits that begin like a card's
and have its check digit. Of sixteen random digits one in thirty is so; of sixteen that begin with
year and month (26 11 ...) one in ten, for 2221 to 2720 is Mastercard's; and of the GTIN-14 that
begin with 36 one in ten, for so do Diners Club's. Nothing tells such a number from a card's, and a
letter before it does: ORD4242424242424242 passes.
"""

import base64
import random
import string
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import repeat
from typing import TypeAlias

import pytest
from service_under_test import SCALE

from payment_server.domain.card_data import refuse_card_data
from payment_server.domain.commands import METADATA_ENTRIES_LIMIT, CreatePayment
from payment_server.domain.errors import CardDataRejected
from payment_server.domain.money import Currency

NUMBERS = 1_000_000
SHARDS = 8  # so that several workers share them
TWITTER, DISCORD = 1_288_834_974_657, 1_420_070_400_000  # when their clocks began, in milliseconds
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LETTERS_AND_DIGITS = string.ascii_letters + string.digits
YEARS = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))

Draw: TypeAlias = random.Random


def digits(draw: Draw, count: int) -> str:
    return str(draw.randrange(10**count)).zfill(count)


def moment(draw: Draw) -> datetime:
    return YEARS[0] + draw.random() * (YEARS[1] - YEARS[0])


def milliseconds(draw: Draw) -> int:
    return int(moment(draw).timestamp() * 1000)


def uuid4(draw: Draw) -> str:
    id_ = str(uuid.UUID(int=draw.getrandbits(128), version=4))
    return draw.choice((id_, id_.upper(), id_.replace("-", ""), f"{{{id_}}}", f"urn:uuid:{id_}"))


def uuid7(draw: Draw) -> str:
    head = milliseconds(draw) << 16 | 7 << 12 | draw.getrandbits(12)
    return str(uuid.UUID(int=head << 64 | 2 << 62 | draw.getrandbits(62)))


def ulid(draw: Draw) -> str:
    return "01" + "".join(draw.choices(CROCKFORD, k=24))


def ksuid(draw: Draw) -> str:
    return "2" + "".join(draw.choices(LETTERS_AND_DIGITS, k=26))


def snowflake(draw: Draw) -> str:
    began = draw.choice((TWITTER, DISCORD))
    return str((milliseconds(draw) - began << 22) + draw.getrandbits(22))


def timestamp(draw: Draw) -> str:
    at = moment(draw)
    forms = ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M%S%f")
    return at.strftime(draw.choice((*forms, "%Y-%m-%d-%H-%M-%S-%f", "%d.%m.%Y %H.%M.%S")))


def epoch(draw: Draw) -> str:
    factor = draw.choice((1, 1_000, 1_000_000))
    return str(milliseconds(draw) * factor + draw.randrange(factor))


def order(draw: Draw) -> str:
    word = draw.choice(("ORD", "order", "PO", "INV", "RE", "Bestellung", "#", "SO", "R"))
    separator = draw.choice(("-", "/", "_", ".", " ", ":", ""))
    parts = [word, str(moment(draw).year), digits(draw, draw.randint(4, 8))]
    if draw.random() < 0.5:
        parts.insert(1, draw.choice(("EU", "US", "DE01", "shop", "B2B")))
    return separator.join(parts)


def invoice(draw: Draw) -> str:
    day = moment(draw).strftime(draw.choice(("%Y-%m-%d", "%Y%m%d", "%y-%m-%d", "%Y/%m", "%y%m")))
    customer = digits(draw, draw.randint(3, 6))
    tail = digits(draw, draw.randint(2, 5))
    word = draw.choice(("INV", "RG", "FA", "CN"))
    forms = (f"{word}-{day}-{customer}-{tail}", f"{word}{day}-{customer}", f"{day}/{tail}")
    return draw.choice(forms)


def iban(draw: Draw) -> str:
    country, bank = draw.choice(
        (
            ("DE", digits(draw, 18)),
            ("AT", digits(draw, 16)),
            ("ES", digits(draw, 20)),
            ("GB", "WEST" + digits(draw, 14)),
            ("NL", "INGB" + digits(draw, 10)),
            ("FR", digits(draw, 23)),
            ("NO", digits(draw, 11)),
            ("PL", digits(draw, 24)),
        )
    )
    rearranged = "".join(str(int(character, 36)) for character in f"{bank}{country}00")
    number = f"{country}{98 - int(rearranged) % 97:02d}{bank}"
    spaced = " ".join(number[start : start + 4] for start in range(0, len(number), 4))
    return draw.choice((number, spaced, f"IBAN {spaced}", f"{spaced} EUR 10.00"))


PHONES = (
    *("+49 15# ########", "+4915#########", "015#-########", "+49 (0)30 ######", "030/#######"),
    *("+1 (###) 555-####", "+1-###-555-####", "(###) 555-####", "###.555.####", "+1##########"),
    *("+44 7### ######", "07### ######", "+33 6 ## ## ## ##", "06 ## ## ## ##", "+8190########"),
    *("+86 13# #### ####", "090-####-####", "+55 (11) 9####-####", "+91 98### #####"),
    *("+7 9## ###-##-##", "+380 ## ### ## ##", "+43 660 #######", "tel:+49-15#-########"),
)


def phone(draw: Draw) -> str:
    return filled(draw, draw.choice(PHONES))


def filled(draw: Draw, form: str) -> str:
    """Each # becomes a digit."""
    count = form.count("#")
    return form.replace("#", "%s") % tuple(digits(draw, count))


def barcode(draw: Draw) -> str:
    """EAN-13 of every country, and GTIN-14 of a unit, an inner pack and a carton."""
    indicator = draw.choice(("", "0", "1", "2"))
    body = indicator + digits(draw, 12)
    total = sum(int(each) * (3, 1)[place % 2] for place, each in enumerate(reversed(body)))
    return body + str(-total % 10)


PARCELS = (
    *("1Z######0#########", "1Z 999 AA# ## #### ####", "############", "#### #### ####"),
    *("96##########3##", "9612 0191 #### ###", "92748################", "JD01##############"),
    *("94001#################", "9400 1### #### #### #### ##", "9205 5### #### #### #### ##"),
    *("00340434############", "RR#########DE", "GM############", "0998 #### #### ##"),
)


def parcel(draw: Draw) -> str:
    return filled(draw, draw.choice(PARCELS))


def hash_(draw: Draw) -> str:
    text = f"{draw.getrandbits(160):040x}"
    return draw.choice((text, text[:7], text[:12], f"sha256:{draw.getrandbits(256):064x}"))


def token(draw: Draw) -> str:
    raw = draw.randbytes(24)
    prefix = draw.choice(("", "sk_test_", "pi_", "cus_", "req-"))
    return prefix + draw.choice((raw.hex(), base64.urlsafe_b64encode(raw).decode()))


VAT = (
    *("DE#########", "ATU########", "GB ### #### ##", "GB#########", "FR ## ### ### ###"),
    *("IE#######W", "NL#########B##", "ES A########", "IT ###########", "PL ###-###-##-##"),
    *("SE############", "NO ### ### ### MVA", "CHE-###.###.### MWST", "BR 12.###.###/0001-##"),
)


def vat(draw: Draw) -> str:
    return filled(draw, draw.choice(VAT))


def amounts(draw: Draw) -> str:
    separator = draw.choice((", ", " + ", "; ", " ", " | "))
    listed = (draw.randrange(100, 100_000) / 100 for _ in range(draw.randint(2, 6)))
    return separator.join(f"{amount:.2f}" for amount in listed)


KINDS: tuple[Callable[[Draw], str], ...] = (
    *(uuid4, uuid7, ulid, ksuid, snowflake, timestamp, epoch, order, invoice, iban, phone),
    *(barcode, parcel, hash_, token, vat, amounts),
)


def honest(draw: Draw) -> Iterator[str]:
    while True:
        yield from (kind(draw) for kind in KINDS)


@pytest.mark.scaled
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_million_honest_numbers_pass(shard: int) -> None:
    numbers = honest(random.Random(shard))
    for _ in repeat(None, NUMBERS // SHARDS // METADATA_ENTRIES_LIMIT * SCALE):
        entries = dict(zip(map(str, range(METADATA_ENTRIES_LIMIT)), numbers, strict=False))
        refused = refused_of(entries)
        assert not refused, refused


def refused_of(metadata: dict[str, str]) -> list[str]:
    """The values that are taken for card data."""
    command = CreatePayment(
        amount_minor=1000,
        currency=Currency("USD", 2),
        customer_id="cust123",
        payment_method="card",
        metadata=metadata,
    )
    try:
        refuse_card_data(command)
    except CardDataRejected as error:
        return [metadata[each.field.removeprefix("metadata.")] for each in error.violations]
    return []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_what_it_says(kind: Callable[[Draw], str]) -> None:
    """A generator that has gone wrong would prove nothing."""
    drawn = {kind(random.Random(seed)) for seed in range(100)}
    assert len(drawn) > 50
    assert all(5 <= len(number) <= 80 for number in drawn)


def test_what_is_sixteen_random_digits_is_refused_when_it_could_be_a_card() -> None:
    draw = random.Random(1)
    drawn = [digits(draw, 16) for _ in range(10_000)]
    refused = [number for number in drawn if refused_of({"number": number})]
    assert 0.02 < len(refused) / len(drawn) < 0.06
    assert all(number[0] in "234568" for number in refused)
