"""The criterion ``time``: hours of the day and days of the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netfw.ir.clock import DAY, LAST_SECOND, Clock, day_of_week, second_of_day
from netfw.ir.names import Family

if TYPE_CHECKING:
    from netfw.policy.flow import Flow

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The words for the days, in the order of their numbers from 0."""
EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The packet passes on one of these days (0 is Monday) from ``start`` on and before ``end``,
    or negated at another time.

    ``start`` and ``end`` are seconds since midnight, 0 to 86400. Where ``end`` comes before
    ``start``, the hours go on after midnight and belong to the day on which they began.
    ``in_kernel_zone``: by the kernel's time zone, otherwise UTC.
    """

    KEY: ClassVar = "time"
    families: ClassVar = frozenset(Family)
    days: frozenset[int] = EVERY_DAY
    start: int = 0
    end: int = DAY
    in_kernel_zone: bool = False
    negate: bool = False

    @property
    def crosses_midnight(self) -> bool:
        """Whether the hours end on the next day."""
        return self.end < self.start

    def holds(self, flow: Flow) -> bool | None:
        """Whether a packet meets this."""
        return None if flow.clock is None else self.holds_at(flow.clock)

    def holds_at(self, clock: Clock) -> bool | None:
        """Whether packets that pass at a time meet this."""
        seconds = clock.seconds(in_kernel_zone=self.in_kernel_zone)
        if seconds is None:
            return None
        return self._contains(seconds) is not self.negate

    def _contains(self, seconds: int) -> bool:
        if seconds > LAST_SECOND:
            return False
        second = second_of_day(seconds)
        if not self.crosses_midnight:
            return self.start <= second < self.end and day_of_week(seconds) in self.days
        if second >= self.start:
            return day_of_week(seconds) in self.days
        return second < self.end and day_of_week(seconds - DAY) in self.days

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        days = sorted(self.days)
        return [self.KEY, days, self.start, self.end, self.in_kernel_zone, self.negate]
