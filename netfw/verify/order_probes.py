"""Probes for the documented order alone: every path in every phase of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from netfw.ir.mark import Mark
from netfw.ir.match import (
    AddressMatch,
    CommentMatch,
    ConnectionState,
    ConntrackMatch,
    PortRange,
    Ports,
    ProtocolMatch,
    Side,
    UdpMatch,
)
from netfw.ir.names import BUILTIN_CHAINS, OWN_COMMENT_PREFIX, ChainPolicy, Family, Hook, TableName
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, UDP
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table
from netfw.ir.target import Ct, NoTarget, SetMark
from netfw.traverse.packet import ACK, SYN, Packet
from netfw.traverse.situation import Path, Phase
from netfw.verify.layout import Layout, Link
from netfw.verify.probe import Probe

CLIENT, SERVER = "eth0", "eth1"
UNTRACKED_PORT = 7
"""Packets to or from this UDP port are not tracked on the stage."""
_SERVICE_PORT = 9000
_ECHO = {Family.IPV4: (8, 0), Family.IPV6: (128, 129)}
_UNREACHABLE = {Family.IPV4: (3, 1), Family.IPV6: (1, 3)}
_LOOPBACK = {Family.IPV4: 0x7F000001, Family.IPV6: 1}


def order_layout() -> Layout:
    """A router between a client and a server."""
    return Layout.of_interfaces((CLIENT, SERVER))


def order_ruleset(family: Family, *, conntrack: bool) -> Ruleset:
    """Every table with every built-in chain; each chain sets one bit of the mark.

    So the mark at the end says which chains the packet really met, whatever the trace says.
    With ``conntrack`` a rule that no packet meets switches connection tracking on, and one in
    raw takes some packets out of it.
    """
    tables = []
    bit = 0
    for name, hooks in BUILTIN_CHAINS.items():
        chains = []
        for hook in hooks:
            rules = []
            if conntrack and name is TableName.RAW:
                rules += [_untracked(side) for side in Side]
            if conntrack and name is TableName.FILTER and hook is Hook.FORWARD:
                rules.append(_switch(family))
            mark = Mark(1 << bit, 1 << bit)
            rules.append(Rule((_comment(f"{name}.{hook}"),), SetMark(mark)))
            bit += 1
            chains.append(Chain(hook.value, tuple(rules), ChainPolicy.ACCEPT))
        tables.append(Table(name, tuple(chains)))
    return Ruleset(family, tuple(tables))


def _comment(text: str) -> CommentMatch:
    return CommentMatch(f"{OWN_COMMENT_PREFIX}order/{text}")


def _switch(family: Family) -> Rule:
    nowhere = Net(family, 0, (1 << family.bits) - 1)
    return Rule(
        (
            AddressMatch(Side.DESTINATION, nowhere),
            ConntrackMatch(frozenset({ConnectionState.INVALID})),
            _comment("conntrack"),
        ),
        NoTarget(),
    )


def _untracked(side: Side) -> Rule:
    ports = Ports(PortRange(UNTRACKED_PORT, UNTRACKED_PORT))
    match = UdpMatch(source=ports) if side is Side.SOURCE else UdpMatch(destination=ports)
    return Rule((ProtocolMatch(UDP), match, _comment("untracked")), Ct(notrack=True))


@dataclass(frozen=True, slots=True)
class _Ends:
    """Who talks to whom: addresses, and the interfaces by which each side's packets come in."""

    near: int
    far: int
    from_near: str
    from_far: str
    path_from_near: Path
    path_from_far: Path


def order_probes(family: Family, layout: Layout, *, conntrack: bool) -> list[Probe]:
    """All scenarios: with conntrack every phase on every path, without it every path."""
    sketches: list[Probe] = []
    for ends in _all_ends(family, layout.link(CLIENT), layout.link(SERVER)):
        if conntrack:
            sketches += _tracked_scenarios(family, ends)
        else:
            sketches += _plain_scenarios(family, ends)
    return [replace(probe, number=number) for number, probe in enumerate(sketches, start=1)]


