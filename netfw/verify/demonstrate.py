"""Findings shown by packets: sent through a twin of the host, and followed there.

All conversations of all findings go at once, turn by turn: each packet carries a number, by which
it is known again in the trace. The host is only read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from netfw.doctor.finding import Finding
from netfw.doctor.findings import FINDINGS
from netfw.doctor.host_state import HostState
from netfw.doctor.probing import (
    Conversation,
    Demonstration,
    Demonstrations,
    NoProbing,
    Outcome,
    Probing,
    Turn,
)
from netfw.host.live_namespace import LiveNamespace
from netfw.host.packets import cookie_of
from netfw.host.sighting import Sighting
from netfw.host.twin import Twin
from netfw.host.twin_service import TwinService
from netfw.host.twin_stage import TwinStage
from netfw.ir.names import Family
from netfw.ir.protocols import TCP, UDP
from netfw.traverse.observed import ObservedEnd, ObservedPacket
from netfw.traverse.packet import ACK, PORT_PROTOCOLS, SYN, Packet
from netfw.traverse.packet_filter import PacketFilter
from netfw.verify.follow import Follower, Wish

_PATIENCE = 60.0
"""Seconds after which the trace ends by itself; it takes one or two."""
_POLL = 0.05
_NETWORK = {Family.IPV4: 20, Family.IPV6: 40}
"""Bytes of a network header."""
_FIRST_PORT = 40000
_MOST = 1000
"""How many conversations there are at most, for all findings together."""
_MOST_NUMBERS = 20000
_ECHO_REPLY = {8: 0, 128: 129}


@dataclass(slots=True)
class _Talk:
    """A conversation as it goes. ``problem`` says why it could not begin or go on."""

    conversation: Conversation
    sent: list[tuple[int, Packet]] = field(default_factory=list)
    left: Sighting | None = None
    """Where the last one that was sent came out of the twin."""
    seen: list[ObservedPacket] = field(default_factory=list)
    problem: str = ""

    @property
    def first(self) -> Packet:
        return self.conversation.packet


def demonstrate(
    host: LiveNamespace, state: HostState, findings: Sequence[Finding]
) -> Demonstrations:
    """Send packets for each finding through a twin of the host, and say what they show.

    Raises HostError where the host cannot be read, CapabilityError where no namespace can be made
    or packets may not be followed.
    """
    began = time.monotonic()
    probings = [FINDINGS[finding.code].probe(finding, state) for finding in findings]
    most = max(1, _MOST // max(1, len(findings)))
    talks = [
        [_Talk(one) for one in probing.conversations[:most]]
        if isinstance(probing, Probing)
        else []
        for probing in probings
    ]
    found: list[Demonstration] = []
    lacking: tuple[str, ...] = ()
    if not any(talks):
        for finding, probing in zip(findings, probings, strict=True):
            found.append(_without_packet(finding, probing))
        return Demonstrations(tuple(found), (), time.monotonic() - began)
    with Twin(host) as twin:
        lacking = tuple(each.what for each in twin.lacking)
        with _Round(twin) as sent:
            sent.hold([talk for those in talks for talk in those])
            lost = sent.lost
        for finding, probing, those in zip(findings, probings, talks, strict=True):
            if isinstance(probing, Probing) and those:
                found.append(_judge(finding, probing, those, twin, lost))
            else:
                found.append(_without_packet(finding, probing))
    return Demonstrations(tuple(found), lacking, time.monotonic() - began)


def _without_packet(finding: Finding, probing: Probing | NoProbing) -> Demonstration:
    why = "no packet is found that comes by these rules"
    if isinstance(probing, NoProbing):
        why = probing.why
    return Demonstration(finding, Outcome.NOT_PROBED, why)


def _judge(
    finding: Finding, probing: Probing, talks: Sequence[_Talk], twin: Twin, lost: int
) -> Demonstration:
    """What the conversations of a finding show: the first one that shows it is the one that is
    told, else the one that came furthest."""
    count = sum(len(talk.sent) for talk in talks)
    if lost:
        said = f"the kernel lost {lost} trace events"
        return Demonstration(finding, Outcome.INCONCLUSIVE, said, sent=count)
    judged = [(talk, probing.symptom.judge(talk.seen)) for talk in talks if talk.seen]
    if not judged:
        why = next((talk.problem for talk in talks if talk.problem), "nothing was seen of them")
        return Demonstration(finding, Outcome.INCONCLUSIVE, why, sent=count)
    shown = [pair for pair in judged if pair[1].shown]
    against = [pair for pair in judged if not pair[1].shown and pair[1].is_about_it]
    if shown and not (probing.every and against):
        outcome, (talk, verdict) = Outcome.SHOWN, shown[0]
    else:
        outcome, (talk, verdict) = Outcome.NOT_SHOWN, (against or judged)[0]
    said = verdict.said
    unsure = next((packet.unsure for packet in talk.seen if packet.unsure), "")
    doubts = _doubts(twin, talk)
    if unsure or doubts:
        saw = "the symptom was seen" if outcome is Outcome.SHOWN else "it was not seen"
        why = unsure or f"the twin lacks {'; '.join(doubts)}"
        outcome, said = Outcome.INCONCLUSIVE, f"{saw} ({said}), but {why}"
    return Demonstration(finding, outcome, said, tuple(talk.seen), count)


def _doubts(twin: Twin, talk: _Talk) -> tuple[str, ...]:
    """What the twin lacks on the way of a conversation."""
    passed = {talk.first.in_interface}
    for packet in talk.seen:
        if packet.packet is not None:
            passed.add(packet.packet.in_interface)
        if packet.end is ObservedEnd.SENT:
            passed.add(packet.detail)
    return twin.doubts(talk.first.family, *(name for name in passed if name))


class _Round:
    """Sends and follows; a context manager that leaves nothing behind."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self._stack = ExitStack()
        self._number = 0
        self._stages: dict[Family, TwinStage] = {}
        self._by_number: dict[int, _Talk] = {}
        self._services: dict[tuple[Family, int, int], TwinService] = {}
        wish = Wish(PacketFilter(), seconds=_PATIENCE, rate=0)
        self._follower = self._stack.enter_context(Follower(twin.view, wish))

    def __enter__(self) -> _Round:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(None, None, None)

    @property
    def lost(self) -> int:
        """How many trace events are missing."""
        return self._follower.lost

    def hold(self, talks: Sequence[_Talk]) -> None:
        """Let all conversations take place."""
        for talk in talks:
            if talk.conversation.then is Turn.OWN_ANSWER:
                self._listen(talk)
        self._send((talk, _first_of(talk, number)) for number, talk in enumerate(talks))
        self._send((talk, packet) for talk in talks if (packet := _next_of(talk)) is not None)

    def _send(self, packets: Iterable[tuple[_Talk, Packet]]) -> None:
        """Send one packet of each conversation, and wait for their ways' ends."""
        by_family: dict[Family, dict[int, Packet]] = {}
        for talk, packet in packets:
            if self._number >= _MOST_NUMBERS:
                talk.problem = "there are too many packets to send"
                continue
            self._number += 1
            number = self._number
            if packet.is_icmp and not packet.icmp_id:
                packet = replace(packet, icmp_id=number)
            by_family.setdefault(packet.family, {})[number] = packet
            self._by_number[number] = talk
            talk.sent.append((number, packet))
        for family, numbered in by_family.items():
            stage = self._stages.get(family)
            if stage is None:
                stage = TwinStage(self._twin, family, set())
                self._stages[family] = self._stack.enter_context(stage)
            try:
                came_out, refused = stage.send(numbered)
            except TimeoutError:
                came_out, refused = {}, dict.fromkeys(numbered, "the twin did not come to rest")
            for number in numbered:
                self._by_number[number].left = came_out.get(number)
            for number, why in refused.items():
                self._by_number[number].problem = f"it could not be sent: {why}"
        for service in self._services.values():
            service.answer()
        self._follow()

    def _follow(self) -> None:
        """Read until nothing is on its way any more, and give packets to their conversations."""
        answers: list[ObservedPacket] = []
        is_first = True
        while is_first or self._follower.is_on_the_way:
            is_first = False
            for packet in self._follower.poll(_POLL):
                number = _number_of(packet)
                talk = None if number is None else self._by_number.get(number)
                if talk is None:
                    answers.append(packet)
                elif number == talk.sent[-1][0]:
                    talk.seen.append(packet)
        for talk in self._by_number.values():
            if talk.conversation.then is Turn.OWN_ANSWER and len(talk.seen) == 1:
                talk.seen += [one for one in answers if _answers(one, talk)][:1]

    def _listen(self, talk: _Talk) -> None:
        """Have a service where a conversation wants one."""
        packet = talk.first
        where = packet.family, packet.protocol, packet.destination_port
        if packet.protocol not in (TCP, UDP) or where in self._services:
            return
        try:
            service = TwinService(self._twin, *where)
        except OSError as error:
            talk.problem = f"nothing can listen at port {where[2]}: {error.strerror}"
        else:
            self._services[where] = service
            self._stack.callback(service.close)


