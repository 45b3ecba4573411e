"""Card numbers are found however they are written; test_honest_numbers has what has to pass."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain.card_numbers import has_card_number

VISA = "4242424242424242"

# Published by card companies and processors for tests; as good as real ones to whoever reads them.
PUBLISHED = (
    *("4242424242424242", "4000056655665556", "4012888888881881", "4222222222222"),
    *("5555555555554444", "2223003122003222", "5200828282828210", "5105105105105100"),
    *("378282246310005", "371449635398431", "378734493671000"),
    *("6011111111111117", "6011000990139424", "6011981111111113"),
    *("3056930009020004", "36227206271667", "30569309025904", "38520000023237"),
    *("3566002020360505", "3530111333300000"),
    *("6200000000000005", "6200000000000047", "6205500000000000004"),
    *("6759649826438453", "6304000000000000"),
    *("2200000000000004", "2201382000000013", "8171999927660000"),
    *("4000000000000002", "4000000000009995", "4000000000009987", "4000000000009979"),
    *("4000000000000069", "4000000000000127", "4000000000000119"),
    *("4000002500003155", "4000002760003184", "4000000000003220"),
    *("4000000000007726", "4000000000005126"),
)

SEPARATORS = {
    "space": " ",
    "two spaces": "  ",
    "dash": "-",
    "spaced dash": " - ",
    "dot": ".",
    "no-break space": "\N{NO-BREAK SPACE}",
    "narrow no-break space": "\N{NARROW NO-BREAK SPACE}",
    "thin space": "\N{THIN SPACE}",
    "figure space": "\N{FIGURE SPACE}",
    "ideographic space": "\N{IDEOGRAPHIC SPACE}",
    "hyphen": "\N{HYPHEN}",
    "non-breaking hyphen": "\N{NON-BREAKING HYPHEN}",
    "figure dash": "\N{FIGURE DASH}",
    "en dash": "\N{EN DASH}",
    "em dash": "\N{EM DASH}",
    "minus": "\N{MINUS SIGN}",
    "middle dot": "\N{MIDDLE DOT}",
    "zero width space": "\N{ZERO WIDTH SPACE}",
    "soft hyphen": "\N{SOFT HYPHEN}",
    "word joiner": "\N{WORD JOINER}",
}


def in_groups(digits: str, sizes: Sequence[int], separator: str) -> str:
    groups = []
    for size in sizes:
        groups.append(digits[:size])
        digits = digits[size:]
    return separator.join(group for group in (*groups, digits) if group)


def number_of(prefix: str, length: int) -> str:
    """A number that begins so, with the check digit that it needs."""
    body = prefix.ljust(length - 1, "7")
    doubled = [int(digit) * 2 for digit in body[::-2]]
    total = sum(map(int, body[-2::-2])) + sum(sum(map(int, str(each))) for each in doubled)
    return body + str(-total % 10)


@pytest.mark.parametrize("number", PUBLISHED)
def test_a_published_number_is_found(number: str) -> None:
    assert has_card_number(number)


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
@pytest.mark.parametrize("number", PUBLISHED)
def test_a_number_in_fours_is_found(number: str, separator: str) -> None:
    assert has_card_number(in_groups(number, (4, 4, 4, 4), separator))


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
@pytest.mark.parametrize(
    ("number", "sizes"),
    [
        ("378282246310005", (4, 6, 5)),
        ("36227206271667", (4, 6, 4)),
        ("4222222222222", (4, 3, 3, 3)),
        ("4222222222222", (4, 4, 5)),
    ],
)
def test_a_number_in_the_groups_of_its_brand_is_found(
    number: str, sizes: Sequence[int], separator: str
) -> None:
    assert has_card_number(in_groups(number, sizes, separator))


@given(
    number=st.sampled_from(PUBLISHED),
    marks=st.lists(st.sampled_from(("", " ", "-")), min_size=19, max_size=19),
)
def test_alone_a_number_is_found_with_spaces_and_dashes_anywhere(
    number: str, marks: list[str]
) -> None:
    assert has_card_number("".join(map("".join, zip(number, marks, strict=False))).rstrip(" -"))


@pytest.mark.parametrize(
    "text",
    [
        f"card {VISA}",
        f"{VISA}.",
        f"({VISA})",
        f"pan={VISA};",
        f"{VISA}, 12/26",
        f"{VISA} 12/26",
        f"{VISA} 1226 123",
        "4242 4242 4242 4242 12/26 123",
        "4242 4242 4242 4242 1226 123",
        "12/26 4242 4242 4242 4242",
        "2026 4242 4242 4242 4242",
        "4242-4242 4242-4242 12/26",
        "4242.4242.4242.4242.",
        "4242.4242.4242.4242 12/26",
        "DE05 5105 1051 0510 5100 00",  # an account's check digits would be 04
        "DE40 4242 4242 4242 4242",  # nor do they fit, but for a part of a group
        "3782 822463 10005 1226",
        f"1 {VISA}",
        "2 x 4242-4242-4242-4242",
        f"tok_{VISA}",
        f"card-{VISA}",
        "visa-4242-4242-4242-4242",
        f"{VISA} and 5555555555554444",
        f"+1 415 555 0100 {VISA}",
        f"+{VISA}",
        f"DE89370400440532013000 {VISA}",
        f"DE89 3704 0044 0532 0130 00 {VISA}",
        f"2a7c4b1e-3058-4094-a790-e76771a19b1b {VISA}",
        f"Müller {VISA}",
        f"Müller\N{ZERO WIDTH SPACE}: {VISA}",
    ],
    ids=ascii,
)
def test_a_number_among_words_is_found(text: str) -> None:
    assert has_card_number(text)


@pytest.mark.parametrize(
    "zero", [0xFF10, 0x0660, 0x0966, 0x1D7D8], ids=["full", "arabic", "hindi", "double"]
)
def test_a_number_in_digits_of_another_script_is_found(zero: int) -> None:
    assert has_card_number("".join(chr(zero + int(digit)) for digit in VISA))


@pytest.mark.parametrize(
    ("prefix", "lengths"),
    [
        *((prefix, (13, 16, 19)) for prefix in ("4", "49")),
        *((prefix, (16,)) for prefix in ("51", "55", "2221", "2720")),
        *((prefix, (15,)) for prefix in ("34", "37")),
        *((prefix, (14, 16, 19)) for prefix in ("300", "305", "3095", "36", "38", "39")),
        *((prefix, (16, 17, 18, 19)) for prefix in ("3528", "3589", "62")),
        *((prefix, (16, 19)) for prefix in ("6011", "644", "65")),
        *((prefix, (16,)) for prefix in ("2200", "2204", "60", "6012", "81", "82", "508")),
        *((prefix, range(13, 20)) for prefix in ("5018", "5020", "5038", "5612", "5893")),
        *((prefix, range(13, 20)) for prefix in ("6304", "6759", "6761", "6763")),
    ],
)
def test_an_issuer_has_numbers_of_certain_lengths(prefix: str, lengths: Sequence[int]) -> None:
    found = [length for length in range(12, 21) if has_card_number(number_of(prefix, length))]
    assert found == list(lengths)


@pytest.mark.parametrize(
    "prefix",
    [
        *("0", "1", "2199", "2205", "2220", "2721", "306", "33", "351", "3527", "3590"),
        *("5017", "507", "509", "61", "6305", "643", "660", "6764", "7", "80", "83", "9"),
    ],
)
def test_digits_that_no_issuer_begins_with_are_none(prefix: str) -> None:
    assert not [length for length in range(12, 21) if has_card_number(number_of(prefix, length))]


@given(body=st.text("0123456789", min_size=14, max_size=14))
def test_one_check_digit_of_ten_makes_a_card_number(body: str) -> None:
    """So one in ten of random numbers that are as long and begin like a card's is refused: by
    the contract's rule, for nothing tells the two apart."""
    assert sum(has_card_number(f"4{body}{digit}") for digit in "0123456789") == 1


