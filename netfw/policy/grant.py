"""Grants: traffic of this host that is let through before the rules of a policy are asked.

Failsafes are grants, and so is what a host needs to work at all (``defaults``).
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.protocols import ICMP, ICMPV6, UDP
from netfw.policy.conditions import Conditions, conditions_of
from netfw.policy.endpoint import Direction
from netfw.policy.traffic import IcmpKind, Traffic


@dataclass(frozen=True, slots=True)
class Grant:
    """Packets that come in to this host, or that it sends (``direction``), at host endpoints.

    ``before_invalid`` says that they are let through even where they belong to no connection that
    conntrack knows of.
    """

    direction: Direction
    traffic: tuple[Traffic, ...]
    sources: tuple[Net, ...]
    destinations: tuple[Net, ...]
    before_invalid: bool
    origin: Origin
    families: tuple[Family, ...] = tuple(Family)

    @property
    def identity(self) -> str:
        """The stable name that the compiled rules carry in their comments."""
        return self.origin.identity

    def conditions(self, family: Family) -> Conditions | None:
        """What it asks of packets of a family, or None where it is not about that family."""
        if family not in self.families:
            return None
        return conditions_of(family, self.traffic, self.sources, self.destinations)


NEIGHBOUR_DISCOVERY = tuple(
    Traffic(ICMPV6, icmp=IcmpKind(number)) for number in (133, 134, 135, 136, 130, 131, 132, 143)
)
"""ICMPv6 types of neighbour discovery (RFC 4861) and multicast listeners (RFC 2710, 3810)."""
PATH_MTU = (
    Traffic(ICMP, icmp=IcmpKind(3, (4, 4))),
    Traffic(ICMPV6, icmp=IcmpKind(2)),
)
"""What tells a sender that its packets are too large (RFC 1191, RFC 8201)."""


def udp(source: int, destination: int) -> tuple[Traffic, ...]:
    """UDP from one port to another."""
    return (
        Traffic(UDP, PortRange(destination, destination), source_ports=PortRange(source, source)),
    )


DHCP = {
    # RFC 2131 and RFC 8415: clients and servers keep to their ports
    (Direction.INGRESS, Family.IPV4): udp(67, 68),
    (Direction.EGRESS, Family.IPV4): udp(68, 67),
    (Direction.INGRESS, Family.IPV6): udp(547, 546),
    (Direction.EGRESS, Family.IPV6): udp(546, 547),
}
"""What a DHCP client gets and sends."""
