"""A mark is compared as a whole word, and somebody else sets further bits of it before."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, begins_with, goes_from
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import ASKS_MORE, NoProbing, Probing
from netfw.doctor.spot_conditions import asks_more
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
    marking = _Marking(state)
    for reader in state.kinds_of_readers(Word.PACKET):
        for test in reader.tests:
            if test.word is Word.PACKET and test.mask == MAX_MARK and test.value:
                meddler = _meddler(marking, reader, test.value)
                if meddler is not None:
                    yield _finding(reader, test.value, *meddler)


class _Marking:
    """Who makes which marks, looked up once: hosts have thousands of readers."""

    def __init__(self, state: HostState) -> None:
        self.makers: dict[int, list[MarkUse]] = {}
        """Writers by the value that they give."""
        self.whole: set[int] = set()
        """Values that somebody gives the whole word."""
        self.adding: list[tuple[MarkUse, int]] = []
        """Rules that set bits and keep others."""
        self.asked = {one.value for use in state.uses for one in use.tests}
        for use in state.kinds_of_writers(Word.PACKET):
            bits = 0
            for one in use.effects:
                self.makers.setdefault(one.xor, []).append(use)
                if one.is_whole:
                    self.whole.add(one.xor)
                elif one.word is Word.PACKET and not one.mixed and not one.opaque:
                    bits |= one.sets
            if bits and use.spot.system in RULES:
                self.adding.append((use, bits))


def _meddler(marking: _Marking, reader: MarkUse, value: int) -> tuple[MarkUse, int] | None:
    makers = marking.makers.get(value, [])
    for use, sets in marking.adding if makers else ():
        bits = sets & ~value
        # whoever asks for the sum as well knows of the other bits
        if not bits or value | bits in marking.asked or value | bits in marking.whole:
            continue
        if goes_from(use, reader) and any(
            maker is not use and goes_from(maker, use) for maker in makers
        ):
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
    if asks_more(state, spot):
        return ASKS_MORE
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
