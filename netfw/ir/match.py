"""Matches: the conditions of a rule, one frozen type for each kind.

Types stand for what the kernel compares, so that the same object renders, parses and
is evaluated. Where one iptables module (``-m tcp``) holds several conditions, one type
holds them too, because iptables-save keeps them together.
Whatever netfw does not know is an ``UnknownMatch`` with its text kept verbatim.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match_connection import (
    ConnectionState,
    ConnmarkMatch,
    ConntrackMatch,
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
from netfw.ir.match_packet import (
    AddrtypeMatch,
    CommentMatch,
    MarkMatch,
    SetMatch,
)
from netfw.ir.match_rate import (
    LimitMatch,
)
from netfw.ir.match_transport import (
    IcmpMatch,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    TcpFlags,
    TcpMatch,
    UdpMatch,
)

__all__ = [
    "AddressMatch",
    "AddrtypeMatch",
    "CommentMatch",
    "ConnectionState",
    "ConnmarkMatch",
    "ConntrackMatch",
    "FragmentMatch",
    "IcmpMatch",
    "InterfaceMatch",
    "LimitMatch",
    "MarkMatch",
    "Match",
    "MultiportMatch",
    "PortRange",
    "PortSide",
    "Ports",
    "ProtocolMatch",
    "SetMatch",
    "Side",
    "StateMatch",
    "TcpFlags",
    "TcpMatch",
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
