"""Packets to send through a twin: real ones, from where the host's routing has them come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from netfw.host.live_facts import LiveFacts
from netfw.host.twin_stage import NEIGHBOUR
from netfw.ir.clock import Clock
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.protocols import TCP, UDP
from netfw.ir.ruleset import Ruleset
from netfw.policy.assertion import Assertion
from netfw.policy.model import Policy
from netfw.prove.assertions import described, paths_of
from netfw.prove.hidden import HasHidden, HiddenBit, as_sent
from netfw.prove.meaning import Meaning
from netfw.prove.packet_of import example_of
from netfw.prove.path import PathKind, Paths
from netfw.prove.policy_sets import PolicySets
from netfw.prove.proof import space_for
from netfw.prove.reach import Reach
from netfw.prove.space import Bdd, Field
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.packet import SYN, Packet
from netfw.traverse.routing_tables import LOCAL_TABLE, Asked, RouteKind, TableRoute
from netfw.traverse.traversal import Stop
from netfw.verify.probe import Expected
from netfw.verify.sample import ECHO, ICMP_NUMBER, UNROUTABLE

_FIRST_SOURCE_PORT = 40000
_MOST_ROUTES = 500
"""How many routes are looked at, the widest first: a router may have a million."""
_MOST_WAYS = 48
_MOST_RULES = 4000
"""Up to how many compiled rules each is given a packet of its own."""
_ALIKE = 2
"""How many interfaces are tried of those that no rule tells apart."""
_OF_ASSERTION = 4
"""How many packets are sent for an assertion on a path, each on another way."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way through the host by its interfaces; empty for the host itself."""

    came_by: str
    leaves_by: str

    @property
    def kind(self) -> PathKind:
        """The path that it is a way of."""
        if not self.leaves_by:
            return PathKind.IN
        return PathKind.FORWARD if self.came_by else PathKind.OUT

    def __str__(self) -> str:
        return f"{self.came_by or 'this host'} → {self.leaves_by or 'this host'}"


@dataclass(frozen=True, slots=True)
class Shot:
    """A packet, its way, and what the policy wants of it.

    ``rival`` is another of the same kind where the policy has no say: it is sent where nothing of
    ours is, and fares as this one must. ``is_asserted`` says that an assertion is about it.
    """

    packet: Packet
    route: Route
    expected: Expected
    origin: Origin | None = None
    is_asserted: bool = False
    rival: Packet | None = None


