"""Bits that a routing rule reads are set where the packet has been routed already."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, effects_on
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Spot, Stage
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import (
    before_routing,
    bits_of,
    may_obey,
    rule_at,
    spot_of,
    steering_rules,
)
from netfw.doctor.symptoms import MarkedTooLate

CODE = "mark-after-routing"
TITLE = "a mark that routing reads is set behind routing"
EXPLANATION = """\
A packet that comes in is routed between PREROUTING and INPUT or FORWARD: a mark set in INPUT,
FORWARD or POSTROUTING changes nothing about its way. (The connection mark can carry it to the
packets behind: save it there, and restore it in mangle PREROUTING.)

Set the mark in mangle PREROUTING, or for this host's own packets in mangle OUTPUT.
"""
_LATE = frozenset({Stage.INPUT, Stage.FORWARD, Stage.POSTROUTING, Stage.EGRESS})


def find(state: HostState) -> Iterator[Finding]:
    """Each late writer of bits for which nobody comes in time."""
    writers = state.writers(Word.PACKET)
    for one in steering_rules(state):
        if one.rule.invert:
            continue
        bits = bits_of(one)
        obeying = [use for use in writers if may_obey(use, one)]
        if any(before_routing(use) for use in obeying) or _is_saved(state, bits):
            continue
        for use in obeying:
            is_late = use.passages and all(where.stage in _LATE for where in use.passages)
            if use.spot.system in RULES and is_late:
                yield _finding(use, spot_of(one), bits)


def _is_saved(state: HostState, bits: int) -> bool:
    return any(
        effect.mixed & bits
        for use in state.writers(Word.CONNECTION)
        for effect in effects_on(use, Word.CONNECTION)
    )


def _finding(writer: MarkUse, reader: Spot, bits: int) -> Finding:
    stage = writer.passages[0].stage
    return Finding(
        CODE,
        Severity.ERROR,
        f"{writer.spot} sets packet mark {bits:#x} at {stage}, and {reader} reads it before that",
        (writer.spot, reader),
        "the packet has been routed without the mark, and keeps its way",
        (
            "mark in mangle PREROUTING (in nftables: a chain at prerouting, priority mangle); for "
            "this host's own packets in mangle OUTPUT",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that the writer marks."""
    spot, reader = finding.evidence
    one = rule_at(state, reader)
    if one is None:
        return NoProbing("its routing rule is not there any more")
    found = conversations(state, Wanted((spot,), one)) + conversations(state, Wanted((spot,)))
    return Probing(found, MarkedTooLate(spot, reader, bits_of(one)))