@pytest.mark.parametrize(
    "text",
    [
        VISA[:-1] + "3",  # the check digit is wrong
        "424242424242",  # 12 digits
        "42424242424242426",  # 17 digits: no Visa is so long
        f"{VISA}4242",  # 20 digits
        f"{VISA}{VISA}",
        "1234567812345670",  # passes Luhn, but nobody issues 1234
        "9999999999999995",
        "0000000000000000",
        f"a{VISA}",
        f"{VISA}a",
        f"order{VISA}x",
        "ORD-2026-11-23-000042",
        "ORD-42-42-42-42-42-42-42-42",  # hangs on letters, and is grouped as no card is
        "2026-11-23 08:15:00 +0000",
        "2026-11-30-08-15-00-123454",  # from the 30th on a card number, but for its groups
        "+49 89 12345678",
        "+4915112345678",  # a card number but for its sign
        "1700000000000",  # a time in milliseconds
        "1700000000000000000",  # and in nanoseconds
        "48.13715412345672",  # a latitude
        "41.99 12.00 13.50 10.01",
        "978-3-16-148410-0",  # a book
        "4006381333931",  # a pencil
        "4012345677935",  # goods whose number passes Luhn, too
        "DE89370400440532013000",  # an account
        "DE89 3704 0044 0532 0130 00",
        "DE04 5105 1051 0510 5100 00 EUR",  # with a published card number inside
        "GB82WEST12345698765432",
        "9400 4242 4242 4242 4242 42",  # a parcel
        "4242 4242.4242 4242",  # no card has such marks
        "23104023-3058-4094-a790-e76771a19b1b",  # an id with sixteen digits that pass Luhn
    ],
)
def test_innocent_digits_pass(text: str) -> None:
    assert not has_card_number(text)
