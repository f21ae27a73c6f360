"""Packets that routing refuses because of their addresses, between two hooks and without a trace
of its own.

Source: ip_route_input_slow and __fib_validate_source in net/ipv4/route.c and fib_frontend.c,
__mkroute_output in route.c; with route_localnet and accept_local off, which is how they are
unless somebody switches them on.
"""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.traverse.host_facts import LOOPBACK, HostFacts


def refused_on_arrival(
    family: Family, interface: str, source: int, destination: int, facts: HostFacts
) -> str:
    """Why a packet that came in by an interface is dropped where it is routed; empty if not."""
    if family is not Family.IPV4 or interface == LOOPBACK:
        return ""
    if _is_loopback(destination):
        return "a packet to 127.0.0.0/8 may not come in from outside"
    if facts.is_local(family, source):
        return "a packet from outside may not come from an address of this host"
    return ""


def refused_on_departure(family: Family, source: int, interface: str) -> str:
    """Why a packet of this host gets no route by an interface; empty if it does."""
    if family is Family.IPV4 and _is_loopback(source) and interface != LOOPBACK:
        return "a packet from 127.0.0.0/8 may not leave this host"
    return ""


def _is_loopback(address: int) -> bool:
    return address >> 24 == 127
