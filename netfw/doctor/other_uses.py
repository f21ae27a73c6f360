"""What reads or writes marks besides rules: routing, sockets, devices, IPsec, tc, eBPF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netfw.doctor.mark_use import MarkEffect, MarkTest, MarkUse, Word
from netfw.doctor.place import REROUTING_PRIORITY, Passage, Spot, Stage, System
from netfw.ir.mark import MAX_MARK, MaskedWord

if TYPE_CHECKING:
    from netfw.doctor.host_state import HostState

ROUTING_PASSAGES = (
    Passage(Stage.ROUTING),
    Passage(Stage.OUTPUT_ROUTING),
    Passage(Stage.OUTPUT, REROUTING_PRIORITY, "rerouting"),
)
"""When routing rules are asked."""
_FROM_SOCKET = (Passage(Stage.SOCKET),)
_TO_SERVERS = (Passage(Stage.INPUT, 99, "IPVS"), Passage(Stage.OUTPUT, -98, "IPVS"))
"""When IPVS looks for a service: NF_IP_PRI_NAT_SRC - 1, NF_IP_PRI_NAT_DST + 2 (ip_vs_core.c)."""
_TC_STAGES = {"ingress": Stage.INGRESS, "egress": Stage.EGRESS}


def other_uses(state: HostState) -> Iterator[MarkUse]:
    """Every use that is no rule of netfilter."""
    yield from _routing(state)
    yield from _sockets(state)
    yield from _devices(state)
    yield from _transforms(state)
    yield from _traffic_control(state)
    yield from _programs(state)
    yield from _virtual_servers(state)


def _routing(state: HostState) -> Iterator[MarkUse]:
    for one in state.routing_rules:
        rule = one.rule
        if rule.mark is None:
            continue
        spot = Spot(
            System.ROUTING,
            rule.family,
            f"table {rule.table}",
            f"preference {rule.preference}",
            text=one.text,
        )
        test = MarkTest(
            Word.PACKET, rule.mark.mask, rule.mark.value, rule.invert, ignores_outside=True
        )
        yield MarkUse(spot, ROUTING_PASSAGES, (test,))


def _sockets(state: HostState) -> Iterator[MarkUse]:
    """Sockets of one program with one mark are one use."""
    marked = Counter(
        (one.owner, one.mark, one.protocol, one.family) for one in state.sockets if one.mark
    )
    for (owner, mark, protocol, family), count in marked.items():
        who = owner or "a program that is not seen"
        text = f"{who}: {count} {protocol} socket{'s' if count > 1 else ''} with mark {mark:#x}"
        spot = Spot(System.SOCKET, family, protocol, who, text=text)
        effect = MarkEffect.set_word(Word.PACKET, MaskedWord(mark, MAX_MARK))
        yield MarkUse(spot, _FROM_SOCKET, effects=(effect,), owner=owner)


def _devices(state: HostState) -> Iterator[MarkUse]:
    for link in state.links:
        if not link.mark:
            continue
        text = f"{link.kind} {link.name} gives its outer packets mark {link.mark:#x}"
        effect = MarkEffect.set_word(Word.PACKET, MaskedWord(link.mark, MAX_MARK))
        spot = Spot(System.DEVICE, None, link.kind, link.name, text=text)
        yield MarkUse(spot, _FROM_SOCKET, effects=(effect,), owner=link.kind)


def _transforms(state: HostState) -> Iterator[MarkUse]:
    passages = (Passage(Stage.ROUTING), Passage(Stage.OUTPUT_ROUTING), Passage(Stage.POSTROUTING))
    for one in state.transforms:
        tests: tuple[MarkTest, ...] = ()
        if one.mark is not None:
            tests = (MarkTest(Word.PACKET, one.mark.mask, one.mark.value),)
        effects: tuple[MarkEffect, ...] = ()
        if one.sets is not None:
            effects = (MarkEffect.set_word(Word.PACKET, one.sets),)
        if tests or effects:
            yield MarkUse(
                Spot(System.XFRM, None, one.kind, text=one.text), passages, tests, effects
            )


def _traffic_control(state: HostState) -> Iterator[MarkUse]:
    for one in state.traffic_control:
        if one.tests or one.effects:
            spot = Spot(System.TC, None, one.device, f"{one.side} {one.kind}", text=one.text)
            yield MarkUse(spot, (Passage(_TC_STAGES[one.side]),), one.tests, one.effects)


def _programs(state: HostState) -> Iterator[MarkUse]:
    for one in state.programs:
        side = next((stage for word, stage in _TC_STAGES.items() if word in one.where), None)
        spot = Spot(System.BPF, None, one.where, one.name, text=f"{one.kind} {one.name}".strip())
        effect = MarkEffect.any_value(Word.PACKET, MAX_MARK, "eBPF: what it does is not known")
        yield MarkUse(spot, (Passage(side or Stage.SOCKET),), effects=(effect,))


def _virtual_servers(state: HostState) -> Iterator[MarkUse]:
    for mark in state.virtual_servers:
        spot = Spot(System.IPVS, None, "service", f"FWM {mark}", text=f"ipvsadm: FWM {mark}")
        yield MarkUse(spot, _TO_SERVERS, (MarkTest(Word.PACKET, MAX_MARK, mark),))
