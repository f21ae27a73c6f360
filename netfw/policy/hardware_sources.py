"""The criterion ``mac``: the hardware address that a frame comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


@dataclass(frozen=True, slots=True)
class HardwareSources:
    """The packet came in an Ethernet frame from one of these addresses, or negated it did not.

    Addresses are numbers of 48 bits. What came by an interface without hardware addresses meets
    the negated form alone.
    """

    KEY: ClassVar = "mac"
    families: ClassVar = frozenset(Family)
    addresses: frozenset[int]
    negate: bool = False

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        if flow.hardware is None:
            return None
        return (flow.hardware in self.addresses) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, sorted(self.addresses), self.negate]
