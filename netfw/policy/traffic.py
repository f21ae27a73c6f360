"""Kinds of packets that services are made of."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, IGMP, SCTP, TCP, UDP, UDPLITE

PROTOCOLS_WITH_PORTS = frozenset({TCP, UDP, SCTP, DCCP, UDPLITE})
"""Protocols whose ports a service may name (those of xt_multiport.c)."""
TRANSLATED_PROTOCOLS = frozenset({TCP, UDP, SCTP})
"""Protocols whose ports a translation may change."""

_BOTH = frozenset(Family)
_FAMILIES = {
    ICMP: frozenset({Family.IPV4}),
    IGMP: frozenset({Family.IPV4}),
    ICMPV6: frozenset({Family.IPV6}),
}


@dataclass(frozen=True, slots=True)
class IcmpKind:
    """An ICMP or ICMPv6 type (0 to 255) and the codes (first, last) that are meant."""

    type: int
    codes: tuple[int, int] = (0, 255)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Packets of one protocol, or of any (None).

    ``ports`` are destination ports and ``source_ports`` source ports, of the protocols that
    have them; ``icmp`` is a type, for icmp and icmpv6. None means all of them.
    """

    protocol: int | None = None
    ports: PortRange | None = None
    icmp: IcmpKind | None = None
    source_ports: PortRange | None = None

    @property
    def is_whole(self) -> bool:
        """Whether this is every packet of its protocol, or every packet at all."""
        return self.ports is None and self.icmp is None and self.source_ports is None

    @property
    def families(self) -> frozenset[Family]:
        """The families that such packets can belong to."""
        return _BOTH if self.protocol is None else _FAMILIES.get(self.protocol, _BOTH)


ANY = Traffic()
"""Every packet."""
