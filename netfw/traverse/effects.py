"""What targets besides verdicts and marks do to a packet on its way through the model."""

from __future__ import annotations

from netfw.ir.spelling import SpelledTarget
from netfw.ir.target import (
    Audit,
    ChangeSet,
    Checksum,
    Classify,
    Connsecmark,
    Dscp,
    Ecn,
    HopLimit,
    Idletimer,
    Led,
    Log,
    Nflog,
    NoTarget,
    Secmark,
    Target,
    Tcpmss,
    Tcpoptstrip,
    Tee,
    Tos,
    Trace,
    Ttl,
    UnknownTarget,
)

_UNSEEN = (
    Tcpmss,
    Tcpoptstrip,
    Tos,
    Dscp,
    Ecn,
    Checksum,
    Classify,
    Secmark,
    Connsecmark,
    Audit,
    Idletimer,
    Led,
    Tee,
)
"""They change nothing that the model follows, and the packet goes on behind the rule.

``Tos`` and ``Dscp`` could steer by an ``ip rule`` for types of service, of which ``HostFacts``
has none; ``Tee`` sends a copy, and the packet itself goes on.
"""


def is_inert(target: Target) -> bool:
    """Whether nothing that the model follows is different behind the target."""
    if isinstance(target, ChangeSet):
        # without a map it changes sets alone, which the walk does not trust any more
        return target.map is None
    return isinstance(target, (NoTarget, Log, Nflog, Trace, *_UNSEEN))


def name_of(target: Target) -> str:
    """The target as rules call it: ``-j TPROXY``."""
    if isinstance(target, UnknownTarget):
        return f"-j {target.name}"
    if isinstance(target, SpelledTarget):
        return f"-j {target.MODULE}"
    return f"-j {type(target).__name__.upper()}"


def hops_after(target: Ttl | HopLimit, hops: int) -> int:
    """The time to live or hop limit behind the target, 0 to 255 (ttl_tg in xt_HL.c)."""
    if target.to is not None:
        return target.to
    return min(max(hops + (target.increase or 0) - (target.decrease or 0), 0), 255)
