"""Matches on how often packets come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

_LIMIT_SCALE = 10_000
"""Parts of a second in which a limit is kept (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)."""


@dataclass(frozen=True, slots=True)
class LimitMatch:
    """``-m limit``: at most ``rate`` packets per ``unit`` (sec, min, hour, day) after a burst."""

    SECONDS: ClassVar[Mapping[str, int]] = MappingProxyType(
        {"day": 86_400, "hour": 3_600, "min": 60, "sec": 1}
    )
    """The units, longest first."""

    rate: int
    unit: str
    burst: int = 5

    @property
    def as_kept(self) -> LimitMatch:
        """The same limit as the kernel keeps it and iptables-save prints it.

        What is kept is a period in 1/10000 s, and it is printed in the unit that loses least:
        60/min comes back as 1/sec and 3000/sec as 3333/sec (parse_rate and print_rate in
        extensions/libxt_limit.c).
        """
        period = _LIMIT_SCALE * self.SECONDS[self.unit] // self.rate
        unit, ticks = "day", _LIMIT_SCALE * self.SECONDS["day"]
        for shorter, seconds in self.SECONDS.items():
            scaled = _LIMIT_SCALE * seconds
            if period > scaled or scaled // period < scaled % period:
                break
            unit, ticks = shorter, scaled
        return LimitMatch(ticks // period, unit, self.burst)
