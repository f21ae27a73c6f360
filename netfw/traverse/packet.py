"""A packet as rules see it: header fields as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE

PORT_PROTOCOLS = frozenset({TCP, UDP, SCTP, UDPLITE, DCCP})
"""Protocols whose header starts with source and destination port (IANA protocol numbers)."""

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
"""TCP flags by their bit in the header (RFC 9293)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """Header fields and the interface by which the packet comes in.

    Addresses are numbers of the family's length, ports 0 to 65535 (0 where the protocol has none),
    ``ttl`` (IPv6: hop limit) 0 to 255, ``mark`` and ``tcp_acknowledgement`` 32 bits.
    ``in_interface`` is empty for a packet that this host makes itself. For ICMP, ``icmp_id`` is
    the echo identifier, and ``quoted`` the packet that an ICMP error speaks of.
    """

    family: Family
    source: int
    destination: int
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    tcp_flags: int = 0
    tcp_acknowledgement: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0
    quoted: Packet | None = None
    in_interface: str = ""
    mark: int = 0
    ttl: int = 64
    fragment: bool = False
    """Whether this is a second or further fragment: it has no ports."""
    hardware: int | None = None
    """The Ethernet address that it came from, 48 bits; -1 for none, None where it is not known."""
    user: int | None = None
    group: int | None = None
    """Whose socket sends it; -1 for nobody's, None where that is not known."""

    @property
    def is_local(self) -> bool:
        """Whether this host makes the packet."""
        return not self.in_interface

    @property
    def is_icmp(self) -> bool:
        """Whether the protocol is the family's ICMP."""
        return self.protocol == (ICMP if self.family is Family.IPV4 else ICMPV6)

    def __str__(self) -> str:
        return describe(
            self.family,
            self.protocol,
            (self.source, self.source_port),
            (self.destination, self.destination_port),
            f"type {self.icmp_type}" if self.is_icmp else "",
        )


def describe(
    family: Family, protocol: int, source: tuple[int, int], destination: tuple[int, int], icmp: str
) -> str:
    """A packet in one line: ``tcp 192.0.2.7:40000 -> 203.0.113.1:443``."""
    name = PROTOCOL_NAMES.get(protocol, f"protocol {protocol}")

    def end(address: int, port: int) -> str:
        text = format_address(family, address)
        if protocol not in PORT_PROTOCOLS:
            return text
        return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"

    what = f"{name} {icmp}".rstrip()
    return f"{what} {end(*source)} -> {end(*destination)}"


PROTOCOL_NAMES = {
    ICMP: "icmp",
    TCP: "tcp",
    UDP: "udp",
    ICMPV6: "icmpv6",
    SCTP: "sctp",
    UDPLITE: "udplite",
    DCCP: "dccp",
    47: "gre",
    50: "esp",
    51: "ah",
}
