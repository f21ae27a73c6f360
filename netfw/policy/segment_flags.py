"""The criterion ``tcp-flags``: which flags a TCP segment has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class SegmentFlags:
    """Of the flags in ``mask`` exactly those in ``value`` are set, or negated they are not.

    Both are bits of the TCP header (``TCP_FLAG_BITS``). Only TCP is asked: the services beside it
    are of TCP.
    """

    KEY: ClassVar = "tcp-flags"
    families: ClassVar = frozenset(Family)
    mask: int
    value: int
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        if flow.tcp_flags is None:
            return None
        return self.has(flow.tcp_flags)

    def has(self, flags: int) -> bool:
        """Whether a segment with these flags meets this."""
        return (flags & self.mask == self.value) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, self.mask, self.value, self.negate]
