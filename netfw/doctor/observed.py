"""What was seen on a host besides iptables rules, as plain records."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.doctor.mark_use import MarkEffect, MarkTest
from netfw.facts.marked_sets import MarkedSet
from netfw.facts.nft_tables import NftChain, NftRule, NftTable
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.traverse.routing_tables import TableRule

__all__ = [
    "BpfProgram",
    "ConnectionMarks",
    "Link",
    "MarkedSet",
    "Networkd",
    "NftChain",
    "NftRule",
    "NftTable",
    "NotRead",
    "QueueReader",
    "RoutingRule",
    "Socket",
    "TrafficControl",
    "TransformMark",
]


@dataclass(frozen=True, slots=True)
class RoutingRule:
    """A routing rule. ``protocol`` says who made it (RTPROT_*: 0 nobody said, 2 the kernel, 3 at
    boot, 4 an administrator); ``text`` is what ``ip rule`` prints."""

    rule: TableRule
    protocol: int
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. ``kind`` is rtnetlink's (``bridge``, ``vxlan``, ``veth``; empty: hardware);
    ``addresses`` are its own, with their prefix, such as ``192.0.2.1/24``; ``mark`` is what a
    tunnel or WireGuard gives its outer packets (0: none)."""

    name: str
    index: int
    kind: str = ""
    master: str = ""
    is_up: bool = True
    addresses: tuple[str, ...] = ()
    mark: int = 0
    collisions: int = 0
    filters_bridged: bool = False
    """Whether this bridge gives its frames to iptables by itself (nf_call_iptables)."""


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket: ``protocol`` tcp, udp, raw or unix's none; ``state`` as ss has it (LISTEN, ESTAB,
    UNCONN); addresses such as ``192.0.2.1:443``; ``owner`` the program (``ping[4711]``), where it
    may be seen; ``may_mark`` whether that program may give sockets a mark (None: not seen)."""

    protocol: str
    family: Family
    local: str
    remote: str
    state: str
    mark: int
    interface: str = ""
    owner: str = ""
    may_mark: bool | None = None


@dataclass(frozen=True, slots=True)
class TransformMark:
    """A mark of IPsec: ``kind`` is policy or state, ``text`` what it is about, ``mark`` what it
    asks for, ``sets`` what a state writes into packets."""

    kind: str
    text: str
    mark: MaskedWord | None = None
    sets: MaskedWord | None = None


@dataclass(frozen=True, slots=True)
class ConnectionMarks:
    """Connections with the same mark: how many, and one of them in words."""

    family: Family
    mark: int
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class QueueReader:
    """The program that reads a queue of NFQUEUE. ``owner`` is empty where it is not known."""

    queue: int
    port: int
    owner: str = ""


@dataclass(frozen=True, slots=True)
class TrafficControl:
    """A filter, an action or a qdisc of tc that touches marks: ``side`` is ingress or egress."""

    device: str
    side: str
    kind: str
    text: str
    tests: tuple[MarkTest, ...] = ()
    effects: tuple[MarkEffect, ...] = ()


@dataclass(frozen=True, slots=True)
class BpfProgram:
    """A program of eBPF that sees packets or sockets; what it does with marks is not known.

    ``where`` is ``tc eth0 ingress``, ``cgroup /system.slice``, …
    """

    where: str
    name: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Networkd:
    """systemd-networkd: whether it runs here, or only starts with the host; whether it takes away
    routing rules that it did not make, by these files (none: by default)."""

    is_running: bool
    manages_foreign_rules: bool
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotRead:
    """Something that could not be read: ``what``, and ``why`` (a feature or permission lacks)."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"