class TwinPackets:
    """Chooses packets of one family for a policy on a host.

    ``interfaces`` are those that have a cable and are up.
    """

    def __init__(
        self,
        policy: Policy,
        ruleset: Ruleset,
        facts: LiveFacts,
        interfaces: Sequence[str],
        clock: Clock,
    ) -> None:
        self.policy, self.facts, self.clock = policy, facts, clock
        self._ruleset = ruleset
        self.space = space_for(policy, ruleset)
        self._sets = PolicySets(self.space, policy)
        self._interfaces = list(self._told_apart(interfaces))
        self._own_addresses = self._find_own()
        self._behind = self._find_behind()
        self._here: dict[Route, Bdd] = {}
        self._meanings: dict[PathKind, Meaning] = {}
        self._port = _FIRST_SOURCE_PORT
        self._first = self._first_packets()

    @property
    def family(self) -> Family:
        """Of all packets."""
        return self.space.family

    def of_assertion(self, assertion: Assertion) -> list[Shot]:
        """Packets that an assertion describes, each on another way; none where no packet of it
        can be on this host."""
        if self.family not in assertion.families:
            return []
        expected = Expected.ACCEPTED if assertion.is_allowed else Expected.DENIED
        found = []
        for kind in paths_of(assertion):
            those = described(self._sets, assertion, kind)
            shots = (
                self._shot(those, route, expected, assertion.origin, is_asserted=True)
                for route in self.routes(kind)
            )
            found += list(islice((each for each in shots if each is not None), _OF_ASSERTION))
        return found

    def of_ways(self) -> Iterator[Shot]:
        """For each way a packet that is allowed, one that is denied, and one of which the policy
        does not speak."""
        for kind in PathKind:
            for route in self.routes(kind):
                for expected, those in self._verdicts(kind):
                    shot = self._shot(those, route, expected)
                    if shot is not None:
                        yield shot

    def of_rules(self) -> Iterator[Shot]:
        """For each rule of the policy a packet that meets one of its compiled rules."""
        if self._ruleset.rule_count > _MOST_RULES:
            return
        reach = Reach(Paths(self.space, self._ruleset))
        done: set[tuple[str, PathKind]] = set()
        for place, hits in reach.hits.items():
            table = self._ruleset.table(place.table)
            chain = None if table is None else table.find_chain(place.chain)
            origin = None if chain is None else chain.rule(place.number).origin
            if origin is None:
                continue
            for hit in hits:
                key = (origin.identity, hit.kind)
                if key in done:
                    continue
                shot = self._any_shot(hit.those, hit.kind, origin)
                if shot is not None:
                    done.add(key)
                    yield shot

    def routes(self, kind: PathKind) -> list[Route]:
        """The ways of a path, between interfaces that rules tell apart."""
        names = self._interfaces
        if kind is PathKind.IN:
            found = [Route(name, "") for name in names]
        elif kind is PathKind.OUT:
            found = [Route("", name) for name in names]
        else:
            found = [Route(a, b) for a in names for b in names if a != b and self._forwards(a)]
        return found[:_MOST_WAYS]

    def _any_shot(self, those: Bdd, kind: PathKind, origin: Origin) -> Shot | None:
        for route in self.routes(kind):
            for expected, judged in self._verdicts(kind):
                shot = self._shot(those & judged, route, expected, origin)
                if shot is not None:
                    return shot
        return None

    def _verdicts(self, kind: PathKind) -> tuple[tuple[Expected, Bdd], ...]:
        meaning = self._meanings.get(kind)
        if meaning is None:
            meaning = self._meanings[kind] = self._sets.meaning(kind)
        denied = self.space.any_of([meaning.denied, *meaning.rejected.values()])
        return (
            (Expected.ACCEPTED, meaning.allowed),
            (Expected.DENIED, denied),
            (Expected.NOT_COVERED, ~(meaning.allowed | denied)),
        )

    def _shot(
        self,
        those: Bdd,
        route: Route,
        expected: Expected,
        origin: Origin | None = None,
        *,
        is_asserted: bool = False,
    ) -> Shot | None:
        those &= self._at(route)
        if those == self.space.false:
            return None
        packet = self._packet(those, route)
        if packet is None:
            return None
        rival = None
        if expected is Expected.NOT_COVERED:
            rival = self._like(those, packet)
            if rival is None:
                return None
        return Shot(packet, route, expected, origin, is_asserted, rival)

    def _packet(self, those: Bdd, route: Route) -> Packet | None:
        space = self.space
        self._port += 1
        wishes = [space.equal(Field.SOURCE_PORT, self._port)]
        # an address of the interface itself, where it has one
        own = [
            one.address for one in self.facts.addresses.get(route.came_by or route.leaves_by, ())
        ]
        side = Field.DESTINATION if route.came_by else Field.SOURCE
        if route.kind is not PathKind.FORWARD:
            wishes.append(space.any_of(space.equal(side, address) for address in own))
        for wish in wishes:
            if those & wish != space.false:
                those &= wish
        example = example_of(space, those)
        if example is None or not all(
            isinstance(key, HiddenBit | HasHidden) for key, _ in example.oracles
        ):
            # it depends on what no packet says, such as a limit of a rate
            return None
        is_local = not route.came_by
        packet = replace(
            example.packet,
            in_interface=route.came_by,
            hardware=-1 if is_local else NEIGHBOUR,
            user=0 if is_local else -1,
            group=0 if is_local else -1,
        )
        return packet if self._goes(packet, route) else None

    def _like(self, those: Bdd, packet: Packet) -> Packet | None:
        """Another packet of the same set that begins another connection."""
        if not packet.source_port:
            return packet
        space = self.space
        self._port += 1
        for field, value in (
            (Field.SOURCE, packet.source),
            (Field.DESTINATION, packet.destination),
            (Field.PROTOCOL, packet.protocol),
            (Field.DESTINATION_PORT, packet.destination_port),
            (Field.SOURCE_PORT, self._port),
        ):
            those &= space.equal(field, value)
        return None if those == space.false else replace(packet, source_port=self._port)

    def _goes(self, packet: Packet, route: Route) -> bool:
        """Whether routing has the packet take its way, before any rule of ours."""
        asked = Asked(
            packet.family, packet.source, packet.destination, packet.in_interface, packet.mark
        )
        try:
            found = self.facts.tables.find(asked)
            facts = self.facts.for_packet(packet)
            if facts.refused_source(packet.family, packet.mark):
                return False
        except Stop:
            return False
        if found is None:
            return False
        if route.kind is PathKind.IN:
            return found.kind is RouteKind.LOCAL
        return found.kind is RouteKind.UNICAST and found.interface == route.leaves_by

    def _at(self, route: Route) -> Bdd:
        """First packets that can take a way."""
        found = self._here.get(route)
        if found is None:
            found = self._here[route] = self._make_at(route)
        return found

    def _make_at(self, route: Route) -> Bdd:
        space, nobody = self.space, self.space.false
        like = space.interfaces.like
        came_by, leaves_by = like(route.came_by), like(route.leaves_by)
        if came_by is None or leaves_by is None:
            return nobody
        found = self._first & space.unmarked
        found &= space.interface(Field.IN_INTERFACE, [came_by])
        found &= space.interface(Field.OUT_INTERFACE, [leaves_by])
        found &= as_sent(space, self.clock, NEIGHBOUR if route.came_by else None)
        if route.came_by:
            found &= self._behind.get(route.came_by, (nobody, nobody))[0]
        else:
            found &= self._own_addresses[0]
        if route.leaves_by:
            found &= self._behind.get(route.leaves_by, (nobody, nobody))[1]
        else:
            found &= self._own_addresses[1]
        return found

    def _first_packets(self) -> Bdd:
        """What begins a connection, in protocols that everybody has."""
        space = self.space

        def protocol(number: int) -> Bdd:
            return space.equal(Field.PROTOCOL, number)

        syn = protocol(TCP) & space.equal(Field.TCP_FLAGS, SYN)
        ping = protocol(ICMP_NUMBER[self.family]) & space.equal(Field.ICMP_CODE, 0)
        ping &= space.equal(Field.ICMP_TYPE, ECHO[self.family])
        found = space.in_state(ConnectionState.NEW) & (syn | protocol(UDP) | ping)
        for field in (Field.SOURCE_PORT, Field.DESTINATION_PORT):
            found &= ~space.equal(field, 0)
        for net in UNROUTABLE[self.family]:
            found &= ~space.in_net(Field.SOURCE, net) & ~space.in_net(Field.DESTINATION, net)
        return found & ~space.flag(Field.FRAGMENT)

    def _forwards(self, interface: str) -> bool:
        anyone = Packet(self.family, 0, 0, 0, in_interface=interface)
        return self.facts.for_packet(anyone).forwarding

    def _told_apart(self, interfaces: Sequence[str]) -> Iterator[str]:
        """Two of each kind that no rule tells apart."""
        counted: dict[str | None, int] = {}
        for name in interfaces:
            like = self.space.interfaces.like(name)
            counted[like] = counted.get(like, 0) + 1
            if like is not None and counted[like] <= _ALIKE:
                yield name

    def _find_own(self) -> tuple[Bdd, Bdd]:
        """Packets from this host's addresses, and packets to them."""
        mine = [
            one.address
            for name, addresses in self.facts.addresses.items()
            for one in addresses
            if name != LOOPBACK
        ]
        source, destination = (
            self.space.any_of(self.space.equal(field, address) for address in mine)
            for field in (Field.SOURCE, Field.DESTINATION)
        )
        return source, destination

    def _find_behind(self) -> dict[str, tuple[Bdd, Bdd]]:
        """Packets from what lies behind each interface, and packets to it, by the routes that
        every packet follows."""
        space = self.space
        found: dict[str, tuple[Bdd, Bdd]] = {}
        left = [
            ~space.any_of(space.in_net(field, net) for net in self._local_nets())
            for field in (Field.SOURCE, Field.DESTINATION)
        ]
        for route in self._plain_routes():
            those = [
                space.in_net(field, route.destination) & rest
                for field, rest in zip((Field.SOURCE, Field.DESTINATION), left, strict=True)
            ]
            left = [rest & ~taken for rest, taken in zip(left, those, strict=True)]
            if route.kind is RouteKind.UNICAST and route.interface and not route.unknown:
                source, destination = found.get(route.interface, (space.false, space.false))
                found[route.interface] = (source | those[0], destination | those[1])
        return found

    def _local_nets(self) -> Iterator[Net]:
        for route in self.facts.tables.routes.get(LOCAL_TABLE, ()):
            if route.kind is not RouteKind.MULTICAST:
                yield route.destination

    def _plain_routes(self) -> Iterator[TableRoute]:
        """The routes that packets without a mark follow, those first that come first."""
        seen: set[int] = set()
        for rule in self.facts.tables.rules:
            is_plain = rule.source is None and rule.destination is None and rule.mark is None
            if not is_plain or rule.in_interface or rule.invert or rule.unknown:
                continue
            if rule.kind is not RouteKind.UNICAST or rule.table in seen | {LOCAL_TABLE}:
                continue
            seen.add(rule.table)
            routes = self.facts.tables.routes.get(rule.table, ())
            widest = sorted(routes, key=lambda each: each.destination.prefix_length or 0)
            kept = widest[:_MOST_ROUTES]
            yield from sorted(
                kept, key=lambda each: (-(each.destination.prefix_length or 0), each.metric)
            )
