"""Numbers at and just outside the edges of what a rule asks for."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, UDP, UDPLITE
from netfw.policy.traffic import Traffic
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.packet import PORT_PROTOCOLS

UNROUTABLE = {
    Family.IPV4: tuple(
        map(Net.parse, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "169.254.0.0/16"))
    ),
    Family.IPV6: tuple(map(Net.parse, ("::/127", "ff00::/8", "fe80::/10", "::ffff:0:0/96"))),
}
"""Addresses that the kernel refuses to take in or send on, whatever the rules say."""
ECHO = {Family.IPV4: 8, Family.IPV6: 128}
"""The type of an echo request."""
ECHO_ANSWER = {8: 0, 128: 129}
"""The type of the answer, by that of the request."""
ICMP_NUMBER = {Family.IPV4: ICMP, Family.IPV6: ICMPV6}
OTHER_PROTOCOLS = {
    Family.IPV4: (2, 47, 50, 51, 89, 99, 103, 112),
    Family.IPV6: (47, 50, 89, 99, 103, 112),
}
"""Protocols without ports that the stage can send: IGMP, GRE, ESP, AH, OSPF, any private one, PIM,
VRRP. In IPv6, AH is an extension header, and a match on it looks behind it."""
ODD_PORT = 65533
"""A port that policies seldom name."""
SENDABLE = PORT_PROTOCOLS - {UDPLITE}
"""Protocols with ports that the stage sends. UDP-Lite that comes in belongs to no connection,
whatever its ports: conntrack computes its checksum as that of UDP (nf_conntrack_proto_udp.c)."""
WITHOUT_PORTS_IN_CONNECTIONS = frozenset({DCCP})
"""Of these, kernels (since 6.16) track packets between two addresses as one connection."""

Kind = tuple[int, int, tuple[int, int], PortRange | None]
"""Protocol, destination port, ICMP type and code, source ports (None: any)."""


def is_routable(family: Family, address: int) -> bool:
    """Whether the kernel takes a packet with this address in and sends it on."""
    return not any(address in bad for bad in UNROUTABLE[family])


def addresses_in(net: Net) -> Iterator[int]:
    """The first, the last and some addresses between of a network, without those at its edges
    that stand for the network itself, and without what cannot be routed."""
    family = net.family
    span = ~net.mask & ((1 << family.bits) - 1)
    if net.prefix_length is None or net.is_single:
        candidates = [net.address]
    elif span == 1:
        candidates = [net.address, net.address | 1]
    else:
        inner = [net.address + 1, net.address | (span - 1)]
        candidates = [*inner, *(net.address + offset for offset in range(2, min(span, 250)))]
    for address in dict.fromkeys(candidates):
        if is_routable(family, address):
            yield address


def address_outside(net: Net) -> int | None:
    """The address right below or above a network, or None if there is none to be sent from."""
    top = (1 << net.family.bits) - 1
    last = net.address | (~net.mask & top)
    for address in (last + 1, net.address - 1):
        inside = 0 < address < top
        if inside and is_routable(net.family, address):
            return address
    return None


def kinds_of(traffic: Traffic, family: Family) -> Iterator[Kind]:
    """Packets of a kind of traffic at its edges, in protocols that the stage can send."""
    protocol = traffic.protocol
    sources = traffic.source_ports
    if protocol is None:
        yield UDP, ODD_PORT, (0, 0), sources
        return
    if protocol == ICMP_NUMBER[family]:
        if traffic.icmp is None:
            yield protocol, 0, (ECHO[family], 0), None
        elif traffic.icmp.type == ECHO[family]:
            yield protocol, 0, (traffic.icmp.type, 0), None
        return
    if protocol not in SENDABLE:
        return
    if traffic.ports is None:
        yield protocol, ODD_PORT, (0, 0), sources
        return
    for port in dict.fromkeys((traffic.ports.first, traffic.ports.last)):
        yield protocol, port, (0, 0), sources


def kinds_outside(traffic: Traffic) -> Iterator[Kind]:
    """Packets just outside a kind of traffic."""
    protocol, ports, sources = traffic.protocol, traffic.ports, traffic.source_ports
    if protocol is None or protocol not in SENDABLE:
        return
    if ports is not None:
        for port in _beside(ports):
            yield protocol, port, (0, 0), sources
    if sources is not None:
        port = ODD_PORT if ports is None else ports.first
        for source in _beside(sources):
            yield protocol, port, (0, 0), PortRange(source, source)


def _beside(ports: PortRange) -> list[int]:
    """The ports right below and above a range."""
    return [port for port in (ports.first - 1, ports.last + 1) if 0 < port < 65536]


def interfaces_for(name: str) -> tuple[str, ...]:
    """The interfaces that a name stands for here: ``veth+`` is ``veth0`` and ``veth1``."""
    if name == LOOPBACK:
        # there always, and no cable leads to it
        return ()
    if not name.endswith("+"):
        return (name,)
    return tuple(f"{name[:-1][:14]}{number}" for number in range(2))
