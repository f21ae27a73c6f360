"""A writer without a fitting mask takes bits away that somebody set and somebody reads later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netfw.doctor.asked import BEGINNERS, asked_bits, begins_with, can_meet, goes_from
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import BitsLost

CODE = "mark-overwritten"
TITLE = "a rule overwrites mark bits that others set before it and read behind it"
EXPLANATION = """\
'--set-mark N' and 'meta mark set N' without a mask replace all 32 bits of the packet mark, not
only those that N is about. A bit that another rule set before it is gone when a rule behind it
asks for that bit: a packet that was let through is dropped, or leaves by the wrong uplink.

Write only the bits that are yours: '--set-xmark N/MASK', '--or-mark N', in nftables 'meta mark
set mark and ~MASK or N'.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each whole-word writer between a writer of some bits and a reader of them."""
    writers = state.kinds_of_writers(Word.PACKET)
    # a host may have thousands of each: what sets no bit or asks for none is not compared
    setters = [(use, bits) for use in writers if (bits := _set_masked(use))]
    readers = [
        (use, bits) for use in state.kinds_of_readers(Word.PACKET) if (bits := _needed(use))
    ]
    set_by_anybody = 0
    for _, bits in setters:
        set_by_anybody |= bits
    for guilty in writers:
        effect = _whole_constant(guilty)
        if effect is None:
            continue
        may_be_lost = set_by_anybody & ~effect.xor
        for reader, needed in readers:
            lost = _lost(guilty, needed & may_be_lost, reader, setters)
            if lost is not None:
                bits, before = lost
                yield _finding(guilty, effect, reader, before, bits)
                break
        else:
            unread = _lost_unread(guilty, effect, setters)
            if unread is not None:
                yield _unread(guilty, effect, *unread)


def _set_masked(use: MarkUse) -> int:
    """The bits that a use may set while it keeps others."""
    bits = 0
    for effect in use.effects:
        if effect.word is Word.PACKET and not effect.is_whole:
            bits |= effect.may_set
    return bits


def _needed(use: MarkUse) -> int:
    """The bits that a use asks for."""
    bits = 0
    for test in use.tests:
        if test.word is Word.PACKET:
            bits |= test.needed or asked_bits(test)
    return bits


def _whole_constant(use: MarkUse) -> MarkEffect | None:
    """The effect that replaces the whole packet mark by a constant, if the use is a rule with
    one: sockets and devices give packets their first mark, and so overwrite nothing."""
    if use.spot.system in (System.SOCKET, System.DEVICE):
        return None
    return next(
        (
            effect
            for effect in use.effects
            if effect.word is Word.PACKET
            and effect.is_whole
            and not effect.mixed
            and not effect.opaque
        ),
        None,
    )


def _lost(
    guilty: MarkUse, bits: int, reader: MarkUse, setters: Sequence[tuple[MarkUse, int]]
) -> tuple[int, MarkUse] | None:
    """Those of the bits a reader asks for that are lost here, and who set them before."""
    if not bits or not goes_from(guilty, reader):
        return None
    for before, set_before in setters:
        if set_before & bits and goes_from(before, guilty) and can_meet(before, reader):
            return set_before & bits, before
    return None


def _lost_unread(
    guilty: MarkUse, effect: MarkEffect, setters: Sequence[tuple[MarkUse, int]]
) -> tuple[MarkUse, int] | None:
    """A rule that surely comes before and sets masked bits, which are lost though nobody asks."""
    if not effect.xor:
        return None
    for before, _ in setters:
        bits = 0
        for one in before.effects:
            if one.word is Word.PACKET and not one.is_whole:
                bits |= one.xor
        if (
            bits & ~effect.xor
            and before.spot.system not in BEGINNERS
            and before.surely_precedes(guilty)
            and goes_from(before, guilty)
        ):
            return before, bits & ~effect.xor
    return None


def _unread(guilty: MarkUse, effect: MarkEffect, before: MarkUse, bits: int) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{guilty.spot} sets all 32 bits of the packet mark to {effect.xor:#x}, and so takes away "
        f"{bits:#x}, which {before.spot} sets; nothing here asks for it behind that",
        (guilty.spot, before.spot),
        f"a packet that comes by both ends with mark {effect.xor:#x} alone",
        (
            "write only the bits that are meant: "
            f"-j MARK --set-xmark {effect.xor:#x}/{effect.xor:#x}",
        ),
    )


def _finding(
    guilty: MarkUse, effect: MarkEffect, reader: MarkUse, before: MarkUse, bits: int
) -> Finding:
    value = effect.xor
    mask = value or bits
    if guilty.spot.system is System.NFTABLES:
        fix = f"meta mark set mark and {~mask & 0xFFFFFFFF:#x} or {value:#x}"
    else:
        fix = f"-j MARK --set-xmark {value:#x}/{mask:#x}"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{guilty.spot} sets all 32 bits of the packet mark to {value:#x}, and so takes away "
        f"{bits:#x}, which {before.spot} sets and {reader.spot} asks for",
        (guilty.spot, before.spot, reader.spot),
        f"a packet that comes by both has no {bits:#x} any more when {reader.spot} is asked",
        (f"write only the bits that are meant: {fix}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that has the bits and comes by the guilty rule."""
    guilty, before, *readers = finding.evidence
    use, first = state.use_at(guilty), state.use_at(before)
    effect = None if use is None else _whole_constant(use)
    if effect is None or first is None:
        return NoProbing("its rules are not there any more")
    bits = _set_masked(first) & ~effect.xor
    reader = readers[0] if readers else None
    if reader is not None and (asking := state.use_at(reader)) is not None:
        bits &= _needed(asking)
    wanted = Wanted(finding.evidence, rule_at(state, reader), mark=begins_with(first))
    return Probing(conversations(state, wanted), BitsLost(guilty, bits, reader))
