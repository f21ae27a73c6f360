"""Matches as predicates: True, False, or None for what netfw cannot know."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import assert_never

from netfw.ir.match import (
    AddressMatch,
    AddrtypeMatch,
    CommentMatch,
    ConnlimitMatch,
    ConnmarkMatch,
    ConntrackMatch,
    DccpMatch,
    FragmentMatch,
    HashlimitMatch,
    HlMatch,
    IcmpMatch,
    InterfaceMatch,
    IprangeMatch,
    LimitMatch,
    MacMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    OwnerMatch,
    Ports,
    PortSide,
    ProtocolMatch,
    SctpMatch,
    SetMatch,
    Side,
    StateMatch,
    TcpMatch,
    TimeMatch,
    TtlMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.names import Family
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE
from netfw.ir.spelling import SpelledMatch
from netfw.traverse.evaluate_connection import conntrack_holds, state_of
from netfw.traverse.evaluate_counted import connlimit_predicate, hashlimit_predicate
from netfw.traverse.evaluate_hidden import mac_predicate, owner_predicate, time_predicate
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import PORT_PROTOCOLS
from netfw.traverse.skb import Skb

Predicate = Callable[[Skb], bool | None]


def predicate_of(
    match: Match, facts: HostFacts, changed_sets: Set[str] = frozenset()
) -> Predicate:
    """The function that says whether a packet meets a match.

    ``changed_sets`` are the sets that are no longer what the facts say; it may grow later.
    """
    match match:
        case AddressMatch():
            return _address(match)
        case InterfaceMatch():
            return _interface(match)
        case ProtocolMatch(number, negate):
            if number == 0:
                return lambda skb: not negate
            return lambda skb: (skb.protocol == number) is not negate
        case FragmentMatch(negate):
            return lambda skb: skb.packet.fragment is not negate
        case TcpMatch():
            return _tcp(match)
        case UdpMatch():
            return _udp(match)
        case IcmpMatch():
            return _icmp(match)
        case MultiportMatch():
            return _multiport(match)
        case ConntrackMatch():
            return lambda skb: conntrack_holds(match, skb)
        case StateMatch(states, negate):
            return lambda skb: (state_of(skb) in states) is not negate
        case MarkMatch(mark, negate):
            value, mask = mark.value, mark.mask
            return lambda skb: (skb.mark & mask == value) is not negate
        case ConnmarkMatch(mark, negate):
            value, mask = mark.value, mark.mask
            return lambda skb: (
                skb.connection is not None and (skb.connection.mark & mask == value) is not negate
            )
        case SetMatch():
            return _set(match, facts, changed_sets)
        case AddrtypeMatch():
            return _addrtype(match, facts)
        case CommentMatch():
            return lambda skb: True
        case IprangeMatch():
            return _iprange(match)
        case SctpMatch() | DccpMatch():
            return _wanted_ports(match)
        case TtlMatch() | HlMatch():
            return _hops(match)
        case MacMatch():
            return mac_predicate(match)
        case OwnerMatch():
            return owner_predicate(match)
        case TimeMatch():
            return time_predicate(match, facts.clock)
        case HashlimitMatch() if facts.counts_nothing_yet:
            return hashlimit_predicate(match)
        case ConnlimitMatch() if facts.counts_nothing_yet:
            return connlimit_predicate(match)
        case LimitMatch() | SpelledMatch() | UnknownMatch():
            return lambda skb: None
        case _:
            assert_never(match)


def _address(match: AddressMatch) -> Predicate:
    address, mask, negate = match.net.address, match.net.mask, match.negate
    if match.side is Side.SOURCE:
        return lambda skb: (skb.source & mask == address) is not negate
    return lambda skb: (skb.destination & mask == address) is not negate


def _interface(match: InterfaceMatch) -> Predicate:
    negate = match.negate
    if match.name.endswith("+"):
        start = match.name[:-1]
        if match.way is Way.IN:
            return lambda skb: skb.in_interface.startswith(start) is not negate
        return lambda skb: skb.out_interface.startswith(start) is not negate
    name = match.name
    if match.way is Way.IN:
        return lambda skb: (skb.in_interface == name) is not negate
    return lambda skb: (skb.out_interface == name) is not negate


def _port_test(ports: Ports | None) -> Callable[[int], bool] | None:
    if ports is None:
        return None
    first, last, negate = ports.ports.first, ports.ports.last, ports.negate
    return lambda port: (first <= port <= last) is not negate


def _tcp(match: TcpMatch) -> Predicate:
    source, destination = _port_test(match.source), _port_test(match.destination)
    flags = match.flags
    option_known = match.option is None

    def test(skb: Skb) -> bool | None:
        # a module is only valid behind -p tcp; another protocol never gets here in the kernel
        if skb.protocol != TCP or skb.packet.fragment:
            return False
        if source is not None and not source(skb.source_port):
            return False
        if destination is not None and not destination(skb.destination_port):
            return False
        if flags is not None:
            set_right = skb.packet.tcp_flags & flags.mask == flags.value
            if set_right is flags.negate:
                return False
        return True if option_known else None

    return test


def _udp(match: UdpMatch) -> Predicate:
    source, destination = _port_test(match.source), _port_test(match.destination)
    protocol = UDP if match.module == "udp" else UDPLITE

    def test(skb: Skb) -> bool:
        return (
            skb.protocol == protocol
            and not skb.packet.fragment
            and (source is None or source(skb.source_port))
            and (destination is None or destination(skb.destination_port))
        )

    return test


def _icmp(match: IcmpMatch) -> Predicate:
    low, high = match.codes
    any_type = match.module == "icmp" and match.type == 255
    kind, negate = match.type, match.negate
    protocol = ICMP if match.module == "icmp" else ICMPV6

    def test(skb: Skb) -> bool:
        if skb.protocol != protocol or skb.packet.fragment:
            return False
        packet = skb.packet
        meets = any_type or (packet.icmp_type == kind and low <= packet.icmp_code <= high)
        return meets is not negate

    return test


def _multiport(match: MultiportMatch) -> Predicate:
    ranges = tuple((ports.first, ports.last) for ports in match.ports)
    side, negate = match.side, match.negate

    def meets(port: int) -> bool:
        return any(first <= port <= last for first, last in ranges)

    def test(skb: Skb) -> bool:
        if skb.protocol not in PORT_PROTOCOLS or skb.packet.fragment:
            return False
        if side is PortSide.DESTINATION:
            found = meets(skb.destination_port)
        elif side is PortSide.SOURCE:
            found = meets(skb.source_port)
        else:
            found = meets(skb.source_port) or meets(skb.destination_port)
        return found is not negate

    return test


def _iprange(match: IprangeMatch) -> Predicate:
    source, destination = match.source, match.destination

    def test(skb: Skb) -> bool:
        if source is not None and (skb.source in source.value) is source.negate:
            return False
        return destination is None or (skb.destination in destination.value) is (
            not destination.negate
        )

    return test


def _hops(match: TtlMatch | HlMatch) -> Predicate:
    equal, below, above, negate = match.equal, match.below, match.above, match.negate
    if equal is not None:
        return lambda skb: (skb.hops == equal) is not negate
    if below is not None:
        return lambda skb: skb.hops < below
    return lambda skb: above is not None and skb.hops > above


def _wanted_ports(match: SctpMatch | DccpMatch) -> Predicate:
    source, destination = match.source, match.destination
    if isinstance(match, SctpMatch):
        protocol, asks_more = SCTP, match.chunks is not None
    else:
        protocol, asks_more = DCCP, match.types is not None or match.option is not None

    def test(skb: Skb) -> bool | None:
        if skb.protocol != protocol or skb.packet.fragment:
            return False
        if source is not None and (skb.source_port in source.value) is source.negate:
            return False
        if (
            destination is not None
            and (skb.destination_port in destination.value) is destination.negate
        ):
            return False
        return None if asks_more else True

    return test


_WITHOUT_INFLUENCE = (("!", "--update-counters"), ("!", "--update-subcounters"))
_RETURN_NOMATCH = ("--return-nomatch",)


def _set(match: SetMatch, facts: HostFacts, changed: Set[str]) -> Predicate:
    lookup = facts.sets.get(match.name)
    sides, negate = match.directions, match.negate
    return_nomatch = match.options == _RETURN_NOMATCH
    # the other options ask the counters of a member
    if lookup is None or not (
        return_nomatch or not match.options or match.options in _WITHOUT_INFLUENCE
    ):
        return lambda skb: None

    def test(skb: Skb) -> bool | None:
        found = lookup.test(skb, sides, return_nomatch=return_nomatch, changed=changed)
        return None if found is None else found is not negate

    return test


def _addrtype(match: AddrtypeMatch, facts: HostFacts) -> Predicate:
    if match.limit_interface is not None:
        return lambda skb: None

    def one(skb: Skb, address: int, kinds: frozenset[str], negate: bool) -> bool | None:
        kind = address_type(skb.packet.family, address, facts)
        if kind is None:
            return None
        return (kind in kinds) is not negate

    def test(skb: Skb) -> bool | None:
        results: list[bool | None] = []
        if match.source:
            results.append(one(skb, skb.source, match.source, match.source_negate))
        if match.destination:
            results.append(one(skb, skb.destination, match.destination, match.destination_negate))
        if False in results:
            return False
        return None if None in results else True

    return test


def address_type(family: Family, address: int, facts: HostFacts) -> str | None:
    """LOCAL, MULTICAST, BROADCAST or UNICAST; None where the routing table would have to say more.

    inet_dev_addr_type in net/ipv4/fib_frontend.c: multicast and broadcast by address, then the
    local table, then whether there is a route at all (UNICAST where there is).
    """
    if family is Family.IPV4:
        if address >> 28 == 14:
            return "MULTICAST"
        if address in (0, 0xFFFFFFFF):
            return "BROADCAST"
    elif address >> 120 == 255:
        return "MULTICAST"
    if facts.is_local(family, address):
        return "LOCAL"
    for addresses in facts.addresses.values():
        for mine in addresses:
            net = mine.net
            if (
                mine.family is family is Family.IPV4
                and mine.prefix_length < 31
                and address == net.address | (~net.mask & 0xFFFFFFFF)
            ):
                return "BROADCAST"
    return None if facts.route(family, address, 0) is None else "UNICAST"
