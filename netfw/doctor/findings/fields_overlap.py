"""Two programs write fields of the mark that overlap in part."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, can_meet, effects_on, goes_from, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings.mark_of_others_decides import owner_of
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import BitsLost
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
_Fields = dict[tuple[int, str], list[tuple[MarkUse, MarkEffect]]]
"""Writers that keep to a mask, by it and by whose they are."""


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
        asked = 0
        for reader in state.kinds_of_readers(word):
            asked |= _needed(reader, word)
        fields: _Fields = {}
        for use, effect in masked:
            if effect.sets & asked:
                fields.setdefault((_mask(effect), owner_of(use)), []).append((use, effect))
        for guilty, effect in masked:
            if effect.clears & asked:
                found = _loss(state, guilty, effect, fields, word)
                if found is not None:
                    yield _finding(guilty, effect, *found, word)


def _is_masked(effect: MarkEffect) -> bool:
    return bool(effect.keep) and bool(_mask(effect)) and not effect.mixed and not effect.opaque


def _mask(effect: MarkEffect) -> int:
    return ~effect.keep & MAX_MARK


def _needed(reader: MarkUse, word: Word) -> int:
    """The bits that must be 1 for some test of a reader."""
    bits = 0
    for test in reader.tests:
        if test.word is word and test.value is not None:
            bits |= test.value & test.mask
    return bits


def _loss(
    state: HostState, guilty: MarkUse, effect: MarkEffect, fields: _Fields, word: Word
) -> tuple[MarkUse, int, MarkUse] | None:
    """Who set bits before, which are lost, and who asks for them behind."""
    mine, owner = _mask(effect), owner_of(guilty)
    for (mask, theirs), writers in fields.items():
        overlaps = mask & mine and mask & ~mine and mine & ~mask
        if not overlaps and not (owner and theirs and owner != theirs):
            continue
        for before, its in writers:
            lost = its.sets & effect.clears
            if before is guilty or not lost or not _lets_pass(guilty, its.xor, mask, word):
                continue
            if goes_from(before, guilty):
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
        if reader is guilty or not _needed(reader, word) & lost:
            continue
        # another program's rule asks for bits of its own there
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


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that has the bits and comes by the guilty rule."""
    guilty, _, reader = finding.evidence
    use, first, asking = (state.use_at(spot) for spot in finding.evidence)
    if use is None or first is None or asking is None:
        return NoProbing("its rules are not there any more")
    lost = 0
    for effect in effects_on(use, Word.PACKET):
        lost |= effect.clears & set_by(first, Word.PACKET) & _needed(asking, Word.PACKET)
    if not lost:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    wanted = Wanted(finding.evidence, rule_at(state, reader))
    return Probing(conversations(state, wanted), BitsLost(guilty, lost, reader))
