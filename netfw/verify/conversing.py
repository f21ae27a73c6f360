"""Conversations through a twin: what is sent, what follows it, and what is seen of all of it.

Conversations go at once, turn by turn: each packet carries a number, by which it is known again
in the trace. Through a tunnel they go one by one, since the packets that carry others have none.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Self

from netfw.doctor.probing import Conversation, Seen, Turn
from netfw.host.live_namespace import LiveNamespace
from netfw.host.packets import cookie_of
from netfw.host.sighting import Sighting
from netfw.host.twin import Twin
from netfw.host.twin_connections import copy_connection
from netfw.host.twin_devices import collisions
from netfw.host.twin_service import TwinService
from netfw.host.twin_stage import TwinStage
from netfw.ir.names import Family
from netfw.ir.protocols import TCP, UDP
from netfw.traverse.observed import ObservedPacket
from netfw.traverse.packet import ACK, PORT_PROTOCOLS, SYN, Packet
from netfw.traverse.packet_filter import PacketFilter
from netfw.traverse.routing_tables import is_multicast
from netfw.verify.follow import Follower, Wish

_PATIENCE = 600.0
"""Seconds after which the trace ends by itself; mostly it takes one or two."""
_POLL = 0.05
_NETWORK = {Family.IPV4: 20, Family.IPV6: 40}
"""Bytes of a network header."""
_FIRST_PORT, _FIRST_NEW_PORT, _PORTS = 40000, 60000, 5000
_MOST_NUMBERS = 20000
_ECHO_REPLY = {8: 0, 128: 129}


@dataclass(slots=True)
class Talk:
    """A conversation as it goes. ``problem`` says why it could not begin or go on; ``is_void``
    that the host has nothing of what it is about."""

    conversation: Conversation
    sent: list[tuple[int, Packet]] = field(default_factory=list)
    left: Sighting | None = None
    """Where the last one that was sent came out of the twin."""
    packets: list[ObservedPacket] = field(default_factory=list)
    further: list[ObservedPacket] = field(default_factory=list)
    collided: tuple[str, ...] = ()
    problem: str = ""
    is_void: bool = False

    @property
    def first(self) -> Packet:
        """The packet with which it begins."""
        return self.conversation.packet

    @property
    def seen(self) -> Seen:
        """What was seen of it."""
        came_out = "" if self.left is None else self.left.interface
        return Seen(tuple(self.packets), came_out, tuple(self.further), self.collided)


class Conversing:
    """Lets conversations take place in a twin of a host; a context manager that leaves nothing
    behind. Raises CapabilityError where packets may not be followed."""

    def __init__(self, host: LiveNamespace, twin: Twin) -> None:
        self._host, self._twin = host, twin
        self._stack = ExitStack()
        self._number = 0
        self._stages: dict[Family, TwinStage] = {}
        self._by_number: dict[int, Talk] = {}
        self._services: dict[tuple[Family, int, int], TwinService] = {}
        wish = Wish(PacketFilter(), seconds=_PATIENCE, rate=0)
        self._follower = self._stack.enter_context(Follower(twin.view, wish))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(None, None, None)

    @property
    def lost(self) -> int:
        """How many trace events are missing."""
        return self._follower.lost

    def hold(self, talks: Sequence[Talk]) -> None:
        """Let all conversations take place."""
        tunnels = self._twin.devices.keys() - self._twin.bridges
        batches = [[talk] for talk in talks] if tunnels else [talks]
        for number, batch in enumerate(batches):
            before = collisions(self._twin.namespace, tunnels) if tunnels else {}
            self._hold(batch, number)
            for talk in batch if tunnels else ():
                after = collisions(self._twin.namespace, tunnels)
                talk.collided = tuple(name for name in after if after[name] > before.get(name, 0))

    def _hold(self, talks: Sequence[Talk], begin: int) -> None:
        for talk in talks:
            if talk.conversation.then is Turn.OWN_ANSWER:
                self._listen(talk)
            if talk.conversation.is_known:
                self._make_known(talk)
        self._send(
            (talk, _first_of(talk, begin + number))
            for number, talk in enumerate(talks)
            if not talk.problem
        )
        self._send((talk, packet) for talk in talks if (packet := _next_of(talk)) is not None)

    def _make_known(self, talk: Talk) -> None:
        """Give the twin the connection that the host has."""
        try:
            talk.is_void = not copy_connection(self._host, self._twin.namespace, talk.first)
        except OSError as error:
            talk.problem = f"its connection cannot be copied: {error.strerror}"
        if talk.is_void:
            talk.problem = f"the host has no such connection any more ({talk.first})"

    def _send(self, packets: Iterable[tuple[Talk, Packet]]) -> None:
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
        if by_family:
            numbers = [number for those in by_family.values() for number in those]
            self._follow([self._by_number[number] for number in numbers])

    def _follow(self, talks: Sequence[Talk]) -> None:
        """Read until nothing is on its way any more, and give packets to their conversations."""
        answers: list[ObservedPacket] = []
        until = time.monotonic() + _POLL
        while time.monotonic() < until or self._follower.is_on_the_way:
            for packet in self._follower.poll(_POLL):
                number = _number_of(packet)
                talk = None if number is None else self._by_number.get(number)
                if talk is None:
                    answers.append(packet)
                elif number == talk.sent[-1][0]:
                    talk.packets.append(packet)
        for talk in talks:
            if talk.conversation.then is Turn.OWN_ANSWER and len(talk.packets) == 1:
                talk.packets += [one for one in answers if _answers(one, talk)][:1]
            if len(talks) == 1:
                talk.further += [one for one in answers if not _is_noise(one)]

    def _listen(self, talk: Talk) -> None:
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


def _first_of(talk: Talk, index: int) -> Packet:
    """The packet of a conversation, with a port of its own if it may have any."""
    packet = talk.first
    if packet.protocol in PORT_PROTOCOLS and not packet.source_port:
        return replace(packet, source_port=_FIRST_PORT + index % _MOST_NUMBERS)
    return packet


def _next_of(talk: Talk) -> Packet | None:
    """What follows the first packet, as that went; None where nothing does."""
    then = talk.conversation.then
    if then not in (Turn.AGAIN, Turn.ANEW, Turn.ANSWER) or not talk.packets:
        return None
    _, first = talk.sent[0]
    if then is Turn.AGAIN:
        return first
    if then is Turn.ANEW:
        port = _FIRST_NEW_PORT + talk.sent[0][0] % _PORTS if first.source_port else 0
        flags = SYN if first.protocol == TCP else 0
        return replace(first, source_port=port, icmp_id=0, tcp_flags=flags)
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


def _is_noise(packet: ObservedPacket) -> bool:
    """Whether a packet is what a link that has just come up tells to groups."""
    mine = packet.packet
    return mine is None or is_multicast(mine.family, mine.destination)


def _answers(packet: ObservedPacket, talk: Talk) -> bool:
    """Whether a packet of the host's own is the answer to a conversation's first one."""
    mine, first = packet.packet, talk.packets[0].packet
    if mine is None or first is None or mine.in_interface:
        return False
    return (mine.protocol, mine.source_port, mine.destination) == (
        first.protocol,
        first.destination_port,
        first.source,
    ) and mine.destination_port == first.source_port
