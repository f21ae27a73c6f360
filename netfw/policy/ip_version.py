"""The criterion ``ip``: packets of one family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class IpVersion:
    """The packet is of this family."""

    KEY: ClassVar = "ip"
    family: Family

    @property
    def families(self) -> frozenset[Family]:
        """The one."""
        return frozenset({self.family})

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return flow.family is self.family

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, self.family.value]
