"""Matches on what connection tracking knows of a packet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.mark import MaskedWord


class ConnectionState(Enum):
    """``--ctstate`` values; SNAT and DNAT are virtual states."""

    INVALID = "INVALID"
    NEW = "NEW"
    RELATED = "RELATED"
    ESTABLISHED = "ESTABLISHED"
    UNTRACKED = "UNTRACKED"
    SNAT = "SNAT"
    DNAT = "DNAT"


@dataclass(frozen=True, slots=True)
class ConntrackMatch:
    """``-m conntrack`` with a list of states, and perhaps a direction or status list.

    ``direction`` is ORIGINAL or REPLY; ``status`` holds NONE, EXPECTED, SEEN_REPLY,
    ASSURED or CONFIRMED.
    """

    states: frozenset[ConnectionState] = frozenset()
    negate: bool = False
    direction: str | None = None
    status: frozenset[str] = frozenset()
    status_negate: bool = False


@dataclass(frozen=True, slots=True)
class StateMatch:
    """``-m state``: the older spelling of conntrack states (never SNAT or DNAT)."""

    states: frozenset[ConnectionState]
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ConnmarkMatch:
    """``-m connmark --mark``: the connection's mark; false without a connection (before negation:
    connmark_mt returns false outright where there is none, net/netfilter/xt_connmark.c)."""

    mark: MaskedWord
    negate: bool = False
