"""Rates as the limit match keeps them, so that what is saved is what was written."""

from __future__ import annotations

from netfw.ir.match import LimitMatch

_SCALE = 10_000
"""XT_LIMIT_SCALE, linux/netfilter/xt_limit.h: the kernel keeps a period in 1/10000 s."""
_UNITS = (("day", 24 * 60 * 60), ("hour", 60 * 60), ("min", 60), ("sec", 1))


def match_rate(rate: int, unit: str) -> LimitMatch:
    """The limit match that the kernel makes of a rate.

    iptables stores a period and prints it in the largest unit that shows it well
    (print_rate in extensions/libxt_limit.c): 60/min comes back as 1/sec.
    """
    period = _SCALE * dict(_UNITS)[unit] // rate
    best = _UNITS[0]
    for name, seconds in _UNITS[1:]:
        scaled = seconds * _SCALE
        if period > scaled or scaled // period < scaled % period:
            break
        best = (name, seconds)
    return LimitMatch(best[1] * _SCALE // period, best[0])
