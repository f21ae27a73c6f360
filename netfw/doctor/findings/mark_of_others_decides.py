"""One program's rule decides by a bit that another one sets with another meaning."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import BEGINNERS, RULES, begins_with, goes_from, set_by, wiped_between
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Ending, MarkTest, MarkUse, Word
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.registry import MarkKind, Software, owners_of, software_of_chain
from netfw.doctor.symptoms import DecidedByOthers

CODE = "mark-of-others-decides"
TITLE = "a rule of one program accepts or drops by a bit that another program sets"
EXPLANATION = """\
There are 32 bits and more than sixty programs that use them; many chose the same. Where one
program accepts packets with a bit ('0x20000: complies with the network policy') and another sets
that bit with a meaning of its own ('0x20000: has been looked at'), the first lets through what
the second is about to deny. Whole-word marks of programs (SO_MARK, WireGuard) hit such bits by
accident.

Move one of both to other bits: netfw's own field with 'marks: {mask: ...}' in the policy, and
'netfw doctor --free' proposes one.
"""
_DECIDES = frozenset({Ending.ACCEPTED, Ending.DROPPED})


def find(state: HostState) -> Iterator[Finding]:
    """Each rule in a known program's chain that decides by bits which somebody else sets."""
    seen = set()
    for reader in state.uses:
        mine = owner_of(reader)
        if reader.spot.system not in RULES or reader.ending not in _DECIDES or not mine:
            continue
        for test in reader.tests:
            if test.word is not Word.PACKET or not test.needed:
                continue
            writer = _stranger(state, reader, test, mine)
            if writer is not None and (reader.spot, writer.spot) not in seen:
                seen.add((reader.spot, writer.spot))
                yield _finding(reader, test, writer, mine)


def owner_of(use: MarkUse) -> str:
    """Whose chain or socket a use is; empty for built-in chains and those nobody knows."""
    if use.spot.system in BEGINNERS:
        return use.owner or use.spot.chain
    return software_of_chain(use.spot.chain, use.spot.table)


def _stranger(state: HostState, reader: MarkUse, test: MarkTest, mine: str) -> MarkUse | None:
    """A writer that is not the reader's program, whose packets pass the test."""
    for writer in state.kinds_of_writers(Word.PACKET):
        theirs = owner_of(writer)
        if theirs == mine or not goes_from(writer, reader):
            continue
        if test.needed & ~set_by(writer, Word.PACKET):
            continue
        if not wiped_between(state, writer, reader, test.needed, Word.PACKET):
            return writer
    return None


def _finding(reader: MarkUse, test: MarkTest, writer: MarkUse, mine: str) -> Finding:
    does = "accepts" if reader.ending is Ending.ACCEPTED else "drops"
    known: tuple[Software, ...] = owners_of(test.needed, test.mask, MarkKind.PACKET)
    meanings = [
        one.meaning
        for software in known
        for one in software.values
        if one.value == test.needed and mine in software.name.lower()
    ]
    meant = f", which there means '{meanings[0]}'" if meanings else ""
    theirs = owner_of(writer)
    whose = f" of {theirs}" if theirs else ""
    return Finding(
        CODE,
        Severity.ERROR,
        f"{reader.spot} ({mine}) {does} packets with mark {test}{meant}, and {writer.spot}{whose} "
        "sets it with another meaning",
        (reader.spot, writer.spot),
        f"a packet that {writer.spot} has marked is {reader.ending.value} here, whatever the "
        "other "
        "rules say of it",
        (
            "move one of both to bits that nobody else uses; for netfw: marks: {mask: ...} in the "
            "policy (netfw doctor --free proposes one)",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that comes by both."""
    spot, other = finding.evidence
    reader, writer = state.use_at(spot), state.use_at(other)
    if reader is None or writer is None:
        return NoProbing("its rules are not there any more")
    bits = 0
    for test in reader.tests:
        if test.word is Word.PACKET and not test.needed & ~set_by(writer, Word.PACKET):
            bits |= test.needed
    mark = begins_with(writer)
    wanted = Wanted((spot, other), mark=mark)
    symptom = DecidedByOthers(spot, None if mark else other, bits)
    return Probing(conversations(state, wanted), symptom)
