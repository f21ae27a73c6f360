"""Two programs write fields of the mark that overlap in part."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, can_meet, goes_from
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings.mark_of_others_decides import owner_of
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.ir.mark import MAX_MARK

CODE = "fields-overlap"
TITLE = "two rules write fields of the mark that overlap, and the second clears bits of the first"
EXPLANATION = """\
A mask keeps a rule to its own bits, but two programs may have chosen masks that share some:
Calico's 'mark and 0xfff1ffff' takes bits of the identity that Cilium keeps in 0xffff00ff, a
number of 0x105 in 0xffff does not survive mwan3's 0x3f00. Each is right by itself; a packet that
comes by both has neither's value.

Move one of both to bits that the other does not touch; 'netfw doctor --free' proposes some.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each writer that clears, by a mask of another shape, bits that are asked for behind it."""
    for word in Word:
        masked = [
            (use, effect)
            for use in state.kinds_of_writers(word)
            if use.spot.system in RULES
            for effect in use.effects
            if effect.word is word and _is_masked(effect)
        ]
        by_mask: dict[int, list[tuple[MarkUse, MarkEffect]]] = {}
        for use, effect in masked:
            by_mask.setdefault(_mask(effect), []).append((use, effect))
        for guilty, effect in masked:
            found = _loss(state, guilty, effect, by_mask, word)
            if found is not None:
                yield _finding(guilty, effect, *found, word)


def _is_masked(effect: MarkEffect) -> bool:
    return bool(effect.keep) and bool(_mask(effect)) and not effect.mixed and not effect.opaque


def _mask(effect: MarkEffect) -> int:
    return ~effect.keep & MAX_MARK


def _loss(
    state: HostState,
    guilty: MarkUse,
    effect: MarkEffect,
    by_mask: dict[int, list[tuple[MarkUse, MarkEffect]]],
    word: Word,
) -> tuple[MarkUse, int, MarkUse] | None:
    """Who set bits before, which are lost, and who asks for them behind."""
    mine = _mask(effect)
    for mask, writers in by_mask.items():
        overlaps = mask & mine and mask & ~mine and mine & ~mask
        for before, its in writers:
            lost = its.sets & effect.clears
            if before is guilty or not lost or not (overlaps or _are_strangers(guilty, before)):
                continue
            if not _lets_pass(guilty, its.xor, mask, word) or not goes_from(before, guilty):
                continue
            reader = _reader(state, guilty, before, lost, word)
            if reader is not None:
                return before, lost, reader
    return None


def _are_strangers(one: MarkUse, other: MarkUse) -> bool:
    """Whether two programs that are both known wrote the rules."""
    mine, theirs = owner_of(one), owner_of(other)
    return bool(mine) and bool(theirs) and mine != theirs


def _lets_pass(guilty: MarkUse, value: int, mask: int, word: Word) -> bool:
    """Whether the tests of the writer let packets with the first one's value pass."""
    return not any(
        test.word is word and test.mask & ~mask == 0 and test.matches(value) is False
        for test in guilty.tests
    )


def _reader(
    state: HostState, guilty: MarkUse, before: MarkUse, lost: int, word: Word
) -> MarkUse | None:
    for reader in state.kinds_of_readers(word):
        needed = 0
        for test in reader.tests:
            if test.word is word and test.value is not None:
                needed |= test.value & test.mask
        if reader is guilty or not needed & lost:
            continue
        # the guilty one's own program knows what it does to its bits
        if _are_strangers(reader, before):
            continue
        if goes_from(guilty, reader) and can_meet(before, reader):
            return reader
    return None


def _finding(
    guilty: MarkUse,
    effect: MarkEffect,
    before: MarkUse,
    lost: int,
    reader: MarkUse,
    word: Word,
) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{guilty.spot} writes {effect} into the {word}, and so clears {lost:#x}, which "
        f"{before.spot} sets in a field of its own and {reader.spot} asks for",
        (guilty.spot, before.spot, reader.spot),
        f"a packet that comes by both has no {lost:#x} any more when {reader.spot} is asked",
        ("give one of both other bits, wherever they are written and read (netfw doctor --free)",),
    )
