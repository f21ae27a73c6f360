"""A mark is compared as a whole word, and somebody else sets further bits of it before."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, begins_with, goes_from
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import NotMatched
from netfw.ir.mark import MAX_MARK

CODE = "equality-sees-other-bits"
TITLE = "a mark is compared as a whole while others set bits of it"
EXPLANATION = """\
'--mark N', 'meta mark N' and 'ip rule fwmark N' without a mask compare all 32 bits. As soon as
another rule has set a bit of its own on the packet, the mark is not N any more, and the rule
does not match: kube-proxy's 0x4000 on top of 0x1bd20 makes 0x1fd20.

Compare only the bits that are meant: N/MASK.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each such test with a writer of further bits before it, and one of its value before that."""
    for reader in state.kinds_of_readers(Word.PACKET):
        for test in reader.tests:
            if test.word is Word.PACKET and test.mask == MAX_MARK and test.value:
                meddler = _meddler(state, reader, test, test.value)
                if meddler is not None:
                    yield _finding(reader, test.value, *meddler)


def _meddler(
    state: HostState, reader: MarkUse, test: MarkTest, value: int
) -> tuple[MarkUse, int] | None:
    writers = state.kinds_of_writers(Word.PACKET)
    makers = [use for use in writers if any(one.xor == value for one in use.effects)]
    whole = {
        one.xor
        for use in state.kinds_of_writers(Word.PACKET)
        for one in use.effects
        if one.is_whole
    }
    for use in writers:
        bits = 0
        for one in use.effects:
            if one.word is Word.PACKET and not one.is_whole and not one.mixed and not one.opaque:
                bits |= one.sets & ~value
        if not bits or use.spot.system not in RULES or not goes_from(use, reader):
            continue
        if any(maker is not use and goes_from(maker, use) for maker in makers):
            # whoever asks for the sum as well knows of the other bits
            known = any(one.value == value | bits for other in state.uses for one in other.tests)
            if not known and value | bits not in whole:
                return use, bits
    return None


def _finding(reader: MarkUse, value: int, meddler: MarkUse, bits: int) -> Finding:
    where = "fwmark" if reader.spot.system is System.ROUTING else "--mark"
    return Finding(
        CODE,
        Severity.WARNING,
        f"{reader.spot} compares the whole packet mark with {value:#x}, and {meddler.spot} sets "
        f"{bits:#x} before it",
        (reader.spot, meddler.spot),
        f"a packet that comes by both has {value | bits:#x}, which is not {value:#x}",
        (
            f"give IPVS the whole word: take {bits:#x} off before, or set {value:#x} behind it"
            if reader.spot.system is System.IPVS
            else f"compare the bits that are meant: {where} {value:#x}/{~bits & MAX_MARK:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that gets the value, and then the further bits."""
    spot, other = finding.evidence
    reader, meddler = state.use_at(spot), state.use_at(other)
    if reader is None or meddler is None:
        return NoProbing("its rules are not there any more")
    value = next(test.value for test in reader.tests if test.mask == MAX_MARK and test.value) or 0
    makers = [
        use
        for use in state.writers(Word.PACKET)
        if use is not meddler
        and any(one.xor == value for one in use.effects)
        and goes_from(use, meddler)
    ]
    found = [
        conversation
        for maker in makers[:3]
        for conversation in conversations(
            state,
            Wanted((maker.spot, other, spot), rule_at(state, spot), begins_with(maker)),
        )
    ]
    bits = value
    for one in meddler.effects:
        bits |= one.sets if one.word is Word.PACKET and not one.is_whole else 0
    return Probing(tuple(found), NotMatched(spot, has=bits, behind=other))
