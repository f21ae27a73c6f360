"""A mark that is meant as a whole has the bits that a rule of somebody else asks for."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import BEGINNERS, RULES, begins_with, goes_from, wiped_between
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import Matched
from netfw.ir.mark import MAX_MARK

CODE = "whole-mark-in-field"
TITLE = "a mark that is compared as a whole has bits that another rule takes for its own"
EXPLANATION = """\
Programs that use the whole mark (NetBird 0x1bd20, podkop 0x105, Mullvad 0x6d6f6c65) do not mind
which bits it has. A rule that asks for some bits alone takes such a packet for one of its own:
'fwmark 0x10000/0xff0000' routes NetBird's packets, 0x20 in 0x1bd20 strips the mark of another
program's.

Give one of both another number: bits that nobody else asks for.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each masked reader that takes a whole mark of somebody, and has writers of its own."""
    asked_whole = {
        test.value: use
        for use in reversed(state.uses)
        for test in use.tests
        if test.word is Word.PACKET and test.mask == MAX_MARK and test.value
    }
    if not asked_whole:
        return
    writers = state.kinds_of_writers(Word.PACKET)
    whole = [
        (use, effect.xor)
        for use in writers
        for effect in use.effects
        if effect.word is Word.PACKET and effect.is_whole and effect.xor in asked_whole
        if not effect.mixed and not effect.opaque
    ]
    for reader in state.kinds_of_readers(Word.PACKET):
        if reader.spot.system not in (*RULES, System.ROUTING):
            continue
        for test in reader.tests:
            found = _taken(state, reader, test, whole)
            if found is not None and _has_own(writers, test):
                writer, value = found
                yield _finding(reader, test, writer, value, asked_whole[value])
                break


def _taken(
    state: HostState, reader: MarkUse, test: MarkTest, whole: list[tuple[MarkUse, int]]
) -> tuple[MarkUse, int] | None:
    """Who writes a whole mark that passes a test for some bits."""
    needed = test.needed
    if test.word is not Word.PACKET or not needed or test.mask == MAX_MARK or not test.can_match:
        return None
    for writer, value in whole:
        if value & test.mask != needed or not value & ~test.mask:
            continue
        # who asks for the rest of the word as well knows the number
        rest = any(one is not test and one.matches(value) is False for one in reader.tests)
        if rest or not goes_from(writer, reader):
            continue
        if not wiped_between(state, writer, reader, needed, Word.PACKET):
            return writer, value
    return None


def _has_own(writers: tuple[MarkUse, ...], test: MarkTest) -> bool:
    """Whether somebody sets those bits and keeps to a mask: the reader is for his packets."""
    return any(
        effect.word is Word.PACKET
        and not effect.is_whole
        and not effect.mixed
        and not effect.opaque
        and effect.sets & test.needed == test.needed
        for use in writers
        if use.spot.system not in BEGINNERS
        for effect in use.effects
    )


def _finding(
    reader: MarkUse, test: MarkTest, writer: MarkUse, value: int, meant: MarkUse
) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{writer.spot} writes {value:#x} as a whole (for {meant.spot}), and {reader.spot} asks "
        f"for {test}, which {value:#x} has as well",
        (reader.spot, writer.spot, meant.spot),
        f"packets with {value:#x} are treated as if they had been marked for {reader.spot}",
        ("give one of both another number, wherever it is written and read",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that gets the whole mark and comes by the reader."""
    reader, spot, _ = finding.evidence
    writer = state.use_at(spot)
    if writer is None:
        return NoProbing("its rules are not there any more")
    value = next(effect.xor for effect in writer.effects if effect.is_whole and effect.xor)
    wanted = Wanted((reader, spot), rule_at(state, reader), mark=begins_with(writer))
    return Probing(conversations(state, wanted), Matched(reader, value))
