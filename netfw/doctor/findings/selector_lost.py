"""A routing rule without a selector leads every packet to a table that marks were meant for."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import is_ordinary, routes_of, rule_at, spot_of
from netfw.doctor.symptoms import Matched
from netfw.ir.names import Family
from netfw.ir.routing import MAIN_TABLE
from netfw.traverse.routing_tables import LOCAL_TABLE, RouteKind, TableRule

CODE = "selector-lost"
TITLE = "a routing rule without a selector takes every packet, marked or not"
EXPLANATION = """\
'ip rule add fwmark 0 lookup T' says "unmarked packets", and the kernel keeps none of it: a mark
of 0 without a mask is no selector. The rule is for every packet, with whatever mark, and where
its table has a default route nobody is asked behind it. The same becomes of configurations that
write 'FirewallMark=0' and the like.

Say the mask: 'fwmark 0/0xffffffff' is for unmarked packets, 'fwmark 0/0x100' for those without
one bit, and 'not fwmark 0x100/0x100' says the same.
"""
_DEFAULT_TABLE = 253
_STRONGSWAN = (220, 220)
"""The preference and the table that strongSwan takes for all packets, on purpose."""
_KERNEL = 2
"""RTPROT_KERNEL in linux/rtnetlink.h."""


def find(state: HostState) -> Iterator[Finding]:
    """Each such rule before 'main', on a host where marks are used and no rule goes before it."""
    mains = {
        family: min(
            (
                one.rule.preference
                for one in state.routing_rules
                if one.rule.family is family
                and one.rule.table == MAIN_TABLE
                and _is_bare(one.rule)
            ),
            default=1 << 32,
        )
        for family in Family
    }
    if not state.writers(Word.PACKET) and not state.readers(Word.PACKET):
        return
    for one in state.routing_rules:
        rule = one.rule
        if one.protocol == _KERNEL or rule.table in (LOCAL_TABLE, MAIN_TABLE, _DEFAULT_TABLE):
            continue
        if not _is_bare(rule) or rule.preference >= mains[rule.family]:
            continue
        if (rule.preference, rule.table) == _STRONGSWAN:
            continue
        if _has_default(state, one) and not _has_bypass(state, one):
            yield _finding(one)


def _is_bare(rule: TableRule) -> bool:
    """Whether a lookup is for all packets, and for all routes of its table."""
    has_mark = rule.mark is not None and rule.mark.mask != 0
    return (
        rule.kind is RouteKind.UNICAST
        and not rule.leads_elsewhere
        and not rule.invert
        and not rule.unknown
        and not rule.in_interface
        and rule.source is None
        and rule.destination is None
        and not has_mark
        and rule.suppressed_prefix == -1
    )


def _has_default(state: HostState, one: RoutingRule) -> bool:
    return any(
        is_ordinary(route) and not route.destination.mask for route in routes_of(state, one)
    )


def _has_bypass(state: HostState, late: RoutingRule) -> bool:
    """Whether an earlier rule takes some packets past it by their mark: then it is meant so."""
    return any(
        one.rule.family is late.rule.family
        and one.rule.preference < late.rule.preference
        and one.rule.mark is not None
        and one.rule.mark.mask != 0
        and one.rule.table != late.rule.table
        for one in state.routing_rules
    )


def _finding(one: RoutingRule) -> Finding:
    rule = one.rule
    family = "-6 " if rule.family is Family.IPV6 else ""
    return Finding(
        CODE,
        Severity.WARNING,
        f"{spot_of(one)} has no selector, stands before main, and its table has a default route: "
        "'fwmark 0' without a mask makes such a rule",
        (spot_of(one),),
        f"every packet is routed by table {rule.table}, whatever its mark; 'main' is never asked "
        "for a default route",
        (
            f"ip {family}rule del pref {rule.preference}",
            f"ip {family}rule add pref {rule.preference} fwmark 0/0xffffffff lookup {rule.table} "
            "(for unmarked packets; or the mark that is meant, with its mask)",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of this host with a mark that the rule would not be for."""
    (spot,) = finding.evidence
    one = rule_at(state, spot)
    marks = [mark for use in state.writers(Word.PACKET) if (mark := set_by(use, Word.PACKET))]
    mark = marks[0] if marks else 1
    return Probing(conversations(state, Wanted((), one, mark)), Matched(spot, mark))
