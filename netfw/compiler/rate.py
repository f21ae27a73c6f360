"""Rates as the limit match keeps them, so that what is saved is what was written."""

from __future__ import annotations

import base64
import hashlib

from netfw.ir.form import Rate
from netfw.ir.match import LimitMatch

_SCALE = 10_000
"""XT_LIMIT_SCALE, linux/netfilter/xt_limit.h: the kernel keeps a period in 1/10000 s."""
_UNITS = (("day", 24 * 60 * 60), ("hour", 60 * 60), ("min", 60), ("sec", 1))


def match_rate(rate: int, unit: str) -> LimitMatch:
    """The limit match that the kernel makes of a rate.

    iptables stores a period and prints it in the largest unit that shows it well
    (print_rate in extensions/libxt_limit.c): 60/min comes back as 1/sec.
    """
    return LimitMatch(*_as_printed(rate, unit, _SCALE))


_FINE_SCALE = 1_000_000
"""XT_HASHLIMIT_SCALE_v2, linux/netfilter/xt_hashlimit.h."""
_NAME_DIGITS = 9


def kept_rate(amount: int, unit: str) -> Rate:
    """The rate that hashlimit makes of one, which it keeps as a period in microseconds
    (print_rate in extensions/libxt_hashlimit.c)."""
    return Rate(*_as_printed(amount, unit, _FINE_SCALE))


def _as_printed(amount: int, unit: str, scale: int) -> tuple[int, str]:
    """A rate that was kept as a period, ``scale`` of which are a second, as iptables prints it:
    in the largest unit that shows it well."""
    period = scale * dict(_UNITS)[unit] // amount
    best = _UNITS[0]
    for name, seconds in _UNITS[1:]:
        scaled = seconds * scale
        if period > scaled or scaled // period < scaled % period:
            break
        best = (name, seconds)
    return best[1] * scale // period, best[0]


def limiter_name(identity: str) -> str:
    """The name of a rule's table of hashlimit: at most 15 bytes, which every kernel takes
    (IFNAMSIZ in xt_hashlimit.h, revision 1). Rules with one name share the table: wherever the
    rule stands, it counts once."""
    digest = base64.b32encode(hashlib.sha256(identity.encode()).digest()).decode().lower()
    return f"netfw-{digest[:_NAME_DIGITS]}"
