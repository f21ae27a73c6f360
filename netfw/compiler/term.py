"""Conditions of the policy to matches of iptables: one term is one rule's matches.

Matches stand in the order in which iptables-save writes them: addresses, interfaces, protocol,
then modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product

from netfw.ir.match import (
    AddressMatch,
    IcmpMatch,
    InterfaceMatch,
    Match,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    ProtocolMatch,
    Side,
    TcpMatch,
    UdpMatch,
    Way,
)
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.policy.conditions import Conditions
from netfw.policy.endpoint import Endpoint
from netfw.policy.traffic import ANY, Traffic

MULTIPORT_SLOTS = 15
"""Ports in one multiport match; a range takes two (XT_MULTI_PORTS, xt_multiport.h)."""
_ICMP_MODULES = {ICMP: "icmp", ICMPV6: "icmp6"}

Term = tuple[Match, ...]
"""Matches of one rule: all of them hold."""
InterfacePair = tuple[str | None, str | None]
"""The interface a packet comes in by and the one it leaves by; None is any."""
ANY_PAIR: tuple[InterfacePair, ...] = ((None, None),)


def expand_conditions(
    conditions: Conditions, pairs: Sequence[InterfacePair] = ANY_PAIR
) -> Iterator[tuple[Match, ...]]:
    """Every term that the conditions need, so that a packet matches them if it matches one.
    Raises as ``expand_terms``."""
    return expand_terms(conditions, expand_traffic(conditions.traffic), pairs)


def expand_terms(
    conditions: Conditions,
    kinds: Iterable[tuple[Match, ...]],
    pairs: Sequence[InterfacePair] = ANY_PAIR,
) -> Iterator[tuple[Match, ...]]:
    """The same for some kinds of traffic, given as terms.

    Raises ValueError for conditions that ask for more than services and addresses: those are a
    ``Shape``.
    """
    if not conditions.is_plain:
        raise ValueError("these conditions have exceptions or further criteria")
    sources = expand_nets(Side.SOURCE, conditions.sources)
    destinations = expand_nets(Side.DESTINATION, conditions.destinations)
    interfaces = tuple(map(interface_matches, pairs))
    for source, destination, ways, kind in product(sources, destinations, interfaces, kinds):
        yield (*source, *destination, *ways, *kind)


def count_terms(
    conditions: Conditions, kinds: int, pairs: Sequence[InterfacePair] = ANY_PAIR
) -> int:
    """How many terms ``expand_terms`` makes of so many kinds of traffic."""
    count = kinds * len(pairs)
    for nets in (conditions.sources, conditions.destinations):
        count *= 1 if is_open(nets) else len(nets)
    return count


def interface_matches(pair: InterfacePair) -> tuple[InterfaceMatch, ...]:
    """``-i`` and ``-o`` for a pair."""
    way_in, way_out = pair
    matches = () if way_in is None else (InterfaceMatch(Way.IN, way_in),)
    return matches if way_out is None else (*matches, InterfaceMatch(Way.OUT, way_out))


def either_way(endpoints: Iterable[Endpoint]) -> Iterator[tuple[Endpoint, InterfacePair]]:
    """What comes in by each of the endpoints, then what leaves by them."""
    named = [(endpoint, name) for endpoint in endpoints for name in endpoint.interfaces]
    for endpoint, name in named:
        yield endpoint, (name, None)
    for endpoint, name in named:
        yield endpoint, (None, name)


def expand_nets(side: Side, nets: tuple[Net, ...]) -> tuple[Term, ...]:
    """One alternative for each network; all addresses need no match (iptables drops it)."""
    if is_open(nets):
        return ((),)
    return tuple([(AddressMatch(side, net),) for net in nets])


def is_open(nets: tuple[Net, ...]) -> bool:
    """Whether they are all addresses."""
    for net in nets:
        if not net.mask:
            return True
    return not nets


# as many as a large policy has rules, so that its second family finds what the first one asked
@lru_cache(maxsize=32_768)
def expand_traffic(traffic: tuple[Traffic, ...]) -> tuple[Term, ...]:
    """Alternatives for a list of services, as few as multiport allows."""
    by_protocol: dict[int | None, list[Traffic]] = {}
    for kind in traffic:
        by_protocol.setdefault(kind.protocol, []).append(kind)
    if None in by_protocol:
        return ((),)
    terms: list[Term] = []
    for protocol, kinds in by_protocol.items():
        assert protocol is not None
        match = ProtocolMatch(protocol)
        if any(kind == Traffic(protocol) for kind in kinds):
            terms.append((match,))
        elif protocol in _ICMP_MODULES:
            module = _ICMP_MODULES[protocol]
            for icmp in dict.fromkeys(kind.icmp for kind in kinds if kind.icmp is not None):
                terms.append((match, IcmpMatch(module, icmp.type, icmp.codes)))
        else:
            terms += [(match, *ports) for ports in _expand_ports(protocol, kinds)]
    return tuple(terms)


def negate_traffic(traffic: tuple[Traffic, ...], but: tuple[Traffic, ...]) -> Term | None:
    """A list of services without some others in one term, or None where one does not suffice.

    It does for everything but a protocol, and for a protocol but some ports or one ICMP type.
    """
    first = but[0]
    if ANY in traffic:
        if len(but) == 1 and first.protocol is not None and first == Traffic(first.protocol):
            return (ProtocolMatch(first.protocol, negate=True),)
        return None
    protocol = traffic[0].protocol
    if protocol is None or traffic != (Traffic(protocol),):
        return None
    match = ProtocolMatch(protocol)
    if protocol in _ICMP_MODULES and len(but) == 1 and first.icmp and first.protocol == protocol:
        icmp = first.icmp
        return (match, IcmpMatch(_ICMP_MODULES[protocol], icmp.type, icmp.codes, negate=True))
    ports = [kind.ports for kind in but if kind == Traffic(protocol, kind.ports)]
    packs = list(_pack(_merge([span for span in ports if span is not None])))
    if len(ports) < len(but) or None in ports or len(packs) > 1:
        return None
    pack = packs[0]
    if len(pack) == 1 and protocol in (TCP, UDP):
        kind_of = TcpMatch if protocol == TCP else UdpMatch
        return (match, kind_of(destination=Ports(pack[0], negate=True)))
    return (match, MultiportMatch(PortSide.DESTINATION, pack, negate=True))


def _expand_ports(protocol: int, kinds: Sequence[Traffic]) -> Iterator[tuple[Match, ...]]:
    """Alternatives for ports, those with the same source ports together."""
    by_source: dict[PortRange | None, list[PortRange | None]] = {}
    for kind in kinds:
        by_source.setdefault(kind.source_ports, []).append(kind.ports)
    for source, spans in by_source.items():
        if None in spans:
            yield _match_ports(protocol, source, ())
            continue
        for pack in _pack(_merge([span for span in spans if span is not None])):
            yield _match_ports(protocol, source, pack)


def _match_ports(
    protocol: int, source: PortRange | None, ports: tuple[PortRange, ...]
) -> tuple[Match, ...]:
    """A source port range, and one pack of destination ports (none: any)."""
    if protocol in (TCP, UDP) and (source is not None or len(ports) == 1):
        single = ports[0] if len(ports) == 1 else None
        kind = TcpMatch if protocol == TCP else UdpMatch
        from_port = None if source is None else Ports(source)
        found: Match = kind(from_port, None if single is None else Ports(single))
        return (
            (found,) if len(ports) <= 1 else (found, MultiportMatch(PortSide.DESTINATION, ports))
        )
    sources = () if source is None else (MultiportMatch(PortSide.SOURCE, (source,)),)
    return (*sources, MultiportMatch(PortSide.DESTINATION, ports)) if ports else sources


def _merge(ports: list[PortRange]) -> list[PortRange]:
    """Sorted, with ranges that overlap made one."""
    merged: list[PortRange] = []
    for span in sorted(ports):
        if merged and span.first <= merged[-1].last:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def _pack(ports: list[PortRange]) -> Iterator[tuple[PortRange, ...]]:
    """Split into what one multiport match holds."""
    pack: list[PortRange] = []
    slots = 0
    for span in ports:
        need = 1 if span.first == span.last else 2
        if slots + need > MULTIPORT_SLOTS:
            yield tuple(pack)
            pack, slots = [], 0
        pack.append(span)
        slots += need
    yield tuple(pack)
