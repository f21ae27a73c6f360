"""A mark is asked for here, and set in the network namespace at the other end of a veth pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netfw.doctor.asked import set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings.mark_never_set import Unset, unset_marks
from netfw.doctor.host_state import HostState, Neighbour
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Stage
from netfw.doctor.probing import NoProbing

CODE = "mark-set-elsewhere"
TITLE = "a mark is set in another network namespace, and taken off on the way here"
EXPLANATION = """\
A packet that crosses a veth pair into another network namespace loses its mark (the kernel's
skb_scrub_packet): what a rule in a container sets, the rules of the host never see, though its
counter there goes up. Where a mark is asked for here that nothing here sets, doctor looks into
the namespaces behind the veth links of this one, as far as they can be entered.

Set the mark on this side, by the interface or address that the packets come from. (netkit with
'scrub none' keeps it.)
"""
_LEAVES = frozenset({Stage.OUTPUT, Stage.POSTROUTING, Stage.FORWARD, Stage.PREROUTING})


def find(state: HostState) -> Iterator[Finding]:
    """Each reader here of bits that a rule there sets."""
    if not state.neighbours:
        return
    for one in unset_marks(state):
        if one.test.word is not Word.PACKET:
            continue
        for neighbour in state.neighbours:
            writer = _writer(neighbour, one.missing)
            if writer is not None:
                yield _finding(one, neighbour, writer)
                break


def _writer(neighbour: Neighbour, bits: int) -> MarkUse | None:
    """A rule there that sets all of these bits where packets go on to leave."""
    return next(
        (
            use
            for use in neighbour.state.writers(Word.PACKET)
            if set_by(use, Word.PACKET) & bits == bits
            and any(where.stage in _LEAVES for where in use.passages)
        ),
        None,
    )


def _finding(one: Unset, neighbour: Neighbour, writer: MarkUse) -> Finding:
    links = ", ".join(neighbour.links)
    there = replace(writer.spot, text=f"in namespace {neighbour.state.name}: {writer.spot.text}")
    return Finding(
        CODE,
        Severity.WARNING,
        f"{one.reader.spot} asks for {one.test.word} {one.test}, which {writer.spot} in namespace "
        f"{neighbour.state.name} sets: packets lose it where they come in by {links}",
        (one.reader.spot, there),
        f"no packet from there has {one.missing:#x} here, although the rule there counts",
        (
            f"set it on this side: iptables -t mangle -A PREROUTING -i {neighbour.links[0]} "
            f"-j MARK --set-xmark {one.bits:#x}/{one.test.mask:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("the other namespace is not in a twin; mark-never-set has a packet for this")