def _first_of(talk: _Talk, index: int) -> Packet:
    """The packet of a conversation, with a port of its own if it may have any."""
    packet = talk.first
    if packet.protocol in PORT_PROTOCOLS and not packet.source_port:
        return replace(packet, source_port=_FIRST_PORT + index % _MOST_NUMBERS)
    return packet


def _next_of(talk: _Talk) -> Packet | None:
    """What follows the first packet, as that went; None where nothing does."""
    then = talk.conversation.then
    if then not in (Turn.AGAIN, Turn.ANSWER) or not talk.seen:
        return None
    _, first = talk.sent[0]
    if then is Turn.AGAIN:
        return first
    if talk.left is None or not talk.left.interface:
        return None
    ends = talk.left.addressing
    return replace(
        first,
        source=ends.destination,
        destination=ends.source,
        source_port=ends.destination_port,
        destination_port=ends.source_port,
        in_interface=talk.left.interface,
        mark=0,
        tcp_flags=SYN | ACK if first.tcp_flags & SYN else first.tcp_flags,
        icmp_type=_ECHO_REPLY.get(first.icmp_type, first.icmp_type),
    )


def _number_of(packet: ObservedPacket) -> int | None:
    length = _NETWORK[packet.family]
    return cookie_of(packet.family, packet.headers[:length], packet.headers[length:])


def _answers(packet: ObservedPacket, talk: _Talk) -> bool:
    """Whether a packet of the host's own is the answer to a conversation's first one."""
    mine, first = packet.packet, talk.seen[0].packet
    if mine is None or first is None or mine.in_interface:
        return False
    return (mine.protocol, mine.source_port, mine.destination) == (
        first.protocol,
        first.destination_port,
        first.source,
    ) and mine.destination_port == first.source_port
