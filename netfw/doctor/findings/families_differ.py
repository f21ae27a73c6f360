"""Marked packets are routed by IPv4 and not by IPv6."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    bits_of,
    is_ordinary,
    may_obey,
    rule_at,
    spot_of,
    steering_rules,
    tables_of,
)
from netfw.doctor.way_symptoms import LeftByDefault
from netfw.ir.names import Family
from netfw.ir.routing import MAIN_TABLE

CODE = "families-differ"
TITLE = "a mark routes packets of one IP family alone"
EXPLANATION = """\
'ip rule' is for IPv4; 'ip -6 rule' has rules of its own. Where the mark is set on packets of
both and a rule is there for one family alone, those of the other leave by the default route:
past the tunnel that they were meant for.

Add the rule to the other family as well, with a default route or 'unreachable' in its table.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each rule whose mark is set on IPv6 packets too (or on IPv4's), without a rule there."""
    rules = list(steering_rules(state))
    for one in rules:
        other = Family.IPV6 if one.rule.family is Family.IPV4 else Family.IPV4
        if any(
            rule.rule.family is other and rule.rule.mark == one.rule.mark for rule in rules
        ) or not _has_default(state, other):
            continue
        its_twin = replace(one, rule=replace(one.rule, family=other))
        for writer in state.writers(Word.PACKET):
            spot = writer.spot
            is_for_other = spot.family is other or (
                spot.family is None and spot.table.startswith("inet ")
            )
            if is_for_other and spot.table and may_obey(writer, its_twin):
                yield _finding(one, other, spot)
                break


def _has_default(state: HostState, family: Family) -> bool:
    return any(
        is_ordinary(route) and route.destination.mask == 0
        for route in tables_of(state, family).routes.get(MAIN_TABLE, ())
    )


def _finding(one: RoutingRule, other: Family, writer: Spot) -> Finding:
    flag = "-6" if other is Family.IPV6 else "-4"
    return Finding(
        CODE,
        Severity.WARNING,
        f"{spot_of(one)} routes mark {one.rule.mark} by table {one.rule.table}, {writer} sets it "
        "on "
        f"{other} packets as well, and {other} has no such rule",
        (spot_of(one), writer),
        f"marked {other} packets leave by the default route",
        (
            f"ip {flag} rule add pref {one.rule.preference} fwmark {one.rule.mark} lookup "
            f"{one.rule.table}",
            f"ip {flag} route add unreachable default table {one.rule.table} (or a real route)",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of the other family that the writer marks."""
    reader, spot = finding.evidence
    one = rule_at(state, reader)
    if one is None:
        return NoProbing("its routing rule is not there any more")
    other = Family.IPV6 if one.rule.family is Family.IPV4 else Family.IPV4
    found = conversations(state, Wanted((spot,), family=other))
    return Probing(found, LeftByDefault(spot, bits_of(one)))
