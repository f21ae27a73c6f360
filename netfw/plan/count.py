"""What the kernel counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.ir.names import Family, TableName


@dataclass(frozen=True, slots=True)
class Count:
    """Packets, and their bytes."""

    packets: int = 0
    octets: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.octets + other.octets)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted by identity: of the rules of each table, and of the members of each set
    (whose rule counts them again, by an identity of its own). Two tables may ask one set."""

    rules: Mapping[tuple[Family, TableName], Mapping[str, Count]] = field(default_factory=dict)
    members: Mapping[str, Mapping[str, Count]] = field(default_factory=dict)
