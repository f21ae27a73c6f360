"""A copy of the connection's mark replaces all of the packet's, or the other way round."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import asked_by, goes_from, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import BitsLost

CODE = "mark-restored-whole"
TITLE = "a mark is saved or restored without a mask, and takes the bits of others with it"
EXPLANATION = """\
'CONNMARK --restore-mark' and 'meta mark set ct mark' without a mask replace all 32 bits of the
packet mark by those of the connection mark, which is 0 for a connection that nobody has marked.
Bits that a rule set earlier on the way are gone: of the traffic that the rule is for (often UDP
alone, as with wg-quick), and of nothing else. 'CONNMARK --save-mark' without a mask does the
same to the connection mark.

Say which bits are meant: '--restore-mark --mask MASK'. nft 1.0 cannot write a masked copy in one
rule: use one rule for each bit, or iptables.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each whole copy behind a writer of bits that the copy is not about."""
    for word in Word:
        for guilty in state.kinds_of_writers(word):
            effect = _whole_copy(guilty, word)
            before = None if effect is None else _loser(state, guilty, word)
            if effect is not None and before is not None:
                yield _finding(guilty, effect, word, *before)


def _whole_copy(use: MarkUse, word: Word) -> MarkEffect | None:
    return next(
        (one for one in use.effects if one.word is word and one.mixed and one.is_whole), None
    )


def _loser(state: HostState, guilty: MarkUse, word: Word) -> tuple[MarkUse, MarkUse] | None:
    """A writer of some bits before the copy, and whoever asks for them behind it."""
    for before in state.kinds_of_writers(word):
        bits = set_by(before, word)
        # what costs least is asked first: a host may have thousands of writers
        if not bits or before.spot.system is System.SOCKET:
            continue
        if any(one.word is word and one.mixed for one in before.effects):
            continue
        if not before.surely_precedes(guilty) or not goes_from(before, guilty):
            continue
        for reader in state.kinds_of_readers(word):
            asked = asked_by(reader, word) & bits
            if asked and goes_from(guilty, reader) and goes_from(before, reader):
                return before, reader
    return None


def _finding(
    guilty: MarkUse, effect: MarkEffect, word: Word, before: MarkUse, reader: MarkUse
) -> Finding:
    bits = set_by(before, word) & asked_by(reader, word)
    mask = ~bits & 0xFFFF or ~bits & 0xFFFFFFFF
    way = "--restore-mark" if word is Word.PACKET else "--save-mark"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{guilty.spot} replaces all 32 bits of the {word} by the {word.other}, and so takes away "
        f"{bits:#x}, which {before.spot} sets and {reader.spot} asks for",
        (guilty.spot, before.spot, reader.spot),
        f"where the {word.other} has no {bits:#x} (a new connection's is 0), the packet has none "
        f"either when {reader.spot} is asked",
        (f"copy only the bits that are meant: -j CONNMARK {way} --mask {mask:#x}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that has the bits and comes by the copy."""
    guilty, before, reader = finding.evidence
    use, first, asking = (state.use_at(spot) for spot in finding.evidence)
    if use is None or first is None or asking is None:
        return NoProbing("its rules are not there any more")
    if _whole_copy(use, Word.PACKET) is None:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    bits = set_by(first, Word.PACKET) & asked_by(asking, Word.PACKET)
    wanted = Wanted((guilty, before, reader), rule_at(state, reader))
    return Probing(conversations(state, wanted), BitsLost(guilty, bits, reader))
