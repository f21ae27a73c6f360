"""A socket has a mark that nobody asks for, beside newer ones of the same program."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probing import NoProbing

CODE = "stale-socket-mark"
TITLE = "a socket keeps a mark of yesterday that nobody asks for any more"
EXPLANATION = """\
A program gives a socket its mark when it opens it. After a change of its configuration, or of
the rules, sockets that are open keep the old one: their packets are routed and filtered as if
unmarked, while new ones of the same program are well.

Restart the program, or have it open its sockets anew.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each mark of a program that no test is true for, beside another one that somebody asks."""
    by_program: dict[str, list[MarkUse]] = {}
    for use in state.uses:
        if use.spot.system is System.SOCKET and use.owner:
            by_program.setdefault(use.owner.partition("[")[0], []).append(use)
    for uses in by_program.values():
        if len({_mark_of(use) for use in uses}) < 2:
            continue
        readers = {use: _reader(state, _mark_of(use)) for use in uses}
        asked = [(use, reader) for use, reader in readers.items() if reader is not None]
        if asked:
            for use, reader in readers.items():
                if reader is None:
                    yield _finding(use, *asked[0])


def _mark_of(use: MarkUse) -> int:
    return use.effects[0].xor


def _reader(state: HostState, mark: int) -> MarkUse | None:
    """Somebody who asks for this mark, or for bits that it has."""
    for reader in state.kinds_of_readers(Word.PACKET):
        for test in reader.tests:
            value = 0 if test.value is None else test.value & test.mask
            if test.word is Word.PACKET and value and not (mark ^ value) & test.mask:
                return reader
    return None


def _finding(stale: MarkUse, newer: MarkUse, reader: MarkUse) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{stale.spot} has sockets with mark {_mark_of(stale):#x}, which nobody asks for, and "
        f"others with {_mark_of(newer):#x}, which {reader.spot} asks for",
        (stale.spot, newer.spot, reader.spot),
        "packets of these sockets are treated as if they had no mark",
        (f"restart the program: {stale.owner}",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("it is about what a program meant, which is not in a twin")
