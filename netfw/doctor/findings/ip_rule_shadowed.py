"""A routing rule by mark stands behind one that has answered already."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import bits_of, covers, may_obey, routes_of, rule_at, spot_of
from netfw.doctor.way_symptoms import RoutedBefore
from netfw.traverse.routing_tables import REFUSING, RouteKind, TableRoute, TableRule

CODE = "ip-rule-shadowed"
TITLE = "a routing rule by mark is never asked, since an earlier one answers"
EXPLANATION = """\
Routing rules are asked in the order of their preference, the smallest number first, and the
first one whose table has a route for the packet decides. 'main' stands at 32766: a rule with a
greater number is only asked for what main has no route to, which with a default route is
nothing.

Give the rule a smaller preference than the rule that answers before it.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each rule by mark all of whose routes an earlier rule has already."""
    for late in state.routing_rules:
        if late.rule.mark is None or late.rule.kind is not RouteKind.UNICAST:
            continue
        wanted = [one for one in routes_of(state, late) if one.kind is not RouteKind.THROW]
        if not wanted:
            continue
        for early in state.routing_rules:
            if early.rule.preference >= late.rule.preference or not _is_wider(early, late):
                continue
            if early.rule.table == late.rule.table and early.rule.kind is RouteKind.UNICAST:
                continue
            if early.rule.kind in REFUSING or all(
                _answers(state, early, route) for route in wanted
            ):
                yield _finding(late, early)
                break


def _is_wider(early: RoutingRule, late: RoutingRule) -> bool:
    """Whether the earlier rule is for all packets that the later one is for."""
    one, other = early.rule, late.rule
    if one.family is not other.family or one.unknown or one.invert or one.leads_elsewhere:
        return False
    return (
        (one.source is None or (other.source is not None and covers(one.source, other.source)))
        and (
            one.destination is None
            or (other.destination is not None and covers(one.destination, other.destination))
        )
        and one.in_interface in ("", other.in_interface)
        and _mark_is_wider(one, other)
    )


def _mark_is_wider(one: TableRule, other: TableRule) -> bool:
    if one.mark is None:
        return True
    if other.invert or other.mark is None or one.mark.mask & ~other.mark.mask:
        return False
    return (one.mark.value ^ other.mark.value) & one.mark.mask == 0


def _answers(state: HostState, early: RoutingRule, wanted: TableRoute) -> bool:
    return early.rule.kind is RouteKind.UNICAST and any(
        covers(route.destination, wanted.destination)
        and route.kind is not RouteKind.THROW
        and not route.unknown
        and (route.destination.prefix_length or 0) > early.rule.suppressed_prefix
        for route in routes_of(state, early)
    )


def _finding(late: RoutingRule, early: RoutingRule) -> Finding:
    family = "-6 " if late.rule.family.value == 6 else ""
    mark = late.rule.mark
    before = max(early.rule.preference - 1, 1)
    word = f"{'not ' if late.rule.invert else ''}fwmark {mark}"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{spot_of(late)} ({word}) is never asked: {spot_of(early)} has a route for "
        "everything that it is for, and comes first",
        (spot_of(late), spot_of(early)),
        f"packets with the mark are routed by table {early.rule.table}, as if they had none",
        (
            f"ip {family}rule del pref {late.rule.preference}",
            f"ip {family}rule add pref {before} {word} lookup {late.rule.table}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """Packets with the mark: those that a rule marks, and those of a socket that does."""
    late, early = finding.evidence
    one = rule_at(state, late)
    if one is None:
        return NoProbing("its routing rule is not there any more")
    writers = [use.spot for use in state.writers(Word.PACKET) if may_obey(use, one)]
    found = [
        conversation
        for spot in writers[:3]
        for conversation in conversations(state, Wanted((spot,), one))
    ]
    found += conversations(state, Wanted((), one, mark=0 if one.rule.invert else bits_of(one)))
    return Probing(tuple(found), RoutedBefore(late, early))
