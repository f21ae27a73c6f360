"""A writer without a fitting mask takes bits away that somebody set and somebody reads later."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import BEGINNERS, asked_bits, can_meet, goes_from
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.doctor.place import System

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
    writers = state.writers(Word.PACKET)
    readers = state.readers(Word.PACKET)
    for guilty in writers:
        effect = _whole_constant(guilty)
        if effect is None:
            continue
        for reader in readers:
            lost = _lost(guilty, effect, reader, writers)
            if lost is not None:
                bits, before = lost
                yield _finding(guilty, effect, reader, before, bits)
                break
        else:
            unread = _lost_unread(guilty, effect, writers)
            if unread is not None:
                yield _unread(guilty, effect, *unread)


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
    guilty: MarkUse, effect: MarkEffect, reader: MarkUse, writers: tuple[MarkUse, ...]
) -> tuple[int, MarkUse] | None:
    """The bits that a reader needs, that are lost here, and who set them before."""
    if not goes_from(guilty, reader):
        return None
    needed = 0
    for test in reader.tests:
        if test.word is Word.PACKET:
            needed |= test.needed or asked_bits(test)
    lost = needed & ~effect.xor
    if not lost:
        return None
    for before in writers:
        if not goes_from(before, guilty) or not can_meet(before, reader):
            continue
        set_before = 0
        for one in before.effects:
            if one.word is Word.PACKET and not one.is_whole:
                set_before |= one.may_set
        if set_before & lost:
            return set_before & lost, before
    return None


def _lost_unread(
    guilty: MarkUse, effect: MarkEffect, writers: tuple[MarkUse, ...]
) -> tuple[MarkUse, int] | None:
    """A rule that surely comes before and sets masked bits, which are lost though nobody asks."""
    for before in writers:
        if before.spot.system in BEGINNERS or not before.surely_precedes(guilty):
            continue
        bits = 0
        for one in before.effects:
            if one.word is Word.PACKET and not one.is_whole:
                bits |= one.xor
        if bits & ~effect.xor and effect.xor and goes_from(before, guilty):
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
