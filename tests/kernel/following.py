"""A trace of a router between two far ends: packets go in, timelines come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from netfw.host.inject import LocalSender
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.packets import PacketBuilder
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from netfw.ir.origin import Origin
from netfw.traverse.observed import ObservedPacket, ObservedStep, OutsideChange, RoutingSeen
from netfw.traverse.packet import Packet
from netfw.traverse.packet_filter import PacketFilter, parse_filter
from netfw.verify.follow import Follower, Wish
from tests.kernel.router import Router

SYSCTL = "net/netfilter/nf_log"
_builder = PacketBuilder()


def follow(
    router: Router,
    packets: Sequence[Packet],
    wanted: str | PacketFilter = "udp",
    *,
    origin_of: Callable[[str], Origin | None] = lambda _: None,
    **wish: object,
) -> list[ObservedPacket]:
    """Send packets while they are followed; the timelines of those that the wish means."""
    packet_filter = parse_filter(wanted) if isinstance(wanted, str) else wanted
    made = Wish(packet_filter, count=len(packets), seconds=3.0)
    made = replace(made, **wish)  # type: ignore[arg-type]
    with LiveNamespace(router.box.path) as live, Follower(live, made, origin_of) as follower:
        for number, packet in enumerate(packets, start=1):
            send(router, packet, number)
        return list(follower.packets())


def send(router: Router, packet: Packet, number: int = 1) -> None:
    """Send a packet by the link that it comes in by, or from the router itself."""
    data = _builder.build(packet, number)
    if packet.in_interface:
        getattr(router, packet.in_interface).send(packet.family, data)
        return
    sender = LocalSender(router.box, packet.family)
    try:
        sender.send(data, packet.destination, packet.mark)
    finally:
        sender.close()


def load(router: Router, backend: Backend, family: Family, text: str) -> None:
    """Load rules as iptables-restore takes them."""
    restore(router.box, backend, family, text)


def nft(router: Router, text: str) -> None:
    """Load rules as nft takes them."""
    run(["nft", "-f", "-"], stdin=text, namespace=router.box)


def tables_of(router: Router) -> str:
    """The tables of nf_tables."""
    return run(["nft", "list", "tables"], namespace=router.box).stdout


def step_with(packet: ObservedPacket, words: str) -> ObservedStep:
    """The one step whose rule says these words."""
    (found,) = [step for step in packet.steps if words in step.text]
    return found


def changes(packet: ObservedPacket) -> list[tuple[int, int, str]]:
    """Every change of the mark, and the rule that made it (empty: nobody that was seen)."""
    found = []
    for entry in packet.entries:
        if isinstance(entry, RoutingSeen) or entry.mark_before == entry.mark_after:
            continue
        by = "" if isinstance(entry, OutsideChange) else entry.place
        found.append((entry.mark_before, entry.mark_after, by))
    return found


def routings(packet: ObservedPacket) -> list[RoutingSeen]:
    """What routing did."""
    return [entry for entry in packet.entries if isinstance(entry, RoutingSeen)]
