"""The packets of one family in a rehearsal: chosen before the change, and sent after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from netfw.apply.rehearsal import Check, Rehearsal, Topic
from netfw.apply.twin_packets import Shot, TwinPackets
from netfw.apply.twin_verdict import Fate, TwinVerdict
from netfw.compiler.compiled import Compiled
from netfw.host.live_facts import read_facts
from netfw.host.twin import Twin
from netfw.host.twin_stage import TwinStage
from netfw.ir.clock import Clock
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.policy.model import Policy
from netfw.traverse.packet import Packet
from netfw.verify.result import Result

_MOST_SAMPLES = 400
"""How many packets are sent for rules and for ways; assertions come besides."""
_PROTOCOLS = {Family.IPV4: {TCP, UDP, ICMP}, Family.IPV6: {TCP, UDP, ICMPV6}}
_LOST = "packets came out of the twin and were not seen"
_NO_REST = "the twin did not come to rest"


class TwinProbing:
    """Chooses packets for a policy when it is made."""

    def __init__(
        self, policy: Policy, compiled: Compiled, twin: Twin, family: Family, clock: Clock
    ) -> None:
        self.family = family
        self._twin, self._origins = twin, compiled.source_map
        self._policy = policy
        usable = [
            name
            for name, link in twin.links.items()
            if name in twin.cables and link.is_up and not link.master
        ]
        self._packets = TwinPackets(
            policy,
            compiled.rulesets[family],
            read_facts(twin.view, family),
            usable,
            clock,
        )
        self._shots: dict[int, Shot] = {}
        self._unshown: list[Check] = []
        self._choose()
        self._fates: dict[int, Fate] = {}
        self._rivals: dict[int, Fate] = {}
        self._problem = ""
        self._verdict: TwinVerdict | None = None

    def send(self) -> None:
        """Send the packets, when the change has been made, and read the rules as they are then."""
        if self._shots:
            packets = {number: shot.packet for number, shot in self._shots.items()}
            self._fates, self._problem = self._send(packets)
            self._verdict = TwinVerdict(self._twin, self.family, self._origins)

    def send_rivals(self) -> None:
        """Send those of which the policy does not speak, when nothing of ours is there."""
        rivals = {
            number: shot.rival for number, shot in self._shots.items() if shot.rival is not None
        }
        if rivals:
            self._rivals, problem = self._send(rivals)
            self._problem = self._problem or problem

    def check(self, rehearsal: Rehearsal) -> None:
        """Judge what became of all of them."""
        rehearsal.checks += self._unshown
        for number, shot in self._shots.items():
            if self._problem or self._verdict is None:
                topic = Topic.ASSERTION if shot.is_asserted else Topic.PACKET
                what = f"{shot.packet} ({shot.route})"
                rehearsal.add(topic, what, Result.INCONCLUSIVE, self._problem, shot.origin)
            else:
                rival = self._rivals.get(number)
                rehearsal.checks.append(self._verdict.judge(shot, self._fates[number], rival))

    def _choose(self) -> None:
        shots: list[Shot] = []
        for assertion in self._policy.assertions:
            if self.family not in assertion.families:
                continue
            those = self._packets.of_assertion(assertion)
            shots += those
            if not those:
                reason = (
                    f"no packet of {self.family} that it describes can come to be on this host"
                )
                origin = assertion.origin
                self._unshown.append(
                    Check(Topic.ASSERTION, origin.text, Result.INCONCLUSIVE, reason, origin)
                )
        samples: Iterator[Shot] = chain(self._packets.of_ways(), self._packets.of_rules())
        shots += islice(samples, _MOST_SAMPLES)
        # a second packet of a connection would show nothing: it goes the way of the first
        first = {_connection_of(shot.packet): shot for shot in reversed(shots)}
        kept = [shot for shot in shots if first[_connection_of(shot.packet)] is shot]
        self._shots = dict(enumerate(kept, start=1))

    def _send(self, packets: dict[int, Packet]) -> tuple[dict[int, Fate], str]:
        """What became of each; and what makes all of it doubtful, if anything."""
        numbered = {
            number: packet if packet.source_port else _numbered(packet, number)
            for number, packet in packets.items()
        }
        problem = ""
        with TwinStage(self._twin, self.family, _PROTOCOLS[self.family]) as stage:
            try:
                seen, refused = stage.send(numbered)
            except TimeoutError:
                return {}, _NO_REST
            if stage.lost:
                problem = f"{stage.lost} {_LOST}"
        found = {number: Fate(seen.get(number), refused.get(number, "")) for number in packets}
        return found, problem


def _connection_of(packet: Packet) -> object:
    ends = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    return packet.protocol, frozenset(ends)


def _numbered(packet: Packet, number: int) -> Packet:
    return replace(packet, icmp_id=number)
