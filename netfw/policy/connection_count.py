"""The criterion ``connections``: how many are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.names import Family
from netfw.policy.counted_per import CountedPer

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """With that of the packet, no more than ``most`` connections are open; negated, more are.

    Counted are those of which a packet was asked this by the rule, for each ``per``, which is the
    source or the destination.
    """

    KEY: ClassVar = "connections"
    families: ClassVar = frozenset(Family)
    most: int
    per: CountedPer
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """That depends on the packets before it."""
        return None

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, self.most, [self.per.source, self.per.destination], self.negate]
