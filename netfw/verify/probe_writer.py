"""Writes probes for a policy: numbers them, stages addresses, asks the policy's meaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from netfw.host.packets import sequence_of
from netfw.ir.clock import Clock
from netfw.ir.match import ConnectionState, PortRange
from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.ir.protocols import TCP, UDP
from netfw.policy.model import Policy
from netfw.policy.steered import Steered
from netfw.traverse.connection import ICMP_ERRORS
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.packet import ACK, PORT_PROTOCOLS, SYN, Packet
from netfw.traverse.situation import Path, Phase
from netfw.verify.circumstances import PLAIN, Circumstances
from netfw.verify.layout import Layout, Link
from netfw.verify.probe import Probe
from netfw.verify.probe_judge import PHASES, ProbeJudge, state_of
from netfw.verify.probe_nat import ProbeNat
from netfw.verify.probe_steering import ProbeSteering
from netfw.verify.sample import ECHO_ANSWER, WITHOUT_PORTS_IN_CONNECTIONS, Kind
from netfw.verify.way import Way

FIRST_SOURCE_PORT = 30000
"""Below, ports are those that a rule asks for."""
UNUSED_PORT = 9
"""The port of what ICMP errors are about (discard, RFC 863)."""
MAX_PROBES = 60000
"""A probe's number has 16 bits in the packet."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A probe together with the way its packet takes and the packet as it ends up."""

    probe: Probe
    way: Way
    translated: Packet | None
    """None where the kernel chooses what it becomes."""
    steered: Steered | None = None
    """How its connection is steered."""


def _connection_of(packet: Packet) -> object:
    """What is equal for packets of one connection, both ways."""
    has_ports = packet.protocol not in WITHOUT_PORTS_IN_CONNECTIONS
    ends = (
        (packet.source, packet.source_port if has_ports else 0),
        (packet.destination, packet.destination_port if has_ports else 0),
    )
    return packet.protocol, frozenset(ends)


def _completed(packet: Packet, way: Way) -> Packet:
    """Who sends it, and from what address of the link, where that was not chosen."""
    if way.came_by is None:
        return replace(packet, user=packet.user or 0, group=packet.group or 0, hardware=-1)
    hardware = packet.hardware
    if hardware is None:
        hardware = int(way.came_by.far_mac.replace(":", ""), 16)
    return replace(packet, hardware=hardware, user=-1, group=-1)


def _described(packet: Packet, way: Way) -> str:
    """The packet in a line, with what is unusual about it."""
    words = [str(packet)]
    if packet.mark:
        words.append(f"with mark {packet.mark:#x}")
    if way.came_by is not None:
        address = (packet.hardware or 0).to_bytes(6, "big").hex(":")
        if address != way.came_by.far_mac:
            words.append(f"from {address}")
    else:
        words += [f"of user {packet.user}"] if packet.user else []
        words += [f"of group {packet.group}"] if packet.group else []
    return " ".join(words)


