"""The criteria ``starts`` and ``expires``: days between which a rule is in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.clock import DAY, LAST_SECOND, Clock
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow

LAST_DAY = date(2038, 1, 18)
"""The last whole day that a rule can name: iptables takes dates of 31 bits (libxt_time.c), which
end on 2038-01-19."""
FIRST_DAY = date(1970, 1, 2)


@dataclass(frozen=True, slots=True)
class Validity:
    """The packet passes not before the first day and not after the last one, in UTC.

    None: no such limit; not both are.
    """

    KEY: ClassVar = "expires"
    families: ClassVar = frozenset(Family)
    first: date | None
    last: date | None

    @property
    def first_second(self) -> int | None:
        """When the first day begins, in seconds since 1970."""
        return None if self.first is None else _begin(self.first)

    @property
    def last_second(self) -> int:
        """The last second of the last day, or of all time, in seconds since 1970."""
        return LAST_SECOND if self.last is None else _begin(self.last) + DAY - 1

    def is_past(self, today: date) -> bool:
        """Whether the last day is over."""
        return self.last is not None and self.last < today

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return None if flow.clock is None else self.holds_at(flow.clock)

    def holds_at(self, clock: Clock) -> bool:
        """Whether packets that pass at a time meet this."""
        first, last, now = self.first_second, self.last_second, clock.now
        return (first is None or first <= now) and now <= last

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        return [self.KEY, str(self.first or ""), str(self.last or "")]


def _begin(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
