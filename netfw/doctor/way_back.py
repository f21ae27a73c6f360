"""Marks by which answers would go back by the uplink that a request came by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.doctor.any_of import each_of
from netfw.doctor.asked import given_by
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Stage
from netfw.doctor.place import Way as PacketWay
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import Conversation, Turn
from netfw.doctor.steering import (
    bits_of,
    comes_back_by,
    is_ordinary,
    leaves_by,
    may_obey,
    routes_of,
    sample_of,
    steering_rules,
)
from netfw.ir.match import InterfaceMatch
from netfw.ir.match_header import Way
from netfw.traverse.routing_tables import TableRoute


def unmarked_ways_back(state: HostState) -> Iterator[tuple[RoutingRule, MarkUse, str]]:
    """Each mark of what comes in by an uplink that also is the way back of this mark, where
    nothing in OUTPUT gives it to answers: the rule that routes, who marks, and the uplink."""
    for one in steering_rules(state):
        if one.rule.in_interface not in ("", "lo") or one.rule.invert:
            continue
        if _is_marked_in_output(state, bits_of(one)):
            continue
        for writer in state.writers(Word.PACKET):
            name = comes_by(writer)
            if name and may_obey(writer, one) and is_way_back(state, one, name):
                yield one, writer, name
                break


def comes_by(writer: MarkUse) -> str:
    """The interface whose packets a writer at the entry is for; empty where it is for others."""
    if not any(where.stage in (Stage.PREROUTING, Stage.INGRESS) for where in writer.passages):
        return ""
    for match in each_of((*writer.matches, *writer.calls)):
        if isinstance(match, InterfaceMatch) and match.way is Way.IN and not match.negate:
            return match.name
    return ""


def is_way_back(state: HostState, one: RoutingRule, name: str) -> bool:
    """Whether the mark leads out by the interface, and without it packets leave by another."""
    for route in routes_of(state, one):
        if is_ordinary(route) and route.interface == name:
            other = leaves_by(state, one.rule.family, sample_of(route), 0)
            if other is not None and is_ordinary(other) and other.interface != name:
                return True
    return False


def _is_marked_in_output(state: HostState, bits: int) -> bool:
    return any(
        given_by(use, Word.PACKET) & bits
        and any(where.stage is Stage.OUTPUT for where in use.passages)
        for use in state.writers(Word.PACKET)
    )


def asked_from_afar(
    state: HostState, writer: MarkUse, one: RoutingRule, protocol: int, port: int = 0
) -> tuple[Conversation, ...]:
    """What comes in by the uplink from somewhere behind it, for this host, and is answered."""
    wanted = Wanted(
        (writer.spot,),
        ways=frozenset({PacketWay.TO_HOST}),
        family=one.rule.family,
        protocols=frozenset({protocol}),
        is_afar=True,
    )
    return tuple(
        Conversation(replace(each.packet, destination_port=port), Turn.OWN_ANSWER)
        for each in conversations(state, wanted)
        if each.packet.in_interface == comes_by(writer) and each.packet.protocol == protocol
    )


def other_way(state: HostState, one: RoutingRule, route: TableRoute) -> str | None:
    """The interface that a check of the way back names without the mark, instead of that of a
    route by which marked packets leave; None where it is the same."""
    assert one.rule.mark is not None
    mark = one.rule.mark.value & one.rule.mark.mask
    sample = sample_of(route)
    marked = leaves_by(state, one.rule.family, sample, mark)
    if marked is None or marked.interface != route.interface:
        return None
    back = comes_back_by(state, one.rule.family, sample, route.interface, 0)
    if back is None:
        return "no interface"
    return None if back.interface == route.interface else back.interface
