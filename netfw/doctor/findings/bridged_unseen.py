"""A mark rule is for packets that a bridge passes on, and bridges do not show them to iptables."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.any_of import each_of
from netfw.doctor.asked import RULES
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.observed import Link
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.probe_packets import bridged_conversations
from netfw.doctor.probing import NoProbing, Probing, Scene
from netfw.doctor.way_symptoms import PassedUnseen
from netfw.ir.match import InterfaceMatch, PhysdevMatch
from netfw.ir.names import Family

CODE = "bridged-unseen"
TITLE = "bridged packets do not come by the rules that mark them"
EXPLANATION = """\
What a bridge passes from one port to another never reaches the IP hooks, unless br_netfilter is
loaded and 'net.bridge.bridge-nf-call-iptables' (ip6tables) is 1. A mark rule for a port of a
bridge, with '-i PORT', '-o PORT' or '-m physdev', or in FORWARD of a host that only bridges, is
never asked. And what is routed by way of a bridge has the bridge as its interface, not the port.

Set the sysctl, or mark in a table of family bridge.
"""
_CALLS = {Family.IPV4: "bridge-nf-call-iptables", Family.IPV6: "bridge-nf-call-ip6tables"}


def find(state: HostState) -> Iterator[Finding]:
    """Each mark rule for bridged packets, where they do not come by."""
    ports: dict[str, Link] = {}
    for link in state.links:
        bridge = state.link(link.master) if link.master else None
        if bridge is not None and bridge.kind == "bridge":
            ports[link.name] = bridge
    if not ports:
        return
    for use in state.writers(Word.PACKET):
        if use.spot.system not in RULES or use.spot.table.startswith(("bridge", "netdev")):
            continue
        family = use.spot.family or Family.IPV4
        if state.setting(f"net/bridge/{_CALLS[family]}") == 1:
            continue
        named = _named_port(use, ports)
        if named:
            yield _finding(use, named, ports[named], family, Severity.ERROR)
        elif _is_about_bridging(state, use, ports):
            port, bridge = next(iter(ports.items()))
            yield _finding(use, port, bridge, family, Severity.WARNING)


def _named_port(use: MarkUse, ports: dict[str, Link]) -> str:
    for one in each_of((*use.matches, *use.calls)):
        if isinstance(one, InterfaceMatch) and not one.negate and one.name in ports:
            return one.name
        if isinstance(one, PhysdevMatch):
            return next(iter(ports))
    return next((name for name in ports if f'ifname "{name}"' in use.spot.text), "")


def _is_about_bridging(state: HostState, use: MarkUse, ports: dict[str, Link]) -> bool:
    """Whether a rule in FORWARD, for whatever interface, can only be about bridged packets.

    A bridge of at least two ports and no address on any interface besides lo: nothing is routed.
    """
    if not any(where.stage is Stage.FORWARD for where in use.passages) or len(ports) < 2:
        return False
    if any(isinstance(one, InterfaceMatch) for one in each_of((*use.matches, *use.calls))):
        return False
    return not any(
        not one.startswith(("fe80", "127.", "::1"))
        for link in state.links
        for one in link.addresses
    )


def _finding(use: MarkUse, port: str, bridge: Link, family: Family, severity: Severity) -> Finding:
    name = _CALLS[family]
    sysctl = Spot(System.SYSCTL, None, "net.bridge", name, text=f"net.bridge.{name} is not 1")
    device = Spot(
        System.BRIDGE, None, bridge.name, port, text=f"{port} is a port of {bridge.name}"
    )
    return Finding(
        CODE,
        severity,
        f"{use.spot} is to mark what bridge {bridge.name} passes on, and net.bridge.{name} is not "
        "1: it never sees these packets",
        (use.spot, sysctl, device),
        f"packets from port to port of {bridge.name} come by no rule of iptables, and are "
        "unmarked",
        (
            f"modprobe br_netfilter; sysctl -w net.bridge.{name}=1",
            "or mark in nftables: table bridge NAME { chain forward { type filter hook forward "
            "priority 0; ... } }",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """Packets from port to port that the rule is for."""
    spot, *_, device = finding.evidence
    found = bridged_conversations(state, spot, device.table)
    return Probing(found, PassedUnseen(spot), scene=Scene.BRIDGES, unseen=True)
