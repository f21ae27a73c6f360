"""Probes out of a proof: a packet for every rule that any packet can meet, and its neighbours.

What reaches a rule is known as a set; the packet that is sent is chosen out of it so that the
stage can hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from netfw.ir.match import (
    AddressMatch,
    ConnectionState,
    MultiportMatch,
    PortRange,
    PortSide,
    Side,
    TcpMatch,
    UdpMatch,
)
from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.ir.protocols import TCP, UDP
from netfw.ir.ruleset import Rule, Ruleset
from netfw.policy.assertion import Assertion
from netfw.prove.assertions import described, paths_of
from netfw.prove.diagrams import within_memory
from netfw.prove.hidden import as_sent
from netfw.prove.meaning import Meaning
from netfw.prove.packet_of import Example, example_of
from netfw.prove.path import PathKind, Paths
from netfw.prove.policy_sets import PolicySets
from netfw.prove.proof import space_for
from netfw.prove.reach import Hit, Place, Reach
from netfw.prove.space import Bdd, Field, Space
from netfw.traverse.connection import ICMP_ERRORS, ICMP_NEW, ICMPV6_NEVER_TRACKED
from netfw.traverse.packet import Packet
from netfw.traverse.situation import Path
from netfw.verify.layout import Link
from netfw.verify.probe import Expected
from netfw.verify.probe_judge import state_of
from netfw.verify.probe_writer import ProbeWriter
from netfw.verify.sample import (
    ICMP_NUMBER,
    OTHER_PROTOCOLS,
    SENDABLE,
    UNROUTABLE,
    address_outside,
)
from netfw.verify.steered_ways import SteeredWays
from netfw.verify.way import Way

_WAYS_TRIED = 12
"""How many pairs of links are tried for a rule before it is given up."""
_TOP_PORT = 65535
_KINDS = {
    Path.LOCAL_IN: PathKind.IN,
    Path.LOCAL_OUT: PathKind.OUT,
    Path.FORWARDED: PathKind.FORWARD,
}


class ProofProbes:
    """Adds to a writer what the proof asks for.

    ``reachable`` are the rules that any packet at all can meet.
    """

    @within_memory()
    def __init__(self, writer: ProbeWriter, ruleset: Ruleset) -> None:
        self.writer = writer
        self.ruleset = ruleset
        self.space: Space = space_for(writer.policy, ruleset)
        self._paths = Paths(self.space, ruleset)
        self.reach = Reach(self._paths)
        self.reachable: frozenset[Place] = frozenset(self.reach.hits)
        self._sent: set[Packet] = set()
        self._given_ports: set[int] = set()
        """Source ports that stand for any: those that were a probe's own when it was made."""
        self._own = _Addresses(self.space, Field.SOURCE)
        self._adopted = _Addresses(self.space, Field.DESTINATION)
        self._behind = _Addresses(self.space, Field.DESTINATION)
        self._sets = PolicySets(self.space, writer.policy)
        self._steered = SteeredWays(self._sets, writer.layout)
        self._meanings: dict[PathKind, Meaning] = {}
        self._known_ways: dict[tuple[str, str], Bdd] = {}
        self._unmarked = self.space.unmarked
        self._stageable = self._make_stageable()

    @within_memory()
    def write(self) -> None:
        """Write all probes."""
        for table in self.ruleset.tables:
            for chain in table.chains:
                for number, rule in enumerate(chain.rules, start=1):
                    hits = self.reach.hits.get(Place(table.name, chain.name, number), ())
                    self._probe(rule, hits)

        for kind in PathKind:
            for entry, those in self._steered.taken_by_entries(kind):
                self._probe_steered(kind, entry.origin, those)
        for assertion in self.writer.policy.assertions:
            self._probe_assertion(assertion)

    def _probe_steered(self, kind: PathKind, origin: Origin, those: Bdd) -> None:
        """A conversation that an entry steers, so that its answers and what follows are seen."""
        for way in self._ways(kind):
            if self._converse(way, origin, those):
                return

    def _probe_assertion(self, assertion: Assertion) -> None:
        """A packet that an assertion describes; what it says is what must happen."""
        if self.space.family not in assertion.families:
            return
        expected = Expected.ACCEPTED if assertion.is_allowed else Expected.DENIED
        choices = []
        for kind in paths_of(assertion):
            those = described(self._sets, assertion, kind) & self._stageable
            # one that contradicts the assertion says more than one that keeps it
            broken = those & self._against(assertion, kind)
            choices += [(1, kind, those)] if broken == self.space.false else [(0, kind, broken)]
        for _, kind, those in sorted(choices, key=lambda choice: choice[0]):
            for way in self._ways(kind):
                example = self._example(those & self._at(way), way)
                if example is None:
                    continue
                packet = replace(example.packet, in_interface=way.interfaces[0])
                staged = self.writer.add("assert", packet, way, origin=assertion.origin)
                if staged is not None:
                    self.writer.probes[-1] = replace(staged.probe, expected=expected)
                    return
        self.writer.left_out.append(
            f"{assertion.origin}: no packet of {self.space.family} can be staged for it"
        )

    def _against(self, assertion: Assertion, kind: PathKind) -> Bdd:
        """What the policy does not treat as an assertion says."""
        meaning = self._meanings.get(kind)
        if meaning is None:
            meaning = self._meanings[kind] = self._sets.meaning(kind)
        if assertion.is_allowed:
            return ~meaning.allowed
        return ~self.space.any_of([meaning.denied, *meaning.rejected.values()])

    def _probe(self, rule: Rule, hits: Sequence[Hit]) -> None:
        origin = rule.origin
        for packet, way in self._candidates(hits):
            if self._send(packet, way, origin):
                for other in neighbours(rule, packet):
                    self._send(other, way, origin)
                return
        self._probe_later(hits, origin)

    def _probe_later(self, hits: Sequence[Hit], origin: Origin | None) -> None:
        """For a rule that only packets of a connection can meet: begin one that is let through,
        this way or the other, and let it be answered."""
        established = self.space.in_state(ConnectionState.ESTABLISHED)
        for hit in hits:
            if hit.those & established == self.space.false:
                continue
            for way in self._ways(hit.kind):
                if hit.those & established & self._at(way) == self.space.false:
                    continue
                for first in (way, way.reversed):
                    if self._converse(first, origin):
                        return

    def _converse(self, way: Way, origin: Origin | None, within: Bdd | None = None) -> bool:
        """A UDP conversation that the rules let through on a way; False where they let none.

        ``within`` are packets of which its first has to be one.
        """
        space = self.space
        kind = _KINDS[way.path]
        those = ~self._paths.answer(kind).leaves(space) & self._paths.domain(kind)
        those &= self._stageable & self._at(way) & space.equal(Field.PROTOCOL, UDP)
        if within is not None:
            those &= within
        example = None if those == space.false else self._example(those, way)
        if example is None:
            return False
        packet = replace(
            example.packet,
            in_interface=way.interfaces[0],
            source_port=self.writer.next_source_port,
        )
        group = "proof" if origin is None else origin.identity
        staged = self.writer.add(group, packet, way, origin=origin)
        if staged is None or staged.probe.expected is Expected.DENIED:
            return False
        self.writer.answer(staged)
        return True

    def _send(self, packet: Packet, way: Way, origin: Origin | None) -> bool:
        """Whether the packet is on its way, now or already."""
        own = packet.source_port in self._given_ports
        plain = replace(packet, source_port=0 if own else packet.source_port)
        if plain in self._sent:
            return True
        if own:
            packet = replace(packet, source_port=self.writer.next_source_port)
        group = "proof" if origin is None else origin.identity
        if self.writer.add(group, packet, way, origin=origin) is None:
            return False
        self._sent.add(plain)
        return True

    def _candidates(self, hits: Sequence[Hit]) -> Iterator[tuple[Packet, Way]]:
        """Packets that reach a rule and that the stage can hold, one for each way."""
        tried = 0
        for hit in hits:
            for way in self._ways(hit.kind):
                those = hit.those & self._stageable & self._at(way)
                if those == self.space.false:
                    continue
                tried += 1
                if tried > _WAYS_TRIED:
                    return
                example = self._example(those, way)
                if example is not None:
                    yield replace(example.packet, in_interface=way.interfaces[0]), way

    def _ways(self, kind: PathKind) -> Iterator[Way]:
        like = self.space.interfaces.like
        links = [link for link in self.writer.layout.links if like(link.interface)]
        if kind is PathKind.IN:
            yield from (Way(link, None) for link in links)
        elif kind is PathKind.OUT:
            yield from (Way(None, link) for link in links)
        else:
            yield from (Way(a, b) for a in links for b in links if a is not b)

    def _at(self, way: Way) -> Bdd:
        found = self._known_ways.get(way.interfaces)
        if found is None:
            found = self._known_ways[way.interfaces] = self._make_at(way)
        return found

    def _make_at(self, way: Way) -> Bdd:
        came_by, leaves_by = (self.space.interfaces.like(name) for name in way.interfaces)
        assert came_by is not None
        assert leaves_by is not None
        found = self.space.interface(Field.IN_INTERFACE, [came_by])
        found &= self.space.interface(Field.OUT_INTERFACE, [leaves_by])
        if way.leaves_by is not None:
            found &= self._steered.that_leave_by(way.leaves_by, _KINDS[way.path])
        if came_by:
            # nobody outside sets a mark
            found &= self._unmarked
        link = way.came_by
        hardware = None if link is None else int(link.far_mac.replace(":", ""), 16)
        return found & as_sent(self.space, self.writer.clock, hardware)

    def _make_stageable(self) -> Bdd:
        """What the stage can send at all: something that begins, or that belongs to nothing."""
        space = self.space
        family = space.family
        new, invalid = (
            space.in_state(ConnectionState.NEW),
            space.in_state(ConnectionState.INVALID),
        )

        def protocol(number: int) -> Bdd:
            return space.equal(Field.PROTOCOL, number)

        icmp, tcp = ICMP_NUMBER[family], protocol(TCP)
        found = new & space.any_of(map(protocol, sorted(SENDABLE - {TCP})))
        for flags in range(1 << space.width(Field.TCP_FLAGS)):
            state = state_of(Packet(family, 1, 2, TCP, tcp_flags=flags))
            found |= space.in_state(state) & tcp & space.equal(Field.TCP_FLAGS, flags)
        code = space.equal(Field.ICMP_CODE, 0)
        found |= new & space.any_of(map(protocol, OTHER_PROTOCOLS[family]))
        begins = space.any_of(space.equal(Field.ICMP_TYPE, kind) for kind in ICMP_NEW[icmp])
        found |= new & protocol(icmp) & begins & code
        # an error about a packet that nobody has sent
        errors = (space.equal(Field.ICMP_TYPE, kind) for kind in ICMP_ERRORS[icmp])
        found |= invalid & protocol(icmp) & space.any_of(errors)
        if family is Family.IPV6:
            quiet = space.any_of(
                space.equal(Field.ICMP_TYPE, kind) for kind in ICMPV6_NEVER_TRACKED
            )
            untracked = space.in_state(ConnectionState.UNTRACKED)
            found |= untracked & protocol(icmp) & quiet & code
        for net in UNROUTABLE[family]:
            found &= ~space.in_net(Field.SOURCE, net) & ~space.in_net(Field.DESTINATION, net)
        found &= ~space.any_of(
            space.equal(Field.SOURCE, address)
            for known, address in sorted(self.writer.layout.reserved, key=str)
            if known is family
        )
        for field in (Field.SOURCE_PORT, Field.DESTINATION_PORT):
            found &= ~space.equal(field, 0)
        return found & ~space.flag(Field.FRAGMENT)

    def _example(self, those: Bdd, way: Way) -> Example | None:
        """A packet with addresses of the stage where they are in the set, else others."""
        space, layout, family = self.space, self.writer.layout, self.space.family
        own = _end(way.came_by, way.leaves_by, family)
        those &= ~self._own.of(layout.own)
        # a source port of its own, so that no probe meets another's connection
        unique = space.equal(Field.SOURCE_PORT, self.writer.next_source_port)
        for wish in (self._unmarked, unique, space.equal(Field.SOURCE, own)):
            nearby = those & wish
            if nearby != space.false:
                those = nearby
                if wish is unique:
                    self._given_ports.add(self.writer.next_source_port)
        far = _end(way.leaves_by, way.came_by, family)
        nearby = those & space.equal(Field.DESTINATION, far)
        if nearby != space.false:
            return example_of(space, nearby)
        # one address lies in one place only
        free = those & ~self._behind.of(layout.behind) & ~self._adopted.of(layout.own)
        for choice in (free, those):
            example = example_of(space, choice)
            if example is not None and self.writer.stage(example.packet.destination, way):
                return example
        return None


