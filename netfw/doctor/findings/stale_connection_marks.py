"""Connections carry marks that no rule sets any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.doctor.asked import effects_on, given_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import ConnectionMarks
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import Conversation, NoProbing, Probing, Turn
from netfw.doctor.steering import leaves_by
from netfw.doctor.symptoms import OldMarkBack
from netfw.ir.mark import MAX_MARK
from netfw.traverse.notation import NotationError, parse_packet
from netfw.traverse.routing_tables import RouteKind

CODE = "stale-connection-marks"
TITLE = "connections keep a mark that no rule sets any more"
EXPLANATION = """\
A mark that is decided when a connection begins and restored from conntrack afterwards outlives
the rule that set it: after a change of the policy or of the uplink, connections that are there
keep the old mark, and with it the old way, until their entry in conntrack is gone.

Delete the entries with that mark: 'conntrack -D -m VALUE/MASK'. Their next packet is decided
anew.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each connection mark that the rules of now cannot have set, where rules ask for it."""
    readers = state.readers(Word.CONNECTION)
    writers = state.writers(Word.CONNECTION)
    for one in state.connections:
        asking = [use for use in readers if use.read(Word.CONNECTION) & one.mark]
        if one.mark and asking and not _may_be_set(state, writers, one.mark):
            yield _finding(one, asking[0], writers)


def _may_be_set(state: HostState, writers: tuple[MarkUse, ...], mark: int) -> bool:
    """Whether the writers of now, together, may leave this mark on a connection."""
    constants = set()
    bits = 0
    is_exact = True
    masks = set()
    for writer in writers:
        for effect in effects_on(writer, Word.CONNECTION):
            if effect.opaque:
                return True
            if effect.mixed:
                is_exact = False
                bits |= effect.mixed & _packet_bits(state)
            bits |= effect.xor
            constants.add(effect.xor)
            masks.add(effect.keep)
    if mark & ~bits:
        return False
    return not is_exact or len(masks) != 1 or mark & ~masks.pop() in constants


def _packet_bits(state: HostState) -> int:
    bits = 0
    for writer in state.writers(Word.PACKET):
        if any(effect.mixed for effect in effects_on(writer, Word.PACKET)):
            continue
        bits |= given_by(writer, Word.PACKET)
    # programs that are gone may have marked their sockets
    return bits or MAX_MARK


def _finding(one: ConnectionMarks, reader: MarkUse, writers: tuple[MarkUse, ...]) -> Finding:
    spot = Spot(
        System.CONNTRACK, one.family, text=f"{one.count} with mark {one.mark:#x}: {one.example}"
    )
    return Finding(
        CODE,
        Severity.WARNING,
        f"{one.count} connection{'s have' if one.count > 1 else ' has'} mark {one.mark:#x}, which "
        f"no rule sets any more, and {reader.spot} asks for it",
        (spot, reader.spot, *(use.spot for use in writers[:1])),
        "their packets get the old mark back and keep the old way; only new connections follow "
        "the "
        "rules of now",
        (f"conntrack -D -m {one.mark:#x}/{one.mark | reader.read(Word.CONNECTION):#x}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of such a connection, and one of a new connection like it."""
    connection, spot = finding.evidence[:2]
    reader = state.use_at(spot)
    one = next((one for one in state.connections if one.example in connection.text), None)
    if reader is None or one is None:
        return NoProbing("what it is about is not there any more")
    if not any(effect.mixed for effect in effects_on(reader, Word.PACKET)):
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    try:
        packet = parse_packet(one.example).packet
    except NotationError:
        return NoProbing("its connection is of a protocol that netfw cannot send")
    route = leaves_by(state, one.family, packet.source, 0)
    if route is None:
        return NoProbing("nobody knows by which interface its packets come")
    came_by = "" if route.kind is RouteKind.LOCAL else route.interface
    packet = replace(packet, in_interface=came_by)
    found = (Conversation(packet, Turn.ANEW, is_known=True),)
    return Probing(found, OldMarkBack(spot, one.mark))
