"""The arithmetic of rate limits."""

from hypothesis import given
from hypothesis import strategies as st

from payment_server.domain.rate import SECOND_NS, Rate

RATE = Rate.of(per_second=10, burst=3)
NOW = 1_000 * SECOND_NS


def let_in(rate: Rate, times_ns: list[int]) -> list[int]:
    """The moments at which a call was let in."""
    paid_at_ns, found = 0, []
    for now_ns in times_ns:
        if not rate.wait_ns(paid_at_ns, now_ns):
            paid_at_ns = rate.charged(paid_at_ns, now_ns)
            found.append(now_ns)
    return found


def test_a_burst_is_let_in_and_no_call_more() -> None:
    assert len(let_in(RATE, [NOW] * 9)) == 3


def test_after_a_burst_calls_are_let_in_at_the_rate() -> None:
    times = [NOW + step * SECOND_NS // 100 for step in range(201)]  # two seconds
    assert len(let_in(RATE, times)) == 3 + 20


def test_a_pause_is_not_saved_beyond_a_burst() -> None:
    later = [NOW + 3600 * SECOND_NS] * 9
    assert len(let_in(RATE, [NOW, *later])) == 1 + 3


def test_who_waits_as_long_as_told_is_let_in() -> None:
    paid_at_ns = NOW + 3 * RATE.interval_ns
    wait_ns = RATE.wait_ns(paid_at_ns, NOW)
    assert wait_ns == RATE.interval_ns
    assert RATE.wait_ns(paid_at_ns, NOW + wait_ns - 1) == 1
    assert RATE.wait_ns(paid_at_ns, NOW + wait_ns) == 0


def test_a_heavy_call_is_let_in_as_one_and_paid_off_by_those_after_it() -> None:
    assert RATE.wait_ns(0, NOW) == 0
    paid_at_ns = RATE.charged(0, NOW, calls=1_000)
    assert RATE.wait_ns(paid_at_ns, NOW) == (1_000 - 2) * RATE.interval_ns


@given(
    per_second=st.integers(1, 100_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.integers(0, SECOND_NS), max_size=200),
    window=st.integers(0, 5 * SECOND_NS),
)
def test_no_window_has_more_than_the_rate_and_a_burst(
    per_second: int, burst: int, pauses: list[int], window: int
) -> None:
    rate, now, times = Rate.of(per_second=per_second, burst=burst), NOW, []
    for pause in pauses:
        now += pause // per_second
        times.append(now)
    found = let_in(rate, times)
    for first in found:
        inside = sum(first <= each <= first + window for each in found)
        assert inside <= burst + window // rate.interval_ns
