"""The same routing rule is there more than once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import RoutingRule
from netfw.doctor.probing import NoProbing
from netfw.doctor.steering import spot_of
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.traverse.routing_tables import TableRule

CODE = "ip-rule-twice"
TITLE = "a routing rule by mark is there twice"
EXPLANATION = """\
Programs that look whether their rule is there, and compare texts or forget the mask, add it
again: at each start, or every few seconds. The packets do not mind, but 'ip rule del' takes away
one of them alone, so that the rule stays when the program or the tunnel is gone.

Delete all but one, and let the program compare mark and mask as numbers.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each group of rules that say the same of the same packets."""
    groups: dict[TableRule, list[RoutingRule]] = {}
    for one in state.routing_rules:
        mark = one.rule.mark
        if mark is not None and mark.mask:
            said = replace(
                one.rule, preference=0, mark=MaskedWord(mark.value & mark.mask, mark.mask)
            )
            groups.setdefault(said, []).append(one)
    for group in groups.values():
        if len(group) > 1:
            yield _finding(group)


def _finding(group: list[RoutingRule]) -> Finding:
    first, second = group[0], group[1]
    family = "-6 " if first.rule.family is Family.IPV6 else ""
    word = f"{'not ' if first.rule.invert else ''}fwmark {first.rule.mark}"
    return Finding(
        CODE,
        Severity.WARNING,
        f"{len(group)} routing rules of {first.rule.family} say the same: {word} lookup "
        f"{first.rule.table}",
        tuple(spot_of(one) for one in group),
        "packets go by the first of them; whoever deletes the rule once leaves the other, and "
        "marked packets keep their way",
        (f"ip {family}rule del pref {second.rule.preference} {word} lookup {second.rule.table}",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("packets go by the first of both, as they would by one alone")
