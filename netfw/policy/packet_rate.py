"""The criterion ``rate``: how often packets come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.names import Family
from netfw.policy.counted_per import CountedPer

if TYPE_CHECKING:
    from netfw.policy.flow import Flow

UNITS = {"sec": 1, "min": 60, "hour": 60 * 60, "day": 24 * 60 * 60}
"""Seconds in each."""
LONGEST_WAIT = 24 * 60 * 60
"""Seconds in which a burst must be earned again: more does not fit the kernel's counters
(MAX_CPJ, net/netfilter/xt_limit.c and xt_hashlimit.c; -ERANGE)."""


@dataclass(frozen=True, slots=True)
class PacketRate:
    """``burst`` packets meet this at once, and from then on ``amount`` in a ``unit`` of time
    (sec, min, hour, day); negated, those that come above that rate do.

    Every rule counts for itself, each family apart: packets that were asked this by a rule,
    together or for each ``per``.
    """

    KEY: ClassVar = "rate"
    families: ClassVar = frozenset(Family)
    amount: int
    unit: str
    burst: int
    per: CountedPer
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """That depends on the packets before it."""
        return None

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        per = [self.per.source, self.per.destination]
        return [self.KEY, self.amount, self.unit, self.burst, per, self.negate]
