"""What packets or connections are counted for: each source, each network, or all together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow

Lengths = tuple[int, int]
"""Prefix lengths for IPv4 and IPv6."""
WHOLE: Lengths = (32, 128)
"""Single addresses."""


@dataclass(frozen=True, slots=True)
class CountedPer:
    """Packets with the same source and destination, up to these prefix lengths, count together.

    None: that end says nothing.
    """

    source: Lengths | None = None
    destination: Lengths | None = None

    def lengths(self, family: Family) -> tuple[int | None, int | None]:
        """The prefix lengths of source and destination in a family."""
        at = 0 if family is Family.IPV4 else 1
        return (
            None if self.source is None else self.source[at],
            None if self.destination is None else self.destination[at],
        )

    def key(self, flow: Flow) -> tuple[int | None, int | None]:
        """What is equal for the packets that count together with one."""
        ends = (flow.source, flow.destination)
        bits = flow.family.bits
        source, destination = (
            None if length is None else address >> (bits - length)
            for address, length in zip(ends, self.lengths(flow.family), strict=True)
        )
        return source, destination
