"""The check of the way back ignores the mark by which packets were sent."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot, System, Way
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing, Turn
from netfw.doctor.steering import (
    is_ordinary,
    rule_at,
    spot_of,
    steering_rules,
    tables_of,
)
from netfw.doctor.way_back import other_way
from netfw.doctor.way_symptoms import GoneAtRouting
from netfw.ir.names import Family

CODE = "rp-filter-ignores-mark"
TITLE = "rp_filter drops the answers to marked packets, since src_valid_mark is 0"
EXPLANATION = """\
With rp_filter 1 the kernel drops a packet whose source it would not reach by the interface on
which the packet came in. It asks without any mark, unless src_valid_mark is 1. Where a routing
rule sends marked packets another way than unmarked ones, the answers come in by an interface
that the unmarked lookup does not name: they are dropped before INPUT, no rule counts them, and
only 'TcpExt IPReversePathFilter' in 'nstat -az' goes up.

Set src_valid_mark to 1 and restore the mark of the connection in mangle PREROUTING, or set
rp_filter to 2 (loose). The interface's and all's values count together: the greater rp_filter,
and src_valid_mark if either is 1.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each interface by which answers to marked packets come in that are dropped."""
    seen: set[str] = set()
    for one in steering_rules(state):
        if one.rule.family is not Family.IPV4 or one.rule.mark is None:
            continue
        for routes in tables_of(state, Family.IPV4).routes.values():
            for route in routes:
                name = route.interface
                if name in seen or not is_ordinary(route) or not _is_strict(state, name):
                    continue
                other = other_way(state, one, route)
                if other is not None:
                    seen.add(name)
                    yield _finding(state, one, name, other)


def _is_strict(state: HostState, interface: str) -> bool:
    strict = max(state.interface_setting(Family.IPV4, interface, "rp_filter"))
    asks_mark = max(state.interface_setting(Family.IPV4, interface, "src_valid_mark"))
    return strict == 1 and not asks_mark


def _finding(state: HostState, one: RoutingRule, interface: str, other: str) -> Finding:
    assert one.rule.mark is not None
    mark = one.rule.mark
    for_all, own = state.interface_setting(Family.IPV4, interface, "rp_filter")
    where = interface if own >= for_all else "all"
    sysctl = Spot(
        System.SYSCTL,
        None,
        f"net.ipv4.conf.{where}",
        "rp_filter",
        text=f"net.ipv4.conf.{where}.rp_filter = 1",
    )
    mark_sysctl = Spot(
        System.SYSCTL,
        None,
        "net.ipv4.conf.all",
        "src_valid_mark",
        text="net.ipv4.conf.all.src_valid_mark = 0",
    )
    return Finding(
        CODE,
        Severity.ERROR,
        f"rp_filter is 1 on {interface} and src_valid_mark 0, while {spot_of(one)} sends packets "
        f"with mark {mark} out by {interface} and others by {other}",
        (sysctl, mark_sysctl, spot_of(one)),
        f"answers to marked packets come in by {interface}, the check without a mark says "
        f"{other}, "
        "and they are dropped behind PREROUTING (TcpExt IPReversePathFilter), by no rule",
        (
            "sysctl -w net.ipv4.conf.all.src_valid_mark=1",
            f"iptables -t mangle -A PREROUTING -j CONNMARK --restore-mark --mask {mark.mask:#x}",
            f"or loosely: sysctl -w net.ipv4.conf.{interface}.rp_filter=2",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A marked packet of this host, and the answer to it."""
    one = rule_at(state, finding.evidence[-1])
    if one is None or one.rule.mark is None:
        return NoProbing("its routing rule is not there any more")
    mark = one.rule.mark.value & one.rule.mark.mask
    wanted = Wanted((), one, mark, frozenset({Way.FROM_HOST}), Family.IPV4)
    symptom = GoneAtRouting("IPReversePathFilter", turn=1, unless="src_valid_mark is 1")
    return Probing(conversations(state, wanted, Turn.ANSWER), symptom)
