"""Packets of a WireGuard tunnel are routed into the tunnel itself, since they lack the mark."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import Link, RoutingRule
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing
from netfw.doctor.steering import is_ordinary, routes_of, spot_of
from netfw.ir.mark import MaskedWord
from netfw.traverse.routing_tables import RouteKind

CODE = "wireguard-unmarked"
TITLE = "WireGuard's own packets lack the mark that keeps them out of the tunnel"
EXPLANATION = """\
A tunnel for everything has a rule 'not fwmark N lookup T', with a default route by the tunnel in
T: the tunnel's own packets carry N and take the real uplink. 'wg set IF fwmark N' gives it to
them. Where the device says 'fwmark off' (a script asked 'wg show IF fwmark' before it was set,
or the interface was made anew) or has another number, they are routed into the tunnel again, and
the handshake never leaves the host. A kill switch that lets packets with the mark pass drops
them all.

Give the device the mark that the rule asks for.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each such rule whose default route leads into a WireGuard device with another mark."""
    devices = {link.name: link for link in state.links if link.kind == "wireguard"}
    for one in state.routing_rules:
        mark = one.rule.mark
        if mark is None or not one.rule.invert or one.rule.kind is not RouteKind.UNICAST:
            continue
        if one.rule.in_interface or not mark.value & mark.mask:
            continue
        for route in routes_of(state, one):
            link = devices.get(route.interface)
            if link is None or not is_ordinary(route) or route.destination.mask or not link.is_up:
                continue
            if (link.mark ^ mark.value) & mark.mask and not _is_marked(state, mark):
                yield _finding(one, mark, link)
                break


def _is_marked(state: HostState, mark: MaskedWord) -> bool:
    """Whether a rule in OUTPUT or another program's socket may give packets the mark."""
    return any(_gives(use, mark) for use in state.writers(Word.PACKET))


def _gives(use: MarkUse, mark: MaskedWord) -> bool:
    wanted = mark.value & mark.mask
    return use.spot.system not in (System.DEVICE, System.SOCKET) and any(
        effect.word is Word.PACKET and effect.may_set & wanted == wanted and not effect.mixed
        for effect in use.effects
    )


def _finding(one: RoutingRule, mark: MaskedWord, link: Link) -> Finding:
    has = f"mark {link.mark:#x}" if link.mark else "no mark (fwmark off)"
    device = Spot(System.DEVICE, None, link.kind, link.name, text=f"wireguard {link.name}: {has}")
    return Finding(
        CODE,
        Severity.ERROR,
        f"{spot_of(one)} leads all packets without mark {mark} into {link.name}, and {link.name} "
        f"gives its own packets {has}",
        (device, spot_of(one)),
        f"the packets of the tunnel are routed into {link.name} again: the handshake never leaves "
        "this host",
        (f"wg set {link.name} fwmark {mark.value:#x}",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("a twin has no tunnel: each interface is a cable of its own there")
