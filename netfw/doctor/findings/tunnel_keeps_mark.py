"""The outer packet of a tunnel carries the inner packet's mark, and is treated by it."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import asked_by, effects_on, set_by
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import Link, RoutingRule
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing, Scene
from netfw.doctor.steering import (
    TUNNELS_THAT_KEEP_MARKS,
    bits_of,
    is_ordinary,
    may_obey,
    routes_of,
    rule_at,
    sample_of,
    spot_of,
    steering_rules,
    tables_of,
)
from netfw.doctor.way_symptoms import CarrierTaken, WentRound
from netfw.ir.match import InterfaceMatch
from netfw.ir.match_header import Way
from netfw.ir.names import Family, TableName
from netfw.ir.target import Masquerade, Snat

CODE = "tunnel-keeps-mark"
TITLE = "the outer packet of a tunnel keeps the inner packet's mark"
EXPLANATION = """\
The kernel leaves the mark on a packet that it puts into a tunnel (VXLAN, Geneve, GRE, IPIP,
unless the device has a mark of its own). The outer packet then meets the same rules with the
same mark. Where the mark routes into the tunnel, the outer packet is routed into the tunnel
again: nothing is sent, and the device counts collisions. Where the mark asks for masquerading,
the outer packet is masqueraded too.

Take the mark off before the packet is wrapped: in mangle POSTROUTING, for what leaves by the
tunnel.
"""
_FEW = 3
"""How many packets are enough: each takes its time, since carriers cannot be told apart."""


def find(state: HostState) -> Iterator[Finding]:
    """Each routing rule that leads everything into such a tunnel; each nat rule by mark beside "
    "one."""
    tunnels = {
        link.name: link
        for link in state.links
        if link.kind in TUNNELS_THAT_KEEP_MARKS and not link.mark and link.is_up
    }
    if not tunnels:
        return
    for one in steering_rules(state):
        for route in routes_of(state, one):
            link = tunnels.get(route.interface)
            if link is None or not is_ordinary(route) or route.destination.mask or one.rule.invert:
                continue
            writers = [use for use in state.writers(Word.PACKET) if may_obey(use, one)]
            if writers and not _is_cleared(state, bits_of(one), link.name):
                yield _circle(one, link, writers)
                break
    yield from _translated(state, tunnels)


def _is_cleared(state: HostState, bits: int, tunnel: str) -> bool:
    """Whether what leaves by the tunnel has the bits taken off in POSTROUTING."""
    for use in state.writers(Word.PACKET):
        if not any(where.stage is Stage.POSTROUTING for where in use.passages):
            continue
        sees_it = not exclude((*use.matches, *use.calls), (InterfaceMatch(Way.OUT, tunnel),))
        if sees_it and any(
            bits & (one.clears | one.toggles) == bits for one in effects_on(use, Word.PACKET)
        ):
            return True
    return False


def _circle(one: RoutingRule, link: Link, writers: list[MarkUse]) -> Finding:
    bits = bits_of(one)
    counted = f"; {link.name} counts {link.collisions} collisions" if link.collisions else ""
    device = Spot(System.DEVICE, None, link.kind, link.name, text=f"{link.kind} {link.name}")
    return Finding(
        CODE,
        Severity.ERROR,
        f"{spot_of(one)} routes mark {bits:#x} into {link.kind} {link.name}, whose outer packets "
        f"keep the mark, and nothing takes it off{counted}",
        (spot_of(one), device, writers[0].spot),
        "the outer packet is routed by the same mark into the same tunnel: nothing is sent",
        (f"iptables -t mangle -A POSTROUTING -o {link.name} -j MARK --set-xmark 0x0/{bits:#x}",),
    )


def _translated(state: HostState, tunnels: dict[str, Link]) -> Iterator[Finding]:
    for use in state.readers(Word.PACKET):
        bits = asked_by(use, Word.PACKET)
        if not bits or not use.is_first_only or not _translates(state, use):
            continue
        if not any(where.stage is Stage.POSTROUTING for where in use.passages):
            continue
        for name, link in tunnels.items():
            if not _is_cleared(state, bits, name):
                device = Spot(System.DEVICE, None, link.kind, name, text=f"{link.kind} {name}")
                yield Finding(
                    CODE,
                    Severity.WARNING,
                    f"{use.spot} translates packets with mark {bits:#x}, and those that "
                    f"{link.kind} {name} wraps keep the mark",
                    (use.spot, device),
                    "the outer packet is translated a second time: checksums or ports may be "
                    "wrong",
                    (
                        f"iptables -t mangle -A POSTROUTING -o {name} -j MARK --set-xmark "
                        f"0x0/{bits:#x}, or clear the mark in the rule before this one",
                    ),
                )
                return


def _translates(state: HostState, use: MarkUse) -> bool:
    """Whether the rule of a use gives packets another source."""
    for held in state.rules:
        if System.of_backend(held.backend) is use.spot.system and held.family is use.spot.family:
            table = held.ruleset.table(TableName.NAT)
            chain = None if table is None else table.find_chain(use.spot.chain)
            if chain is not None and use.spot.number <= len(chain.rules):
                return isinstance(chain.rule(use.spot.number).target, Masquerade | Snat)
    return "masquerade" in use.spot.text or "snat" in use.spot.text


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet with the mark that leaves by the tunnel, and the one that carries it."""
    spot, device, *writers = finding.evidence
    one = rule_at(state, spot)
    if one is not None:
        found = conversations(state, Wanted(tuple(writers), one))
        symptom = WentRound(device.chain, bits_of(one))
        return Probing(found[:_FEW], symptom, scene=Scene.TUNNELS)
    reader = state.use_at(spot)
    bits = 0 if reader is None else asked_by(reader, Word.PACKET)
    setters = [use for use in state.writers(Word.PACKET) if set_by(use, Word.PACKET) & bits]
    inside = [
        sample_of(route)
        for routes in tables_of(state, spot.family or Family.IPV4).routes.values()
        for route in routes
        if route.interface == device.chain and is_ordinary(route)
    ]
    found = tuple(
        conversation
        for use in setters[:_FEW]
        for to in (*inside[:_FEW], None)
        for conversation in conversations(state, Wanted((use.spot,), to=to))[:_FEW]
    )
    return Probing(found, CarrierTaken(spot, bits), scene=Scene.TUNNELS)
