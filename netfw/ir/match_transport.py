"""Matches on transport headers: ports, flags, types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from netfw.ir.form import UINT8, UINT16, Choices, Chunks, ChunkTypes, Number, Range, Span
from netfw.ir.spelling import Option, SpelledMatch, Wanted

_PORT_OPTIONS = (
    Option("--sport", "source", Span(UINT16), wanted=True),
    Option("--source-port", "source", Span(UINT16), wanted=True, reads_only=True),
    Option("--dport", "destination", Span(UINT16), wanted=True),
    Option("--destination-port", "destination", Span(UINT16), wanted=True, reads_only=True),
)
_DCCP_TYPES = (
    "REQUEST",
    "RESPONSE",
    "DATA",
    "ACK",
    "DATAACK",
    "CLOSEREQ",
    "CLOSE",
    "RESET",
    "SYNC",
    "SYNCACK",
    "INVALID",
)


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


TCP_FLAG_BITS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32}
"""The flags of the TCP header (RFC 9293) that iptables knows, in the order of its output."""


@dataclass(frozen=True, slots=True)
class TcpFlags:
    """``--tcp-flags MASK SET``: of the flags in mask, exactly those in value are set.

    Bits are those of ``TCP_FLAG_BITS``.
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


@dataclass(frozen=True, slots=True)
class SctpMatch(SpelledMatch):
    """``-m sctp``: ports, and which chunks the packet carries."""

    MODULE: ClassVar = "sctp"
    OPTIONS: ClassVar = (
        *_PORT_OPTIONS,
        Option("--chunk-types", "chunks", Chunks(), wanted=True),
    )
    source: Wanted[Range] | None = None
    destination: Wanted[Range] | None = None
    chunks: Wanted[ChunkTypes] | None = None


@dataclass(frozen=True, slots=True)
class DccpMatch(SpelledMatch):
    """``-m dccp``: ports, the packet's type, and an option (1 to 255) that must be there."""

    MODULE: ClassVar = "dccp"
    OPTIONS: ClassVar = (
        *_PORT_OPTIONS,
        Option("--dccp-types", "types", Choices(_DCCP_TYPES), wanted=True),
        Option("--dccp-option", "option", Number(UINT8, least=1), wanted=True),
    )
    source: Wanted[Range] | None = None
    destination: Wanted[Range] | None = None
    types: Wanted[frozenset[str]] | None = None
    option: Wanted[int] | None = None


@dataclass(frozen=True, slots=True)
class TcpmssMatch(SpelledMatch):
    """``-m tcpmss``: the maximum segment size that a TCP packet announces, 16 bits."""

    MODULE: ClassVar = "tcpmss"
    OPTIONS: ClassVar = (Option("--mss", "size", Span(UINT16), negate="negate"),)
    size: Range
    negate: bool = False
