"""A rule asks for bits before anybody can have set them."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, asked_bits, asked_by, can_meet, given_by, set_by, shares_way
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Ending, MarkTest, MarkUse, Word
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.symptoms import ReadTooEarly

CODE = "mark-read-too-early"
TITLE = "a mark is asked for before it is set"
EXPLANATION = """\
Chains run in the order of their priorities (raw -300, conntrack -200, mangle -150, dstnat -100,
filter 0), and rules in the order in which they stand. A test in front of every writer of its
bits always sees 0: 'not accepted yet' drops everything, 'accepted' takes nothing.

Move the reader behind the writer: a later chain, a higher priority number, or a later rule.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each test that decides something, where all writers of its bits come behind it."""
    for reader in state.uses:
        if reader.spot.system not in RULES or not reader.passages:
            continue
        for test in reader.tests:
            bits = asked_bits(test)
            late = _late_writer(state, reader, test.word, bits) if bits else None
            if late is not None and _decides(reader, test):
                yield _finding(reader, test, late, bits)
                break


def _decides(reader: MarkUse, test: MarkTest) -> bool:
    """Whether something becomes of packets by a test that is always answered for a mark of 0.

    'Not marked yet' in front of what marks is how rules are kept from being asked twice.
    """
    if test.matches(0):
        return reader.ending is Ending.DROPPED
    return reader.ending in (Ending.ACCEPTED, Ending.DROPPED, Ending.QUEUED) or any(
        not effect.clears & asked_bits(test) for effect in reader.effects
    )


def _late_writer(state: HostState, reader: MarkUse, word: Word, bits: int) -> MarkUse | None:
    """The first writer behind the reader, where none can come before it."""
    late = None
    for writer in state.kinds_of_writers(word):
        if writer is reader or not given_by(writer, word) & bits:
            continue
        if not shares_way(writer, reader) or not writer.shares_family(reader):
            continue
        if writer.may_precede(reader):
            return None
        if late is None and set_by(writer, word) & bits and can_meet(reader, writer):
            late = writer
    return late


def _finding(reader: MarkUse, test: MarkTest, late: MarkUse, bits: int) -> Finding:
    answer = "true" if test.matches(0) else "false"
    is_drop = test.matches(0) and reader.ending is Ending.DROPPED
    base = late.passages[0]
    return Finding(
        CODE,
        Severity.ERROR if is_drop else Severity.WARNING,
        f"{reader.spot} asks for {test.word} {bits:#x} before {late.spot} sets it "
        f"(at {base.stage}, priority {base.priority})",
        (reader.spot, late.spot),
        f"the bits are 0 whenever the rule is asked, so that its test is always {answer}"
        + (" and the packet is dropped" if is_drop else ""),
        (
            f"move {reader.spot} behind {late.spot}: into a chain at {base.stage} with a priority "
            f"above {base.priority}, or the writer before it",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that comes by the reader, and by the writer if it gets there."""
    reader, late = finding.evidence
    asking, writer = state.use_at(reader), state.use_at(late)
    if asking is None or writer is None:
        return NoProbing("its rules are not there any more")
    if any(test.word is not Word.PACKET for test in asking.tests):
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    bits = given_by(writer, Word.PACKET) & asked_by(asking, Word.PACKET)
    return Probing(conversations(state, Wanted((reader, late))), ReadTooEarly(reader, late, bits))