def _all_ends(family: Family, client: Link, server: Link) -> Iterator[_Ends]:
    here, there = client.far(family), server.far(family)
    yield _Ends(here, there, client.interface, server.interface, Path.FORWARDED, Path.FORWARDED)
    router = client.near(family)
    yield _Ends(here, router, client.interface, "", Path.LOCAL_IN, Path.LOCAL_OUT)
    router = server.near(family)
    yield _Ends(router, there, "", server.interface, Path.LOCAL_OUT, Path.LOCAL_IN)
    lo = _LOOPBACK[family]
    yield _Ends(lo, lo, "", "", Path.LOOPBACK, Path.LOOPBACK)


def _firsts(family: Family, ends: _Ends) -> Iterator[tuple[str, Packet]]:
    base = Packet(family, ends.near, ends.far, UDP, in_interface=ends.from_near)
    yield "udp", replace(base, source_port=20001, destination_port=_SERVICE_PORT)
    yield (
        "tcp syn",
        replace(
            base,
            protocol=TCP,
            source_port=20002,
            destination_port=_SERVICE_PORT,
            tcp_flags=SYN,
        ),
    )
    yield (
        "echo request",
        replace(
            base,
            protocol=ICMP if family is Family.IPV4 else ICMPV6,
            icmp_type=_ECHO[family][0],
            icmp_id=20003,
        ),
    )


def _plain_scenarios(family: Family, ends: _Ends) -> Iterator[Probe]:
    group = f"{ends.path_from_near.value}, {Phase.NO_CONNTRACK.value}"
    for what, packet in _firsts(family, ends):
        yield Probe(1, group, what, packet, ends.path_from_near, Phase.NO_CONNTRACK)


def _tracked_scenarios(family: Family, ends: _Ends) -> Iterator[Probe]:
    there, back = ends.path_from_near, ends.path_from_far
    for what, packet in _firsts(family, ends):
        yield _probe(what, packet, there, Phase.FIRST)
    udp = next(packet for what, packet in _firsts(family, ends) if what == "udp")
    # one conversation: two packets before any reply, a reply, one after it, and an error about it
    talk = replace(udp, source_port=20011)
    yield _probe("udp", talk, there, Phase.FIRST)
    yield _probe("udp again", talk, there, Phase.LATER, wave=1)
    answer = answer_to(talk, ends.from_far)
    yield _probe("udp answer", answer, back, Phase.REPLY, wave=2)
    yield _probe("udp after the answer", talk, there, Phase.ESTABLISHED, wave=3)
    yield _probe("unreachable", error_about(talk, ends.from_far), back, Phase.RELATED, wave=4)
    broken = replace(udp, protocol=TCP, source_port=20012, tcp_flags=0)
    yield _probe("tcp without flags", broken, there, Phase.INVALID)
    midstream = replace(udp, protocol=TCP, source_port=20013, tcp_flags=ACK)
    yield _probe("tcp in midstream", midstream, there, Phase.FIRST)
    aside = replace(udp, source_port=20014, destination_port=UNTRACKED_PORT)
    yield _probe("udp, not tracked", aside, there, Phase.UNTRACKED)


def _probe(what: str, packet: Packet, path: Path, phase: Phase, wave: int = 0) -> Probe:
    return Probe(1, f"{path.value}, {phase.value}", what, packet, path, phase, wave)


def answer_to(packet: Packet, in_interface: str) -> Packet:
    """The packet with both ends exchanged, coming in by another interface."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
        in_interface=in_interface,
    )


def error_about(packet: Packet, in_interface: str) -> Packet:
    """The ICMP error "host unreachable" that quotes a packet, sent by its destination."""
    family = packet.family
    kind, code = _UNREACHABLE[family]
    return Packet(
        family,
        packet.destination,
        packet.source,
        ICMP if family is Family.IPV4 else ICMPV6,
        icmp_type=kind,
        icmp_code=code,
        quoted=packet,
        in_interface=in_interface,
    )
