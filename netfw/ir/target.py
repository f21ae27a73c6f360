"""Targets: what a rule does, one frozen type for each kind.

Whatever netfw does not know is an ``UnknownTarget`` with its text kept verbatim.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.mark import MaskedWord
from netfw.ir.target_field import (
    Checksum,
    Classify,
    Connsecmark,
    Dscp,
    Ecn,
    Hmark,
    HopLimit,
    Secmark,
    Tcpmss,
    Tcpoptstrip,
    Tos,
    Ttl,
)
from netfw.ir.target_side import Audit, ChangeSet, Idletimer, Led, Tee
from netfw.ir.target_way import Dnpt, Netmap, Nfqueue, Snpt, Synproxy, Tproxy

__all__ = [
    "Accept",
    "Audit",
    "ChangeSet",
    "Checksum",
    "Classify",
    "Connsecmark",
    "Ct",
    "Dnat",
    "Dnpt",
    "Drop",
    "Dscp",
    "Ecn",
    "Goto",
    "Hmark",
    "HopLimit",
    "Idletimer",
    "Jump",
    "Led",
    "Log",
    "Masquerade",
    "NatRange",
    "Netmap",
    "Nflog",
    "Nfqueue",
    "NoTarget",
    "Redirect",
    "Reject",
    "RestoreMark",
    "Return",
    "SaveMark",
    "Secmark",
    "SetConnmark",
    "SetMark",
    "Snat",
    "Snpt",
    "Synproxy",
    "Target",
    "Tcpmss",
    "Tcpoptstrip",
    "Tee",
    "Tos",
    "Tproxy",
    "Trace",
    "Ttl",
    "UnknownTarget",
]


@dataclass(frozen=True, slots=True)
class Accept:
    """``-j ACCEPT``: the packet leaves this table's chain accepted."""


@dataclass(frozen=True, slots=True)
class Drop:
    """``-j DROP``: the packet is discarded in silence."""


@dataclass(frozen=True, slots=True)
class Reject:
    """``-j REJECT``: the packet is discarded and an answer sent.

    ``kind`` is iptables' word, such as ``icmp-port-unreachable`` (IPv4 default),
    ``icmp6-port-unreachable`` (IPv6 default) or ``tcp-reset``.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Return:
    """``-j RETURN``: on with the calling chain; in a built-in chain, its chain policy."""


@dataclass(frozen=True, slots=True)
class Jump:
    """``-j CHAIN``: into a user chain, and back behind this rule."""

    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """``-g CHAIN``: into a user chain, and back to where this chain was called from."""

    chain: str


@dataclass(frozen=True, slots=True)
class NoTarget:
    """A rule without ``-j``: it only counts."""


@dataclass(frozen=True, slots=True)
class SetMark:
    """``-j MARK --set-xmark``: ``mark = (mark & ~mask) ^ value``."""

    mark: MaskedWord


@dataclass(frozen=True, slots=True)
class SetConnmark:
    """``-j CONNMARK --set-xmark``: the same for the connection's mark."""

    mark: MaskedWord


@dataclass(frozen=True, slots=True)
class SaveMark:
    """``-j CONNMARK --save-mark``: ``ct = (ct & ~ctmask) ^ (mark & nfmask)``."""

    nfmask: int
    ctmask: int


@dataclass(frozen=True, slots=True)
class RestoreMark:
    """``-j CONNMARK --restore-mark``: ``mark = (mark & ~nfmask) ^ (ct & ctmask)``."""

    nfmask: int
    ctmask: int


@dataclass(frozen=True, slots=True)
class Ct:
    """``-j CT``: ``--notrack``, or further words kept verbatim (zone, helper, events).

    ``alias`` tells ``-j NOTRACK``, which does the same and is saved under its own name.
    """

    notrack: bool = False
    words: tuple[str, ...] = ()
    alias: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """``-j LOG``: a line in the kernel log; level 0 to 7 (4 = warning), prefix up to 29 bytes.

    ``flags`` are the options as words, such as ``--log-uid``, in iptables-save's order.
    """

    prefix: str = ""
    level: int = 4
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nflog:
    """``-j NFLOG``: a copy to a netlink group (0 to 65535).

    ``size`` is the number of bytes copied (None: all), ``threshold`` how many packets
    are queued before they are sent (0 or None: iptables' default of 1).
    """

    group: int = 0
    prefix: str = ""
    size: int | None = None
    threshold: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """``-j TRACE``: from here on the kernel reports every rule that the packet matches."""


@dataclass(frozen=True, slots=True)
class NatRange:
    """Where a NAT target may map to: addresses (first, last) and ports (first, last).

    Addresses are numbers of the ruleset's family; None leaves that part as it is. ``base`` is the
    port that becomes the first of ``ports``, those behind it the ones behind (DNAT only; None:
    ports of a range are not moved). ``flags`` are words such as ``--random``, ``--persistent``, in
    iptables-save's order.
    """

    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    flags: tuple[str, ...] = ()
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Snat:
    """``-j SNAT --to-source``: a new source."""

    to: NatRange


@dataclass(frozen=True, slots=True)
class Dnat:
    """``-j DNAT --to-destination``: a new destination."""

    to: NatRange


@dataclass(frozen=True, slots=True)
class Masquerade:
    """``-j MASQUERADE``: the source becomes the leaving interface's address."""

    to: NatRange = NatRange()


@dataclass(frozen=True, slots=True)
class Redirect:
    """``-j REDIRECT``: the destination becomes this host."""

    to: NatRange = NatRange()


@dataclass(frozen=True, slots=True)
class UnknownTarget:
    """A target that netfw does not know: name and words, verbatim, in order."""

    name: str
    words: tuple[str, ...] = ()


Target = (
    Accept
    | Drop
    | Reject
    | Return
    | Jump
    | Goto
    | NoTarget
    | SetMark
    | SetConnmark
    | SaveMark
    | RestoreMark
    | Ct
    | Log
    | Nflog
    | Trace
    | Snat
    | Dnat
    | Masquerade
    | Redirect
    | Tcpmss
    | Tcpoptstrip
    | Tos
    | Dscp
    | Ecn
    | Ttl
    | HopLimit
    | Checksum
    | Classify
    | Secmark
    | Connsecmark
    | Hmark
    | Audit
    | Idletimer
    | Led
    | Tee
    | ChangeSet
    | Nfqueue
    | Tproxy
    | Netmap
    | Snpt
    | Dnpt
    | Synproxy
    | UnknownTarget
)
