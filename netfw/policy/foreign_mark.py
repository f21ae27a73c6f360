"""The criterion ``mark``: bits of the packet's mark that others have set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.mark import Mark
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class ForeignMark:
    """The packet's mark under a mask has a value, or negated another one. No bit is netfw's."""

    KEY: ClassVar = "mark"
    families: ClassVar = frozenset(Family)
    mark: Mark
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        if flow.mark is None:
            return None
        return self.mark.matches(flow.mark) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, str(self.mark), self.negate]
