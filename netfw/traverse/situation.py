"""What has to be known of a packet before the documented order says its way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.names import Family
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.traversal import Station


class Path(Enum):
    """The four ways a packet can take through one network namespace."""

    FORWARDED = "forwarded"
    LOCAL_IN = "to this host"
    LOCAL_OUT = "from this host"
    LOOPBACK = "from this host to itself"


class Phase(Enum):
    """What a packet is to its connection."""

    FIRST = "first packet"
    LATER = "later packet before any reply"
    ESTABLISHED = "later packet after a reply"
    REPLY = "reply"
    RELATED = "related ICMP error"
    INVALID = "invalid"
    UNTRACKED = "untracked"
    NO_CONNTRACK = "conntrack off"


@dataclass(frozen=True, slots=True)
class Situation:
    """Path and phase of a packet, and which stations exist where it passes.

    ``loaded`` are the tables and hooks that hold a built-in chain in this namespace.
    ``conntrack`` says whether connection tracking is on for the family, ``security_priority``
    where the security table is registered.
    """

    family: Family
    path: Path
    phase: Phase
    conntrack: bool
    loaded: frozenset[Station]
    security_priority: int = SECURITY_PRIORITY
