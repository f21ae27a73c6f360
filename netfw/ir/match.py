"""Matches: the conditions of a rule, one frozen type for each kind.

Types stand for what the kernel compares, so that the same object renders, parses and
is evaluated. Where one iptables module (``-m tcp``) holds several conditions, one type
holds them too, because iptables-save keeps them together.
Whatever netfw does not know is an ``UnknownMatch`` with its text kept verbatim.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match_connection import (
    ConnbytesMatch,
    ConnectionState,
    ConnlabelMatch,
    ConnmarkMatch,
    ConntrackMatch,
    HelperMatch,
    StateMatch,
)
from netfw.ir.match_header import (
    AddressMatch,
    FragmentMatch,
    InterfaceMatch,
    ProtocolMatch,
    Side,
    Way,
)
from netfw.ir.match_header_field import (
    AhMatch,
    BpfMatch,
    DscpMatch,
    EcnMatch,
    EspMatch,
    HlMatch,
    IpcompMatch,
    IprangeMatch,
    LengthMatch,
    OsfMatch,
    StringMatch,
    TosMatch,
    TtlMatch,
    U32Match,
)
from netfw.ir.match_host import (
    CgroupMatch,
    CpuMatch,
    DevgroupMatch,
    IpvsMatch,
    MacMatch,
    OwnerMatch,
    PhysdevMatch,
    PkttypeMatch,
    PolicyElement,
    PolicyMatch,
    RealmMatch,
    RpfilterMatch,
    SocketMatch,
)
from netfw.ir.match_ipv6 import (
    DstMatch,
    Eui64Match,
    FragMatch,
    HbhMatch,
    Ipv6headerMatch,
    MhMatch,
    RtMatch,
    SrhMatch,
)
from netfw.ir.match_packet import (
    AddrtypeMatch,
    CommentMatch,
    MarkMatch,
    SetMatch,
)
from netfw.ir.match_rate import (
    ClusterMatch,
    ConnlimitMatch,
    HashlimitMatch,
    LimitMatch,
    NfacctMatch,
    QuotaMatch,
    RecentMatch,
    StatisticMatch,
    TimeMatch,
)
from netfw.ir.match_transport import (
    TCP_FLAG_BITS,
    DccpMatch,
    IcmpMatch,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    SctpMatch,
    TcpFlags,
    TcpMatch,
    TcpmssMatch,
    UdpMatch,
)

__all__ = [
    "TCP_FLAG_BITS",
    "AddressMatch",
    "AddrtypeMatch",
    "AhMatch",
    "BpfMatch",
    "CgroupMatch",
    "ClusterMatch",
    "CommentMatch",
    "ConnbytesMatch",
    "ConnectionState",
    "ConnlabelMatch",
    "ConnlimitMatch",
    "ConnmarkMatch",
    "ConntrackMatch",
    "CpuMatch",
    "DccpMatch",
    "DevgroupMatch",
    "DscpMatch",
    "DstMatch",
    "EcnMatch",
    "EspMatch",
    "Eui64Match",
    "FragMatch",
    "FragmentMatch",
    "HashlimitMatch",
    "HbhMatch",
    "HelperMatch",
    "HlMatch",
    "IcmpMatch",
    "InterfaceMatch",
    "IpcompMatch",
    "IprangeMatch",
    "Ipv6headerMatch",
    "IpvsMatch",
    "LengthMatch",
    "LimitMatch",
    "MacMatch",
    "MarkMatch",
    "Match",
    "MhMatch",
    "MultiportMatch",
    "NfacctMatch",
    "OsfMatch",
    "OwnerMatch",
    "PhysdevMatch",
    "PkttypeMatch",
    "PolicyElement",
    "PolicyMatch",
    "PortRange",
    "PortSide",
    "Ports",
    "ProtocolMatch",
    "QuotaMatch",
    "RealmMatch",
    "RecentMatch",
    "RpfilterMatch",
    "RtMatch",
    "SctpMatch",
    "SetMatch",
    "Side",
    "SocketMatch",
    "SrhMatch",
    "StateMatch",
    "StatisticMatch",
    "StringMatch",
    "TcpFlags",
    "TcpMatch",
    "TcpmssMatch",
    "TimeMatch",
    "TosMatch",
    "TtlMatch",
    "U32Match",
    "UdpMatch",
    "UnknownMatch",
    "Way",
    "header_rank",
]


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
    | HelperMatch
    | ConnbytesMatch
    | ConnlabelMatch
    | IprangeMatch
    | LengthMatch
    | TtlMatch
    | HlMatch
    | TosMatch
    | DscpMatch
    | EcnMatch
    | EspMatch
    | AhMatch
    | IpcompMatch
    | StringMatch
    | U32Match
    | BpfMatch
    | OsfMatch
    | MacMatch
    | PkttypeMatch
    | OwnerMatch
    | SocketMatch
    | CgroupMatch
    | CpuMatch
    | RealmMatch
    | RpfilterMatch
    | DevgroupMatch
    | PhysdevMatch
    | PolicyMatch
    | IpvsMatch
    | FragMatch
    | HbhMatch
    | DstMatch
    | RtMatch
    | SrhMatch
    | MhMatch
    | Eui64Match
    | Ipv6headerMatch
    | HashlimitMatch
    | StatisticMatch
    | RecentMatch
    | ConnlimitMatch
    | QuotaMatch
    | TimeMatch
    | ClusterMatch
    | NfacctMatch
    | SctpMatch
    | DccpMatch
    | TcpmssMatch
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
