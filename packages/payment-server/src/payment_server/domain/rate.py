"""How often is too often: the generic cell rate algorithm, in its form of virtual scheduling.

ITU-T I.371, annex A.1, defines it. Of all calls it keeps one moment, the one at which they are paid
off, so that a bucket is a number.
"""

from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000


class Rate(msgspec.Struct, frozen=True):
    """`interval_ns` pays off one call; a call is let in while at most `tolerance_ns` are owed."""

    per_second: int
    interval_ns: int
    tolerance_ns: int

    @classmethod
    def of(cls, *, per_second: int, burst: int) -> "Rate":
        """So many calls a second in the long run, and at most `burst` at once."""
        interval_ns = SECOND_NS // per_second
        return cls(per_second, interval_ns, (burst - 1) * interval_ns)

    def wait_ns(self, paid_at_ns: int, now_ns: int) -> int:
        """How long until a call is let in; 0 where that is now. All times are of one clock."""
        return max(0, paid_at_ns - now_ns - self.tolerance_ns)

    def charged(self, paid_at_ns: int, now_ns: int, calls: int = 1) -> int:
        """When all is paid off with these calls. One that weighs many is let in as one, and those
        after it wait until it is paid off: so none is too heavy to be let in at all."""
        return max(paid_at_ns, now_ns) + calls * self.interval_ns