@dataclass(slots=True)
class ProbeWriter:
    """Collects the probes of one family. Every first packet has a source port (or echo
    identifier) of its own, so that no probe meets another's connection.

    ``left_out`` says what could not be staged, and why.
    """

    policy: Policy
    family: Family
    layout: Layout
    clock: Clock
    """When the probes are sent."""
    probes: list[Probe] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    judge: ProbeJudge = field(init=False)
    steering: ProbeSteering = field(init=False)
    nat: ProbeNat = field(init=False)
    _connections: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.judge = ProbeJudge(self.policy, self.clock)
        self.steering = ProbeSteering(self.policy, self.family, self.layout)
        self.nat = ProbeNat(self.policy, self.family, self.layout)

    @property
    def next_source_port(self) -> int:
        """The source port of the next probe, unless a rule asks for another one."""
        return FIRST_SOURCE_PORT + (len(self.probes) + 1) % 30000

    def source_port(self, asked: PortRange | None) -> int:
        """The next probe's own source port where a rule allows it, else one that the rule asks
        for."""
        port = self.next_source_port
        if asked is None or port in asked:
            return port
        return asked.first + len(self.probes) % (asked.last - asked.first + 1)

    def first(
        self,
        group: str,
        way: Way,
        kind: Kind,
        *,
        source: int | None = None,
        destination: int | None = None,
        origin: Origin | None = None,
        given: Circumstances = PLAIN,
        tcp_flags: int | None = None,
    ) -> Staged | None:
        """A first packet of a connection; None where the stage cannot hold it."""
        family = self.family
        if source is None:
            source = self._end(way.came_by, way.leaves_by)
        if destination is None:
            destination = self._end(way.leaves_by, way.came_by)
        elif not self.stage(destination, way):
            return None
        protocol, port, (icmp_type, icmp_code), sources = kind
        has_ports = protocol in PORT_PROTOCOLS
        if tcp_flags is None:
            tcp_flags = SYN if given.tcp_flags is None else given.tcp_flags
        packet = Packet(
            family,
            source,
            destination,
            protocol,
            source_port=(given.source_port or self.source_port(sources)) if has_ports else 0,
            destination_port=port,
            tcp_flags=tcp_flags if protocol == TCP else 0,
            icmp_type=icmp_type,
            icmp_code=icmp_code,
            in_interface=way.interfaces[0],
            mark=given.mark or 0,
            hardware=given.hardware,
            user=given.user,
            group=given.group,
        )
        return self.add(group, packet, way, origin=origin)

    def add(
        self, group: str, packet: Packet, way: Way, *, origin: Origin | None = None
    ) -> Staged | None:
        """A packet that belongs to nothing before it, as it is; its destination is on the stage.

        None where a port forward leads to where the stage has nothing, or where another probe is
        of the same connection. The packet keeps its fields; for ICMP, its identifier is the
        probe's number.
        """
        family = self.family
        number = len(self.probes) + 1
        if number > MAX_PROBES:
            return None
        if way.came_by is not None and not self.layout.send_from(family, packet.source):
            return None
        packet = _completed(packet, way)
        if packet.is_icmp and packet.icmp_type in ICMP_ERRORS[packet.protocol]:
            # about a packet that nobody has sent, so that it belongs to no connection
            back, forth = packet.destination, packet.source
            quoted = Packet(family, back, forth, UDP, self.next_source_port, UNUSED_PORT)
            packet = replace(packet, quoted=quoted)
        elif packet.protocol not in PORT_PROTOCOLS:
            packet = replace(packet, icmp_id=number)
        if packet.protocol in PORT_PROTOCOLS:
            connection = _connection_of(packet)
            if connection in self._connections:
                return None
            self._connections.add(connection)
        state = state_of(packet)
        if self.judge.untracks(packet, way, state):
            state = ConnectionState.UNTRACKED
        arrived = self.judge.flow(packet, way, state, translated=False)
        try:
            new = self.nat.redirect(arrived, way)
        except LookupError:
            return None
        steered = self.steering.of_first(arrived, is_untracked=state is not state_of(packet))
        translated, routed = packet, self._routed(packet, way, steered)
        if new is not None:
            translated = replace(packet, destination=new.address, destination_port=new.port)
            if routed is not None or way.came_by is not None:
                # what this host sends was routed before, too
                routed = self._routed(translated, new.way, steered)
        if routed is None:
            return None
        way = routed
        if way.path is Path.LOOPBACK:
            # the bits that steer are cleared when it comes in
            steered = None
        expected = self.judge.expected(
            translated, way, state, translated=translated != packet, arrived=arrived
        )
        if not self.judge.counters.settle():
            return None
        probe = Probe(
            number,
            group,
            _described(packet, way),
            packet,
            way.path,
            PHASES[state],
            expected=expected,
            origin=origin,
            leaves_by=way.exit,
            steered=self.steering.mark(steered, is_answer=False, brought=packet.mark),
        )
        self.probes.append(probe)
        seen: Packet | None = translated
        if state is ConnectionState.NEW:
            seen = self._as_it_leaves(translated, way, redirected=translated != packet)
        return Staged(probe, way, seen, steered)

    def answer(self, staged: Staged) -> None:
        """The answer to an accepted first packet, and the packet that follows the answer.

        Nothing where the stage cannot hold the first packet's source.
        """
        first, way, seen = staged.probe, staged.way, staged.translated
        if first.phase is Phase.UNTRACKED or seen is None:
            # no connection knows of it, so that nothing is an answer
            return
        if self.policy.counts_every_packet:
            # answers are sent after all first packets, and would be counted among them
            return
        if seen.protocol == TCP and seen.tcp_flags != SYN:
            # it opens no connection, so that no answer begins one
            return
        back = way.reversed
        asker = first.packet.source
        if way.came_by is None and not self._is_here(asker):
            # the answer would go to whoever has that address
            return
        if way.came_by is not None:
            if not self._place_asker(asker, staged.steered, way.came_by):
                return
            link = self.steering.link(staged.steered, asker, way.came_by, is_answer=True)
            if link is None:
                return
            back = Way(way.leaves_by, link)
        is_tcp = seen.protocol == TCP
        answer_number = len(self.probes) + 1
        answer = replace(
            seen,
            source=seen.destination,
            destination=seen.source,
            source_port=seen.destination_port,
            destination_port=seen.source_port,
            tcp_flags=SYN | ACK if is_tcp else 0,
            tcp_acknowledgement=sequence_of(first.number) + 1 if is_tcp else 0,
            icmp_type=ECHO_ANSWER.get(seen.icmp_type, 0),
            in_interface=back.interfaces[0],
            mark=0,
            hardware=None,
            user=None,
            group=None,
        )
        answer = _completed(answer, back)
        steered = self.steering.mark(staged.steered, is_answer=True)
        self._follow(replace(first, steered=steered), "answer to ", answer, back, Phase.REPLY, 1)
        later = replace(
            first.packet,
            tcp_flags=ACK if is_tcp else 0,
            tcp_acknowledgement=sequence_of(answer_number) + 1 if is_tcp else 0,
        )
        self._follow(first, "after the answer: ", later, way, Phase.ESTABLISHED, 2)
        if way.path is Path.LOCAL_OUT and self.policy.steering.moves:
            brought = self.policy.steering.field.mask
            steered = self.steering.mark(staged.steered, is_answer=False, brought=brought)
            marked = replace(first, steered=steered)
            later = replace(later, mark=brought)
            self._follow(marked, "with another mark: ", later, way, Phase.ESTABLISHED, 3)

    def _routed(self, packet: Packet, way: Way, steered: Steered | None) -> Way | None:
        """The way that a packet takes as it is steered; None where the kernel refuses it, and a
        process is told so."""
        if way.leaves_by is None:
            return way
        link = self.steering.link(steered, packet.destination, way.leaves_by, is_answer=False)
        return None if link is None else Way(way.came_by, link)

    def _is_here(self, address: int) -> bool:
        """Whether this host's own packets to an address come back to it."""
        return address == LOOPBACK_ADDRESS[self.family] or self.layout.is_own(self.family, address)

    def _place_asker(self, address: int, steered: Steered | None, came_by: Link) -> bool:
        """Put an address where answers go to it; behind another link where a table of its own
        leads back, so that it is seen whether that table is taken."""
        if steered is not None and steered.table_of(is_answer=True):
            others = (link for link in self.layout.links if link is not came_by)
            if any(self.layout.place(self.family, address, link) for link in others):
                return True
        return self.layout.place(self.family, address, came_by)

    def _follow(
        self, first: Probe, what: str, packet: Packet, way: Way, phase: Phase, wave: int
    ) -> None:
        number = len(self.probes) + 1
        if number > MAX_PROBES:
            return
        state = ConnectionState.ESTABLISHED
        if self.judge.untracks(packet, way, state):
            state, phase = ConnectionState.UNTRACKED, Phase.UNTRACKED
        expected = self.judge.expected(packet, way, state, translated=False)
        self.probes.append(
            replace(
                first,
                number=number,
                what=f"{what}{first.what}",
                packet=packet,
                path=way.path,
                phase=phase,
                wave=wave,
                expected=expected,
                leaves_by=way.exit,
            )
        )

    def _end(self, link: Link | None, other: Link | None) -> int:
        if link is not None:
            return link.far(self.family)
        return LOOPBACK_ADDRESS[self.family] if other is None else other.near(self.family)

    def stage(self, destination: int, way: Way) -> bool:
        """Put a destination where its way leads; False where it already lies elsewhere."""
        if way.leaves_by is not None:
            return self.layout.place(self.family, destination, way.leaves_by)
        if way.came_by is None:
            return destination == LOOPBACK_ADDRESS[self.family]
        return self.layout.adopt(self.family, destination, way.came_by)

    def _as_it_leaves(self, packet: Packet, way: Way, *, redirected: bool) -> Packet | None:
        """The packet with the source that it gets, None where the kernel chooses that."""
        if way.leaves_by is None:
            return packet
        flow = self.judge.flow(packet, way, ConnectionState.NEW, translated=redirected)
        found = self.nat.leaving(flow, way.leaves_by)
        if found is None:
            return None
        return replace(packet, source=found[0], source_port=found[1])
