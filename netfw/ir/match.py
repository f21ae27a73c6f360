"""Matches: the conditions of a rule, one frozen type for each kind.

Types stand for what the kernel compares, so that the same object renders, parses and
is evaluated. Where one iptables module (``-m tcp``) holds several conditions, one type
holds them too, because iptables-save keeps them together.
Whatever netfw does not know is an ``UnknownMatch`` with its text kept verbatim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import ClassVar

from netfw.ir.mark import MaskedWord
from netfw.ir.net import Net

_LIMIT_SCALE = 10_000
"""Parts of a second in which a limit is kept (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)."""


class Side(Enum):
    """Which end of a packet: its source or its destination."""

    SOURCE = "source"
    DESTINATION = "destination"


class Way(Enum):
    """Which interface of a packet: the one it came in by, or the one it leaves by."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class AddressMatch:
    """``-s`` or ``-d``: the address lies in a network."""

    side: Side
    net: Net
    negate: bool = False


@dataclass(frozen=True, slots=True)
class InterfaceMatch:
    """``-i`` or ``-o``: the interface has this name; a trailing ``+`` is a wildcard."""

    way: Way
    name: str
    negate: bool = False

    def covers(self, interface: str) -> bool:
        """Whether a name is meant, before negation.

        A missing interface is the empty name: ``-i eth0`` never matches it, ``-i +`` does
        (ifname_compare_aligned in ip_tables.c compares with an all-zero name).
        """
        if self.name.endswith("+"):
            return interface.startswith(self.name[:-1])
        return interface == self.name


@dataclass(frozen=True, slots=True)
class ProtocolMatch:
    """``-p``: the protocol number (0 to 255); 0 matches all of them."""

    number: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class FragmentMatch:
    """``-f`` (IPv4): second and further fragments; negated: heads and whole packets."""

    negate: bool = False


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from first to last, both included, 0 to 65535."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= 65535 or not 0 <= self.last <= 65535:
            raise ValueError(f"ports {self.first}:{self.last} are outside 0..65535")

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


@dataclass(frozen=True, slots=True)
class Ports:
    """One port or range of a tcp, udp or similar match."""

    ports: PortRange
    negate: bool = False


@dataclass(frozen=True, slots=True)
class TcpFlags:
    """``--tcp-flags MASK SET``: of the flags in mask, exactly those in value are set.

    Bits as in the TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32.
    """

    mask: int
    value: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class TcpMatch:
    """``-m tcp``: ports, flags, and an option kind (1 to 255) that must be there."""

    source: Ports | None = None
    destination: Ports | None = None
    flags: TcpFlags | None = None
    option: int | None = None
    option_negate: bool = False


@dataclass(frozen=True, slots=True)
class UdpMatch:
    """``-m udp``: ports. ``module`` is udp or udplite, which share their form."""

    source: Ports | None = None
    destination: Ports | None = None
    module: str = "udp"


@dataclass(frozen=True, slots=True)
class IcmpMatch:
    """``-m icmp`` or ``-m icmp6``: a type (0 to 255) and a range of codes.

    In IPv4 the type 255 means any type (icmp_type_code_match in net/netfilter/xt_tcpudp.c).
    ``module`` is icmp or icmp6.
    """

    module: str
    type: int
    codes: tuple[int, int] = (0, 255)
    negate: bool = False


class PortSide(Enum):
    """What multiport compares: source ports, destination ports, or either."""

    SOURCE = "sports"
    DESTINATION = "dports"
    EITHER = "ports"


@dataclass(frozen=True, slots=True)
class MultiportMatch:
    """``-m multiport``: up to 15 ports, where a range counts as two."""

    side: PortSide
    ports: tuple[PortRange, ...]
    negate: bool = False


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
class MarkMatch:
    """``-m mark --mark``: the packet's mark."""

    mark: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class ConnmarkMatch:
    """``-m connmark --mark``: the connection's mark; false without a connection (before negation:
    connmark_mt returns false outright where there is none, net/netfilter/xt_connmark.c)."""

    mark: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class SetMatch:
    """``-m set --match-set NAME src,dst``; ``options`` are further words, verbatim."""

    name: str
    directions: tuple[str, ...]
    negate: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddrtypeMatch:
    """``-m addrtype``: kinds of addresses such as LOCAL, BROADCAST, MULTICAST, UNICAST.

    ``limit_interface`` is ``in``, ``out`` or None.
    """

    source: frozenset[str] = frozenset()
    destination: frozenset[str] = frozenset()
    source_negate: bool = False
    destination_negate: bool = False
    limit_interface: str | None = None


@dataclass(frozen=True, slots=True)
class CommentMatch:
    """``-m comment``: always true; up to 255 bytes."""

    text: str


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


@dataclass(frozen=True, slots=True)
class UnknownMatch:
    """A match that netfw does not know: module and words, verbatim, in order.

    ``module`` is None for words outside any ``-m``.
    """

    module: str | None
    words: tuple[str, ...]


Match = (
    AddressMatch
    | InterfaceMatch
    | ProtocolMatch
    | FragmentMatch
    | TcpMatch
    | UdpMatch
    | IcmpMatch
    | MultiportMatch
    | ConntrackMatch
    | StateMatch
    | MarkMatch
    | ConnmarkMatch
    | SetMatch
    | AddrtypeMatch
    | CommentMatch
    | LimitMatch
    | UnknownMatch
)


def header_rank(match: Match) -> int:
    """Where a match stands in iptables' own order: source, destination, interfaces, protocol and
    fragment come first, whatever their order in the rule was, because the kernel keeps them in
    one struct (save_rule4 in iptables/xshared.c); the others follow in the rule's order."""
    match match:
        case AddressMatch(side=Side.SOURCE):
            return 0
        case AddressMatch():
            return 1
        case InterfaceMatch(way=Way.IN):
            return 2
        case InterfaceMatch():
            return 3
        case ProtocolMatch():
            return 4
        case FragmentMatch():
            return 5
        case _:
            return 6
