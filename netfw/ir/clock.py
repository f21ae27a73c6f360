"""The time at which a packet passes."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 24 * 60 * 60
"""Seconds."""
LAST_SECOND = (1 << 31) - 1
"""2038-01-19 03:14:07 UTC, the last second that rules of iptables know: no criterion that asks for
the time is met behind it (INT_MAX as date_stop, libxt_time.c)."""
_FIRST_DAY = 3
"""1970-01-01 was a Thursday; days of the week count from Monday, 0."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time in seconds since 1970 (UTC), and the kernel's time zone in minutes west of it.

    The kernel's zone is what the system told it when it started (settimeofday, sys_tz); it knows
    nothing of daylight saving. None where it is not known.
    """

    now: int
    minutes_west: int | None = 0

    def seconds(self, *, in_kernel_zone: bool) -> int | None:
        """Seconds since 1970 by the clock of a zone."""
        if not in_kernel_zone:
            return self.now
        return None if self.minutes_west is None else self.now - 60 * self.minutes_west


def day_of_week(seconds: int) -> int:
    """The day of the week, Monday is 0."""
    return (seconds // DAY + _FIRST_DAY) % 7


def second_of_day(seconds: int) -> int:
    """Seconds since midnight."""
    return seconds % DAY
