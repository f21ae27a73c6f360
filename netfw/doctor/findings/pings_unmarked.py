"""Ping replies and RST do not carry the mark of what they answer."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot, System
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import bits_of, rule_at, spot_of
from netfw.doctor.way_back import asked_from_afar, comes_by, unmarked_ways_back
from netfw.doctor.way_symptoms import UnmarkedAnswer
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6

CODE = "pings-unmarked"
TITLE = "ping replies, RST and ICMP errors do not carry the mark of what they answer"
EXPLANATION = """\
The kernel answers by itself to pings, to connections at closed ports, and with ICMP errors.
These answers have no mark, unless 'net.ipv4.fwmark_reflect' (and 'net.ipv6.fwmark_reflect') is
1. Where a routing rule sends marked packets back by the uplink that they came by, a ping of that
uplink's address is answered by the default uplink: it looks dead while its services may be well.

Set the sysctl, or save the mark to the connection in PREROUTING and restore it in mangle OUTPUT.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each uplink whose pings are answered by another one."""
    for one, writer, name in unmarked_ways_back(state):
        sysctl = f"net.ipv{one.rule.family.value}.fwmark_reflect"
        if state.setting(sysctl.replace(".", "/")) == 0:
            yield _finding(one, writer, name, sysctl)


def _finding(one: RoutingRule, writer: MarkUse, name: str, sysctl: str) -> Finding:
    base, _, key = sysctl.rpartition(".")
    return Finding(
        CODE,
        Severity.WARNING,
        f"what comes in by {name} gets mark {bits_of(one):#x} ({writer.spot}), and what the "
        f"kernel answers by itself does not: {sysctl} is 0 and nothing in OUTPUT restores it",
        (Spot(System.SYSCTL, None, base, key, text=f"{sysctl} = 0"), writer.spot, spot_of(one)),
        f"ping replies, RST and ICMP errors leave unmarked, and so not by {name}",
        (f"sysctl -w {sysctl}=1",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A ping, and what is answered."""
    writer = state.use_at(finding.evidence[1])
    one = rule_at(state, finding.evidence[2])
    if writer is None or one is None:
        return NoProbing("what it is about is not there any more")
    icmp = ICMP if one.rule.family is Family.IPV4 else ICMPV6
    found = asked_from_afar(state, writer, one, icmp)
    return Probing(found, UnmarkedAnswer(comes_by(writer), bits_of(one)))
