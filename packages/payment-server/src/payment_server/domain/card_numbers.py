"""Finds card numbers in free text, however they are written, and leaves other numbers alone.

The contract's rule: an isolated run of 13 to 19 digits, with spaces and dashes between them, that
has an issuer's prefix and passes Luhn. So of random numbers that are as long and begin like a
card's, one in ten is taken for one.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_LENGTHS: Final = range(13, 20)

# A whole run: neither letters nor further digits hang on it. Spaces and dashes may be anywhere.
_RUN = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9A-Za-z]-)(?<![0-9] )"
    r"[0-9](?:[ -]?[0-9]){12,18}"
    r"(?![0-9A-Za-z])(?!-[0-9A-Za-z])(?! [0-9])"
)

# A part of a longer run, for people write an expiry, a CVC or a quantity beside a number; or one
# with dots or wide spaces. It has to be grouped as cards are: timestamps, versions and lists of
# amounts are runs of digits too.
_GROUPS = re.compile(r"(?<![0-9A-Za-z])[0-9]+(?:(?: ?[.-] ?| {1,3})[0-9]+)*(?![0-9A-Za-z])")
_PRINTED: Final = frozenset(
    {
        *((length,) for length in _LENGTHS),
        *((4, 4, 4, last) for last in range(1, 5)),
        *((4, 4, 4, 4, last) for last in range(1, 4)),
        *((4, 6, 5), (4, 6, 4), (4, 3, 3, 3), (4, 4, 5)),
    }
)
_FIRST_SIZES: Final = frozenset(sizes[0] for sizes in _PRINTED)
_GROUPS_LIMIT: Final = 5  # the most groups that one of these has
_MARKS = re.compile(r"[^0-9]+")
_MIXED_MARKS: Final = frozenset(" -")  # in one number; any other mark goes through all of it

# Digits in fours that are more than a card number and one group beside it are the number of a
# parcel or an account, and are read from their beginning only.
_FOURS_LIMIT: Final = 20

# Whatever stands between them: too few digits are no card number. Nearly all texts end here.
_MANY_DIGITS = re.compile(r"[0-9](?:[ .-]{0,3}[0-9]){12}")
_DIGIT = re.compile(r"\d")

# What looks like a card number by chance, and is known by its form for something else: the first
# groups of a UUID, a parcel of UPS, a phone number with its country's code (ITU-T E.164), an
# account number (ISO 13616).
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_PARCEL = re.compile(r"\b1Z(?: ?[0-9A-Z]){16}\b")
_PHONE = re.compile(r"\+(?:[0-9]{7,15}(?![0-9])|[0-9](?:[ .-]?[0-9]){6,14}(?![ .-]?[0-9]))")
_ACCOUNT = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,30}\b")
_ACCOUNT_LENGTHS: Final = range(15, 35)
_BARCODE_LENGTH: Final = 13
_NOTHING: Final = "|"  # put in its place: neither a letter nor a mark

_DOTS: Final = frozenset("\N{BULLET}\N{MIDDLE DOT}\N{HYPHENATION POINT}")

# Issuer identification numbers (ISO/IEC 7812): first digits, and how long such a number may be.
# Maestro has its best known ones only: all of them, at every length, would be a tenth of all
# numbers.
_ISSUERS: Final[tuple[tuple[Iterable[int], Iterable[int]], ...]] = (
    ((4,), (13, 16, 19)),  # Visa
    ((*range(51, 56), *range(2221, 2721)), (16,)),  # Mastercard
    ((34, 37), (15,)),  # American Express
    ((*range(300, 306), 3095, 36, 38, 39), (14, 16, 19)),  # Diners Club
    (range(3528, 3590), (16, 17, 18, 19)),  # JCB
    ((6011, *range(644, 660)), (16, 19)),  # Discover
    ((62,), (16, 17, 18, 19)),  # UnionPay
    (range(2200, 2205), (16,)),  # Mir; the longer ones that it allows begin as today's ids do
    ((60, 81, 82, 508), (16,)),  # RuPay
    ((5018, 5020, 5038, 5612, 5893, 6304, 6759, 6761, 6762, 6763), _LENGTHS),  # Maestro
)
_BEGINNINGS: Final = frozenset(
    (length, str(prefix))
    for prefixes, lengths in _ISSUERS
    for prefix in prefixes
    for length in lengths
)
_WIDTHS: Final = frozenset(len(prefix) for _, prefix in _BEGINNINGS)
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")  # the digits of the double, summed up


def has_card_number(text: str) -> bool:
    """Whether a card number stands in the text, alone or among words."""
    plain = text if text.isascii() else _in_ascii(text)
    if _MANY_DIGITS.search(plain) is None:
        return False
    rest = _ACCOUNT.sub(_after_account, plain)
    for form in (_UUID, _PARCEL, _PHONE):
        rest = form.sub(_NOTHING, rest)
    whole = (_MARKS.sub("", run) for run in _RUN.findall(rest))
    return any(map(_is_card_number, whole)) or any(map(_has_printed, _GROUPS.findall(rest)))


def _in_ascii(text: str) -> str:
    """The same digits, with the same marks between them, whatever script they are from."""
    compatible = unicodedata.normalize("NFKC", text)
    if len(_DIGIT.findall(compatible)) < _LENGTHS.start:
        return ""
    return "".join(map(_ascii_of, compatible))


def _ascii_of(character: str) -> str:
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if character in _DOTS:
        return "."
    if character == "\N{MINUS SIGN}":
        return "-"
    # Dashes and spaces of every length; and what takes no room at all, as between syllables.
    kinds = {"Pd": "-", "Zs": " ", "Cf": ""}
    return kinds.get(unicodedata.category(character), character)


def _after_account(found: re.Match[str]) -> str:
    """What follows the account number that the match begins with; all of it where there is none."""
    text = found[0]
    for end in range(len(text), _ACCOUNT_LENGTHS.start - 1, -1):
        if not text[end : end + 1].isalnum() and _is_account(text[:end].replace(" ", "")):
            return _NOTHING + text[end:]
    return text


def _is_account(text: str) -> bool:
    """The check digits of ISO 13616, which are those of ISO/IEC 7064 (97, 10)."""
    digits = "".join(str(int(character, 36)) for character in text[4:] + text[:4])
    return len(text) in _ACCOUNT_LENGTHS and int(digits) % 97 == 1


def _has_printed(run: str) -> bool:
    if run.isdigit():
        return _is_card_number(run)
    groups, marks = _MARKS.split(run), _MARKS.findall(run)
    sizes = tuple(map(len, groups))
    is_long = sum(sizes) > _FOURS_LIMIT
    for first in range(len(groups)):
        is_inside = is_long and first > 0 and sizes[first - 1 : first + 1] == (4, 4)
        if is_inside or sizes[first] not in _FIRST_SIZES:
            continue
        for end in range(first + 1, min(first + _GROUPS_LIMIT, len(groups)) + 1):
            between = set(marks[first : end - 1])
            is_even = len(between) <= 1 or between <= _MIXED_MARKS
            is_printed = is_even and sizes[first:end] in _PRINTED
            if is_printed and _is_card_number("".join(groups[first:end])):
                return True
    return False


def _is_card_number(digits: str) -> bool:
    is_issued = any((len(digits), digits[:width]) in _BEGINNINGS for width in _WIDTHS)
    return is_issued and _passes_luhn(digits) and not _is_barcode(digits)


def _passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    total = sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0


def _is_barcode(digits: str) -> bool:
    """The check digit of GS1. Cards of 13 digits are no longer issued; goods with such numbers
    are sold everywhere."""
    total = sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))
    return len(digits) == _BARCODE_LENGTH and total % 10 == 0
