"""Addresses by which routing decides without looking at a route: what it refuses, between two
hooks and without a trace of its own, and what is for all hosts of a link.

Source: ip6_rcv_core in net/ipv6/ip6_input.c; ip_route_input_slow and __fib_validate_source in
net/ipv4/route.c and fib_frontend.c, __mkroute_output in route.c; rt6_need_strict in
net/ipv6/route.c; with route_localnet and accept_local off, which is how they are unless
somebody switches them on.
"""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.traverse.host_facts import LOOPBACK, HostFacts

_EVERYONE = 0xFFFFFFFF
_SMALLEST_LINK = 31
"""A link with this prefix length or a longer one has no broadcast address (RFC 3021)."""


def refused_on_receipt(family: Family, interface: str, source: int, destination: int) -> str:
    """Why a packet is dropped before PREROUTING; empty if not. IPv4 has no such addresses."""
    if family is Family.IPV4:
        return ""
    if is_multicast(family, source):
        return "a packet may not come from a group"
    if is_multicast(family, destination) and _scope(destination) == 0:
        return "a group of scope 0 is for nobody"
    if interface == LOOPBACK:
        return ""
    if 1 in (source, destination):
        return "a packet from or to ::1 may not come in from outside"
    if is_multicast(family, destination) and _scope(destination) == 1:
        return "a group within an interface is not reached from outside"
    return ""


def refused_on_arrival(
    family: Family, interface: str, source: int, destination: int, facts: HostFacts
) -> str:
    """Why a packet that came in by an interface is dropped where it is routed; empty if not."""
    if interface == LOOPBACK:
        return ""
    if family is Family.IPV6:
        # the route to ::1 is that of lo alone
        return "a packet to ::1 may not come in from outside" if destination == 1 else ""
    if _is_loopback(destination) or destination == 0:
        return "a packet to 127.0.0.0/8 or 0.0.0.0 may not come in from outside"
    if _is_loopback(source) or source in (0, _EVERYONE) or is_multicast(family, source):
        return "a packet may not come from such an address"
    if facts.is_local(family, source):
        return "a packet from outside may not come from an address of this host"
    return ""


def refused_on_departure(family: Family, source: int, interface: str) -> str:
    """Why a packet of this host gets no route by an interface; empty if it does."""
    if family is Family.IPV4 and _is_loopback(source) and interface != LOOPBACK:
        return "a packet from 127.0.0.0/8 may not leave this host"
    return ""


def is_multicast(family: Family, address: int) -> bool:
    """Whether an address stands for a group."""
    return address >> 28 == 14 if family is Family.IPV4 else address >> 120 == 255


def broadcasts(facts: HostFacts) -> frozenset[int]:
    """The IPv4 addresses of all hosts on a link of ours."""
    return frozenset(
        {
            _EVERYONE,
            *(
                mine.net.address | ~mine.net.mask & _EVERYONE
                for addresses in facts.addresses.values()
                for mine in addresses
                if mine.family is Family.IPV4 and mine.prefix_length < _SMALLEST_LINK
            ),
        }
    )


def _scope(group: int) -> int:
    """The scope of an IPv6 group (RFC 4291, 2.7)."""
    return group >> 112 & 0xF


def _is_loopback(address: int) -> bool:
    return address >> 24 == 127
