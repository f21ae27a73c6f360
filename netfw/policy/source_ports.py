"""The criterion ``source-ports``: the ports that packets come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.match import PortRange
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class SourcePorts:
    """The source port lies in one of these ranges, or negated in none of them.

    Ranges are sorted and do not overlap. Only what has ports is asked: the services beside it
    are of protocols with ports.
    """

    KEY: ClassVar = "source-ports"
    families: ClassVar = frozenset(Family)
    ranges: tuple[PortRange, ...]
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return any(flow.source_port in span for span in self.ranges) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, [[span.first, span.last] for span in self.ranges], self.negate]
