"""A packet of a trace at a spot of the host: whether it came there, with which mark, and how it
went on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfw.doctor.place import Spot, System
from netfw.doctor.probing import Seen, Verdict
from netfw.traverse.observed import ObservedPacket, ObservedStep, RoutingSeen

_BACKENDS = {
    System.IPTABLES_NFT: ("nft", True),
    System.NFTABLES: ("nft", False),
    System.IPTABLES_LEGACY: ("legacy", True),
}


@dataclass(frozen=True, slots=True)
class Met:
    """A packet at a rule or a routing rule: the mark that it came with, and whether it matched."""

    mark: int
    matched: bool


def step_at(packet: ObservedPacket, spot: Spot) -> ObservedStep | None:
    """The packet's step at a rule that it matched; None where it did not match it, or did not
    come there."""
    return next((step for step in packet.steps if is_at(step, spot)), None)


def is_at(step: ObservedStep, spot: Spot) -> bool:
    """Whether a step is at this rule."""
    return is_in(step, spot) and step.rule == spot.number


def is_in(step: ObservedStep, spot: Spot) -> bool:
    """Whether a step is in the chain of a rule."""
    return _BACKENDS.get(spot.system) == (step.backend, step.of_iptables) and (
        step.table,
        step.chain,
    ) == (spot.table, spot.chain)


def met(packet: ObservedPacket, spot: Spot) -> Met | None:
    """How the packet met a rule, or a routing rule; None where it never came by.

    A rule that does not match makes no event: the packet has come by where it matched a later
    rule of the chain, or came to its end.
    """
    if spot.system is System.ROUTING:
        return _met_routing(packet, spot)
    for step in packet.steps:
        if is_in(step, spot):
            if step.rule == spot.number:
                return Met(step.mark_before, True)
            if step.rule == 0 or step.rule > spot.number:
                return Met(step.mark_before, False)
    return None


def _met_routing(packet: ObservedPacket, spot: Spot) -> Met | None:
    words = routing_words(spot)
    found = None
    for seen in routings(packet):
        if f"{seen.rule} ".startswith(words):
            return Met(seen.mark, True)
        if any(rule.startswith(words) for rule in seen.passed_over):
            found = Met(seen.mark, False)
    return found


def routing_words(spot: Spot) -> str:
    """How a trace begins to name a routing rule."""
    return f"ip rule {spot.chain.removeprefix('preference ')} "


def routings(packet: ObservedPacket) -> Iterator[RoutingSeen]:
    """Where routing was asked for the packet's way."""
    return (entry for entry in packet.entries if isinstance(entry, RoutingSeen))


def mark_had(packet: ObservedPacket, bits: int) -> bool:
    """Whether the packet had all these bits at some time."""
    return any(mark & bits == bits for mark in packet.marks)


def how_it_ended(packets: Iterable[ObservedPacket]) -> str:
    """Where the last of some packets ended, and with which mark."""
    seen = list(packets)
    return f"{seen[-1].ending}, mark {seen[-1].mark:#x}" if seen else "nothing was seen of it"


def not_there(seen: Seen, spot: Spot) -> Verdict:
    """What is to be said of a packet that did not come by, or was not taken."""
    asked = met(seen.first, spot)
    said = f"it did not come by {spot}" if asked is None else at(spot, asked)
    return Verdict(False, f"{said}: {how_it_ended([seen.first])}", is_about_it=False)


def at(spot: Spot, asked: Met) -> str:
    """How a packet met a rule, in words."""
    did = "took it" if asked.matched else "did not take it"
    return f"{spot} {did}, with mark {asked.mark:#x}"
