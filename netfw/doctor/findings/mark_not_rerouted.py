"""This host's own packets are marked where the kernel does not route them again."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, program_of
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Spot, System, Way
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    bits_of,
    keeps_its_way,
    may_obey,
    rule_at,
    spot_of,
    steering_rules,
)
from netfw.doctor.way_symptoms import NotRerouted

CODE = "mark-not-rerouted"
TITLE = "this host's packets are marked in OUTPUT, and not routed again"
EXPLANATION = """\
A packet of this host is routed before OUTPUT, with the mark of its socket. Only chains of type
route (mangle OUTPUT is one) make the kernel route it again where they have changed its mark. In
a chain of type filter, in raw and in filter OUTPUT the mark is set, every counter says so, and
the packet leaves by the way that it had.

Declare the chain as 'type route hook output', or use mangle OUTPUT.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each writer in such a chain of bits that a routing rule reads."""
    for one in steering_rules(state):
        if one.rule.in_interface not in ("", "lo"):
            continue
        for use in state.writers(Word.PACKET):
            if use.spot.system in RULES and may_obey(use, one) and keeps_its_way(state, use):
                yield _finding(use, spot_of(one), bits_of(one))


def _finding(use: MarkUse, reader: Spot, bits: int) -> Finding:
    spot = use.spot
    if spot.system is System.NFTABLES:
        chain = use.passages[0].base.rpartition(" ")[2]
        fix = f"declare chain {chain} of {spot.table} as type route hook output priority mangle"
    else:
        fix = (
            f"{program_of(spot)} -t {spot.table} -D {spot.chain} {spot.number}; "
            f"{program_of(spot)} -t mangle -A OUTPUT{spot.text.removeprefix('-A ' + spot.chain)}"
        )
    return Finding(
        CODE,
        Severity.ERROR,
        f"{spot} sets packet mark {bits:#x} for {reader} in a chain that does not route again",
        (spot, reader),
        "the packet has the mark, and leaves by the way that it had without it",
        (fix,),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet of this host that the writer marks."""
    spot, reader = finding.evidence
    one = rule_at(state, reader)
    if one is None:
        return NoProbing("its routing rule is not there any more")
    wanted = Wanted((spot,), one, ways=frozenset({Way.FROM_HOST}))
    return Probing(conversations(state, wanted), NotRerouted(spot, bits_of(one)))
