"""Packets that come by certain rules: what their conditions ask, and what the host has of links,
addresses and routes.

They are candidates: whether one of them comes by is seen when it is sent.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from netfw.doctor.asked import RULES, goes_from, set_by
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import Link, RoutingRule
from netfw.doctor.place import WAYS, Spot, Way
from netfw.doctor.probing import Conversation, Turn
from netfw.doctor.spot_conditions import HEADER_MATCHES, conditions_at, stages_at
from netfw.doctor.steering import (
    is_ordinary,
    leaves_by,
    routes_of,
    sample_of,
    tables_of,
)
from netfw.ir.match import (
    AddressMatch,
    IcmpMatch,
    InterfaceMatch,
    Match,
    MultiportMatch,
    PortSide,
    ProtocolMatch,
    Side,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.match_header import Way as InterfaceWay
from netfw.ir.match_transport import Ports
from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.ir.routing import MAIN_TABLE
from netfw.traverse.evaluate import predicate_of
from netfw.traverse.host_facts import LOOPBACK, HostFacts
from netfw.traverse.packet import PORT_PROTOCOLS, SYN, Packet
from netfw.traverse.skb import Skb

_MOST = 12
"""How many conversations are tried for a finding."""
_FEW = 3
"""How many rules are tried that give packets a mark."""
_FAR = {
    Family.IPV4: parse_address("198.51.100.1")[1],
    Family.IPV6: parse_address("2001:db8:ffff::1")[1],
}
_NEIGHBOURS = {
    Family.IPV4: parse_address("192.0.2.0")[1],
    Family.IPV6: parse_address("2001:db8:fffe::")[1],
}
"""Where those are that a bridge connects, if nobody says so."""
_PORT = 33434
"""Where nothing listens (traceroute's first)."""
_ECHO = {Family.IPV4: 8, Family.IPV6: 128}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which packets are looked for: those that come by all ``spots``.

    ``toward`` is a routing rule whose table they are to be for. ``mark`` is what sockets of this
    host give them; a packet that comes in has none, so that with a mark there are local ones
    alone. ``ways`` limits how they go.
    """

    spots: tuple[Spot, ...]
    toward: RoutingRule | None = None
    mark: int = 0
    ways: frozenset[Way] = frozenset(Way)
    family: Family | None = None
    protocols: frozenset[int] = frozenset()
    is_afar: bool = False
    """Whether those that come in are from somewhere behind a router, not from a neighbour."""
    to: int | None = None
    """The address that they are for, where that matters."""
    but_in: str = ""
    """The interface by which they do not come in."""


def conversations(
    state: HostState, wanted: Wanted, then: Turn | None = None
) -> tuple[Conversation, ...]:
    """Some conversations that begin with such packets; empty where none is possible."""
    spots = wanted.spots
    for count in range(len(spots), -1, -1):
        # what cannot all be met is met as far as it comes first
        some = replace(wanted, spots=spots[:count])
        found = (Conversation(packet, then) for packet in _packets(state, some))
        if kept := tuple(islice(found, _MOST)):
            return kept
        if count <= 1:
            break
    return ()


def that_have(state: HostState, use: MarkUse, bits: int) -> tuple[Conversation, ...]:
    """Packets that come by a rule and have some of these bits there: from a rule before it, from
    the socket, or from the rule itself, where they come by twice."""
    setters = [
        one.spot
        for one in state.kinds_of_writers(Word.PACKET)
        if one.spot.system in RULES and set_by(one, Word.PACKET) & bits and goes_from(one, use)
    ]
    wanted = [Wanted((use.spot, spot)) for spot in setters[:_FEW]]
    wanted += [Wanted((use.spot,), mark=bits), Wanted((use.spot,))]
    return tuple(one for each in wanted for one in conversations(state, each))


def bridged_conversations(state: HostState, spot: Spot, bridge: str) -> tuple[Conversation, ...]:
    """Some packets that a rule is for, as a bridge passes them from port to port."""
    ports = [link.name for link in state.links if link.master == bridge and link.is_up]
    wanted, conditions = Wanted((spot,)), conditions_at(state, spot)
    found = []
    for family in _families(wanted, conditions):
        choice = _Choice(state, wanted, family, conditions)
        source, destination = (
            next(iter(choice.asked(side)), _NEIGHBOURS[family] | number)
            for number, side in enumerate((Side.SOURCE, Side.DESTINATION), start=1)
        )
        found += [*choice.between([(port, source, destination) for port in ports])]
    return tuple(Conversation(packet) for packet in found[:_MOST])


def _packets(state: HostState, wanted: Wanted) -> Iterator[Packet]:
    rules = [spot for spot in wanted.spots if stages_at(state, spot)]
    conditions = tuple(one for spot in rules for one in conditions_at(state, spot))
    stages = [stages_at(state, spot) for spot in rules]
    ways = [
        way
        for way, passed in WAYS.items()
        if way in wanted.ways
        and all(one & {*passed} for one in stages)
        and (not wanted.mark or way is Way.FROM_HOST)
    ]
    for family in _families(wanted, conditions):
        choice = _Choice(state, wanted, family, conditions)
        every = [choice.on(way) for way in ways]
        # each way has its turn
        while every:
            for one in tuple(every):
                packet = next(one, None)
                if packet is None:
                    every.remove(one)
                else:
                    yield packet


def _families(wanted: Wanted, conditions: Iterable[Match]) -> tuple[Family, ...]:
    said = {spot.family for spot in wanted.spots if spot.family is not None}
    said |= {one.net.family for one in conditions if isinstance(one, AddressMatch)}
    if wanted.toward is not None:
        said.add(wanted.toward.rule.family)
    if wanted.family is not None:
        said.add(wanted.family)
    return tuple(family for family in Family if said <= {family})


class _Choice:
    """The packets of one family."""

    def __init__(
        self, state: HostState, wanted: Wanted, family: Family, conditions: Sequence[Match]
    ) -> None:
        self._state, self._wanted, self._family = state, wanted, family
        self._conditions = conditions
        asked = [one for one in conditions if isinstance(one, HEADER_MATCHES)]
        facts = HostFacts()
        self._tests = [
            predicate_of(one, facts)
            for one in asked
            if not (isinstance(one, InterfaceMatch) and one.way is InterfaceWay.OUT)
        ]
        self._links = {
            link.name: [*_addresses(link, family)]
            for link in state.links
            if link.is_up and link.name != LOOPBACK
        }
        self._own = {one for mine in self._links.values() for one, _ in mine}

    def on(self, way: Way) -> Iterator[Packet]:
        """Packets that take a way."""
        if way is Way.FROM_HOST:
            ends = list(self._from_host())
        elif self._wanted.toward is not None and self._wanted.toward.rule.in_interface == LOOPBACK:
            return
        else:
            ends = list(self._coming_in(to_host=way is Way.TO_HOST))
        yield from self.between(ends)

    def between(self, ends: Sequence[tuple[str, int, int]]) -> Iterator[Packet]:
        """Packets that come in by an interface, from a source, to a destination."""
        shapes = list(self._shapes())
        for (came_by, source, destination), shape in _diagonal(ends, shapes):
            packet = replace(
                shape,
                source=source,
                destination=destination,
                in_interface=came_by,
                mark=self._wanted.mark,
            )
            skb = Skb(packet)
            if all(test(skb) is not False for test in self._tests):
                yield packet

    def _coming_in(self, *, to_host: bool) -> Iterator[tuple[str, int, int]]:
        """Interface, source and destination."""
        rule = None if self._wanted.toward is None else self._wanted.toward.rule
        for name, mine in self._links.items():
            if (
                not mine
                or name == self._wanted.but_in
                or (rule is not None and rule.in_interface not in ("", name))
            ):
                continue
            near = [_FAR[self._family]] if self._wanted.is_afar else [*self._neighbours(mine)][:1]
            sources = self.asked(Side.SOURCE) or near
            destinations = (
                [address for address, _ in mine]
                if to_host
                else [one for one in self._destinations() if one not in self._own]
            )
            for source, destination in product(sources, destinations):
                if to_host or self._leaves(source, destination, name):
                    yield name, source, destination

    def _from_host(self) -> Iterator[tuple[str, int, int]]:
        for destination in self._destinations():
            # a socket's own address is that of the way that its packet takes at first
            route = leaves_by(self._state, self._family, destination, self._wanted.mark)
            if route is None or not is_ordinary(route):
                continue
            mine = self._links.get(route.interface, [])
            asked = [one for one in self.asked(Side.SOURCE) if one in self._own]
            for source in asked or [one for one, _ in mine][:1]:
                yield "", source, destination
        if not any(self._links.values()):
            loopback = 0x7F000001 if self._family is Family.IPV4 else 1
            yield "", loopback, loopback

    def _leaves(self, source: int, destination: int, came_by: str) -> bool:
        """Whether routing, without a mark or by the rule that is meant, sends it on where the
        rules want it."""
        outs = [
            one
            for one in self._conditions
            if isinstance(one, InterfaceMatch) and one.way is InterfaceWay.OUT
        ]
        route = leaves_by(self._state, self._family, destination, 0)
        if self._wanted.toward is not None or route is None:
            return self._wanted.toward is not None
        is_back = route.interface == came_by and len(self._links) > 1
        fits = all(one.covers(route.interface) is not one.negate for one in outs)
        return is_ordinary(route) and fits and not is_back

    def asked(self, side: Side) -> list[int]:
        """An address of each network that the conditions name."""
        nets = [
            one.net
            for one in self._conditions
            if isinstance(one, AddressMatch) and one.side is side and not one.negate
        ]
        return [
            next((one for one in _in_net(net) if one not in self._own), net.address)
            for net in sorted(nets, key=lambda net: -net.mask)[:1]
        ]

    def _destinations(self) -> list[int]:
        if self._wanted.to is not None:
            return [self._wanted.to]
        asked = self.asked(Side.DESTINATION)
        if asked:
            return asked
        found: list[int] = []
        if self._wanted.toward is not None:
            routes = routes_of(self._state, self._wanted.toward)
            found += [sample_of(route) for route in routes if is_ordinary(route)]
        main = tables_of(self._state, self._family).routes.get(MAIN_TABLE, ())
        found += [_FAR[self._family]] if any(not one.destination.mask for one in main) else []
        for mine in self._links.values():
            found += [*self._neighbours(mine)][:1]
        return list(dict.fromkeys(found))

    def _neighbours(self, mine: Iterable[tuple[int, Net]]) -> Iterator[int]:
        for _, net in mine:
            yield from (one for one in _in_net(net) if one not in self._own)

    def _shapes(self) -> Iterator[Packet]:
        """Protocols and ports."""
        icmp = ICMP if self._family is Family.IPV4 else ICMPV6
        named = {
            one.number
            for one in self._conditions
            if isinstance(one, ProtocolMatch) and not one.negate and one.number
        }
        wanted = named or self._wanted.protocols or (UDP, TCP, icmp)
        source, destination = self._port(PortSide.SOURCE), self._port(PortSide.DESTINATION)
        kinds = [one for one in self._conditions if isinstance(one, IcmpMatch) and not one.negate]
        for protocol in wanted:
            ports = (source, destination or _PORT) if protocol in PORT_PROTOCOLS else (0, 0)
            is_icmp = protocol == icmp
            kind = next((one.type for one in kinds if one.type != 255), _ECHO[self._family])
            yield Packet(
                self._family,
                0,
                0,
                protocol,
                *ports,
                tcp_flags=self._flags() if protocol == TCP else 0,
                icmp_type=kind if is_icmp else 0,
            )

    def _flags(self) -> int:
        for one in self._conditions:
            if isinstance(one, TcpMatch) and one.flags is not None and not one.flags.negate:
                return one.flags.value or SYN
        return SYN

    def _port(self, side: PortSide) -> int:
        """A port that the conditions ask for; 0 where they ask for none."""
        for one in self._conditions:
            if isinstance(one, MultiportMatch) and one.side in (side, PortSide.EITHER):
                if not one.negate and one.ports:
                    return one.ports[0].first or one.ports[0].last
            elif isinstance(one, TcpMatch | UdpMatch):
                ports: Ports | None = one.source if side is PortSide.SOURCE else one.destination
                if ports is not None and not ports.negate:
                    return ports.ports.first or ports.ports.last
        return 0


def _diagonal(
    ends: Sequence[tuple[str, int, int]], shapes: Sequence[Packet]
) -> Iterator[tuple[tuple[str, int, int], Packet]]:
    """All pairs, those first that are early in both."""
    pairs = [(i, j) for i in range(len(ends)) for j in range(len(shapes))]
    for i, j in sorted(pairs, key=lambda pair: (sum(pair), pair)):
        yield ends[i], shapes[j]


def _addresses(link: Link, family: Family) -> Iterator[tuple[int, Net]]:
    for text in link.addresses:
        try:
            of, address = parse_address(text.partition("/")[0])
            net = Net.parse(text)
        except ValueError:
            continue
        if of is family and not ipaddress.ip_address(text.partition("/")[0]).is_link_local:
            yield address, net


def _in_net(net: Net) -> Iterator[int]:
    """Some addresses of a network."""
    if net.is_single:
        yield net.address
        return
    if net.mask == 0:
        yield _FAR[net.family]
        return
    free = ~net.mask & ((1 << net.family.bits) - 1)
    for offset in range(1, 6):
        if offset & ~free == 0:
            yield net.address | offset
    yield net.address
