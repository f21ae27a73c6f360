"""The criteria ``user`` and ``group``: who sends a packet of this host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from netfw.ir.form import Range
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow


class OwnerKind(Enum):
    """Whose number is asked for."""

    USER = "user"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Owner:
    """The socket that sent the packet belongs to one of these users (groups), or negated to none.

    Numbers are of 32 bits, without the last one. What the kernel sends by itself, such as resets
    and answers to pings, belongs to nobody and meets the negated form alone.
    """

    kind: OwnerKind
    ranges: tuple[Range, ...]
    negate: bool = False

    @property
    def KEY(self) -> str:
        """The word of the language."""
        return self.kind.value

    @property
    def families(self) -> frozenset[Family]:
        """Both."""
        return frozenset(Family)

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        number = flow.user if self.kind is OwnerKind.USER else flow.group
        if number is None:
            return None
        return any(number in span for span in self.ranges) is not self.negate

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, [[span.first, span.last] for span in self.ranges], self.negate]
