"""Probes of this host to itself: what leaves by lo and comes in by it."""

from __future__ import annotations

from dataclasses import replace

from netfw.ir.names import Family
from netfw.ir.protocols import TCP, UDP
from netfw.ir.ruleset import Origin
from netfw.policy.endpoint import Direction
from netfw.policy.flow import Flow
from netfw.policy.judge import Verdict
from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.packet import PORT_PROTOCOLS, SYN, Packet
from netfw.traverse.situation import Path
from netfw.verify.probe import Probe
from netfw.verify.probe_judge import EXPECTED, PHASES, state_of
from netfw.verify.probe_writer import MAX_PROBES, ProbeWriter
from netfw.verify.sample import ODD_PORT, Kind, kinds_of, kinds_outside

_ADDRESS = {Family.IPV4: 0x7F000001, Family.IPV6: 1}


def probe_loopback(writer: ProbeWriter) -> None:
    """Something that no rule speaks of; and where the loopback is judged, every rule and its
    edges."""
    sent: set[tuple[int, int, int]] = set()
    _send(writer, sent, "default this host -> this host", (UDP, ODD_PORT, (0, 0), None), None)
    endpoint = writer.policy.endpoint_of(LOOPBACK)
    if endpoint is None:
        return
    for direction in (Direction.INGRESS, Direction.EGRESS):
        for entry in writer.policy.policies_at(endpoint, direction):
            for rule in entry.rules(direction):
                conditions = rule.conditions(writer.family)
                for traffic in () if conditions is None else conditions.traffic:
                    for kind in (*kinds_of(traffic, writer.family), *kinds_outside(traffic)):
                        _send(writer, sent, rule.identity, kind, rule.origin)


def _send(
    writer: ProbeWriter,
    sent: set[tuple[int, int, int]],
    group: str,
    kind: Kind,
    origin: Origin | None,
) -> None:
    number = len(writer.probes) + 1
    protocol, port, (icmp_type, icmp_code), sources = kind
    has_ports = protocol in PORT_PROTOCOLS
    source_port = writer.source_port(sources) if has_ports else 0
    connection = (protocol, source_port, port)
    if number > MAX_PROBES or (has_ports and connection in sent):
        return
    sent.add(connection)
    family, address = writer.family, _ADDRESS[writer.family]
    packet = Packet(
        family,
        address,
        address,
        protocol,
        source_port=source_port,
        destination_port=port,
        tcp_flags=SYN if protocol == TCP else 0,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        icmp_id=0 if has_ports else number,
        hardware=-1,
        user=0,
        group=0,
    )
    state = state_of(packet)
    out = Flow(
        family,
        "",
        LOOPBACK,
        address,
        address,
        protocol,
        port,
        (icmp_type, icmp_code),
        state,
        source_port=source_port,
        mark=0,
        hardware=-1,
        user=0,
        group=0,
        clock=writer.clock,
    )
    verdict = writer.judge.verdict(out)
    if verdict is not Verdict.DENIED:
        # the field is cleared on the way in: what counts is what is said there
        back = replace(out, in_interface=LOOPBACK, out_interface="")
        verdict = writer.judge.verdict(back)
    if not writer.judge.counters.settle():
        return
    writer.probes.append(
        Probe(
            number,
            group,
            str(packet),
            packet,
            Path.LOOPBACK,
            PHASES[state],
            expected=EXPECTED[verdict],
            origin=origin,
        )
    )