class _Addresses:
    """The set of packets with one of some addresses, which become more and never fewer."""

    def __init__(self, space: Space, field: Field) -> None:
        self._space, self._field = space, field
        self._known = 0
        self._those = space.false

    def of(self, places: Mapping[tuple[Family, int], Link]) -> Bdd:
        """Packets with an address of the space's family among these, in order of arrival."""
        new = list(islice(places, self._known, None))
        self._known += len(new)
        for family, address in new:
            if family is self._space.family:
                self._those |= self._space.equal(self._field, address)
        return self._those


def _end(link: Link | None, other: Link | None, family: Family) -> int:
    if link is not None:
        return link.far(family)
    assert other is not None
    return other.near(family)


def neighbours(rule: Rule, packet: Packet) -> Iterator[Packet]:
    """Packets like one that meets a rule, but just outside one of the rule's boundaries."""
    for match in rule.matches:
        match match:
            case AddressMatch(side, net, negate) if not negate:
                address = address_outside(net)
                if address is not None and side is Side.SOURCE:
                    yield replace(packet, source=address)
            case TcpMatch(source, destination) | UdpMatch(source, destination):
                if source is not None:
                    yield from _other_ports(packet, (source.ports,), Side.SOURCE)
                if destination is not None:
                    yield from _other_ports(packet, (destination.ports,), Side.DESTINATION)
            case MultiportMatch(side, ports):
                if side is not PortSide.SOURCE:
                    yield from _other_ports(packet, ports, Side.DESTINATION)
                if side is not PortSide.DESTINATION:
                    yield from _other_ports(packet, ports, Side.SOURCE)
            case _:
                pass


def _other_ports(packet: Packet, spans: tuple[PortRange, ...], side: Side) -> Iterator[Packet]:
    for span in spans:
        for port in (span.first - 1, span.last + 1):
            if 0 < port <= _TOP_PORT and not any(port in other for other in spans):
                if side is Side.SOURCE:
                    yield replace(packet, source_port=port)
                else:
                    yield replace(packet, destination_port=port)
