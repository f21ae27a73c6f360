"""Two routing rules may both take a packet, and lead to different tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import RoutingRule
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import bits_of, rule_at, spot_of, steering_rules
from netfw.doctor.way_symptoms import RoutedBefore

CODE = "ip-rules-collide"
TITLE = "two routing rules ask for the same bits and lead to different tables"
EXPLANATION = """\
Where two programs use overlapping bits for routing (0x80000 is tailscale's bypass and UniFi's
third table), a packet that one of them has marked is taken by the other's rule if that comes
first.

Move one of both to other bits, with a mask on each side.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each pair with different masks, a set bit in common, and different tables."""
    for one, other in combinations(steering_rules(state), 2):
        first, second = one.rule.mark, other.rule.mark
        assert first is not None
        assert second is not None
        if one.rule.family is not other.rule.family or one.rule.table == other.rule.table:
            continue
        if one.rule.invert or other.rule.invert or first.mask == second.mask:
            continue
        common = first.mask & second.mask
        shared = first.value & second.value & common
        if shared and not (first.value ^ second.value) & common:
            yield _finding(one, other, shared)


def _finding(one: RoutingRule, other: RoutingRule, bits: int) -> Finding:
    early, late = sorted((one, other), key=lambda rule: rule.rule.preference)
    return Finding(
        CODE,
        Severity.WARNING,
        f"{spot_of(early)} (fwmark {early.rule.mark}) and {spot_of(late)} (fwmark "
        f"{late.rule.mark}) share the bits {bits:#x} and lead to different tables",
        (spot_of(early), spot_of(late)),
        f"a packet that both are for goes by table {early.rule.table}, since that rule comes "
        "first",
        ("give one of both other bits, in ip rule and in the rules that set the mark",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of this host with the bits of both."""
    early, late = finding.evidence
    first, second = rule_at(state, early), rule_at(state, late)
    if first is None or second is None:
        return NoProbing("its routing rules are not there any more")
    wanted = Wanted((), second, mark=bits_of(first) | bits_of(second))
    return Probing(conversations(state, wanted), RoutedBefore(late, early))
