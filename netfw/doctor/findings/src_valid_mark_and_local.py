"""src_valid_mark has marked packets' sources looked up in a table where everything is local."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.place import Spot, System, Way
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    before_routing,
    bits_of,
    may_obey,
    routes_of,
    rule_at,
    spot_of,
    steering_rules,
)
from netfw.doctor.way_symptoms import GoneAtRouting
from netfw.ir.names import Family
from netfw.traverse.routing_tables import RouteKind

CODE = "src-valid-mark-and-local"
TITLE = "src_valid_mark makes all sources of marked packets look local"
EXPLANATION = """\
A transparent proxy has a table with 'local default dev lo' and a routing rule by mark that leads
there. With src_valid_mark 1 (as wg-quick and tailscale set it) the source of a packet that comes
in marked is looked up with the mark as well, in that table: every source is 'local', and the
packet is dropped as martian, with no counter but in_martian_src. LAN clients lose the Internet
while the host itself is well.

Set src_valid_mark to 0, or say in the routing rule by which interface the packets come in (iif).
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each such rule where the setting is on."""
    on = [
        name
        for name in ("all", *(link.name for link in state.links))
        if state.setting(f"net/ipv4/conf/{name}/src_valid_mark") == 1
    ]
    if not on:
        return
    for one in steering_rules(state):
        if one.rule.family is not Family.IPV4 or one.rule.in_interface or one.rule.invert:
            continue
        if any(
            route.kind is RouteKind.LOCAL and route.destination.mask == 0
            for route in routes_of(state, one)
        ):
            sysctl = Spot(
                System.SYSCTL,
                None,
                f"net.ipv4.conf.{on[0]}",
                "src_valid_mark",
                text=f"net.ipv4.conf.{on[0]}.src_valid_mark = 1",
            )
            yield Finding(
                CODE,
                Severity.ERROR,
                f"net.ipv4.conf.{on[0]}.src_valid_mark is 1, and {spot_of(one)} leads packets "
                "with "
                f"mark {one.rule.mark} to a table where everything is local",
                (sysctl, spot_of(one)),
                "packets that are marked when they come in are dropped as martian: their source "
                "is "
                "looked up in that table, and is local",
                (
                    f"sysctl -w net.ipv4.conf.{on[0]}.src_valid_mark=0",
                    f"or: ip rule del pref {one.rule.preference}; ip rule add pref "
                    f"{one.rule.preference} iif INTERFACE fwmark {one.rule.mark} lookup "
                    f"{one.rule.table}",
                ),
            )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that is marked when it comes in."""
    one = rule_at(state, finding.evidence[-1])
    if one is None:
        return NoProbing("its routing rule is not there any more")
    found = tuple(
        conversation
        for use in state.writers(Word.PACKET)
        if may_obey(use, one) and before_routing(use)
        for conversation in conversations(
            state,
            Wanted((use.spot,), ways=frozenset({Way.FORWARDED, Way.TO_HOST}), is_afar=True),
        )
    )
    if not found:
        return NoProbing("nothing marks packets that come in")
    return Probing(found, GoneAtRouting("martian", bits_of(one)))
