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

    ``numbers`` are written as such, ``accounts`` are names with the numbers that they have on the
    host. Numbers are of 32 bits, without the last one. What the kernel sends by itself, such as
    resets and answers to pings, belongs to nobody and meets the negated form alone.
    """

    kind: OwnerKind
    numbers: tuple[Range, ...]
    negate: bool = False
    accounts: tuple[tuple[str, int], ...] = ()

    @property
    def KEY(self) -> str:
        """The word of the language."""
        return self.kind.value

    @property
    def ranges(self) -> tuple[Range, ...]:
        """All numbers that are meant, in order."""
        named = (Range(number, number) for _, number in self.accounts)
        found = dict.fromkeys((*self.numbers, *named))
        return tuple(sorted(found, key=lambda span: (span.first, span.last)))

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
        """All of it as plain data, which does not depend on the host."""
        numbers = [[span.first, span.last] for span in self.numbers]
        return [self.KEY, [*numbers, *(name for name, _ in self.accounts)], self.negate]
