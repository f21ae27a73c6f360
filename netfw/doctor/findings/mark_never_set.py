"""Somebody asks for bits that nothing on this host sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netfw.doctor.asked import given_by, shares_way
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.place import Stage
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import ASKS_MORE, NoProbing, Probing
from netfw.doctor.registry import MarkKind, owners_of
from netfw.doctor.spot_conditions import asks_more
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import NotMatched, TakenWithout

CODE = "mark-never-set"
TITLE = "a mark is asked for that nothing in this network namespace sets"
EXPLANATION = """\
A mark lives in one network namespace: the kernel takes it off where a packet crosses into
another one (veth, netkit), so a mark set in a container is never seen by the host's rules, nor
the other way round. A reader whose bits no rule, socket, device or program of its own namespace
sets waits in vain.

A program that marks its own sockets (SO_MARK) sets the bits only while it runs, and if it may:
without CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17) the call fails with EPERM, many programs
only warn, and their traffic goes on unmarked. 'ss -e' shows 'fwmark:' for each socket with one.

Set the mark on this side (the interface by which the packets come in tells them apart), or let
the program have the capability.
"""


class Unset(NamedTuple):
    """A test for ``bits`` of which some are ``missing``, and the reader that asks it."""

    reader: MarkUse
    test: MarkTest
    bits: int
    missing: int


def find(state: HostState) -> Iterator[Finding]:
    """Each reader of such bits once, routing rules first."""
    for one in unset_marks(state):
        yield _finding(state, *one)


def unset_marks(state: HostState) -> Iterator[Unset]:
    """Each test for bits that nothing on its way sets, once for the same bits."""
    readers = sorted(state.uses, key=lambda use: not use.spot.chain.startswith("preference"))
    seen: set[tuple[Word, int]] = set()
    writers = {word: _writers(state, word) for word in Word}
    for reader in readers:
        for test in reader.tests:
            bits = (test.value or 0) & test.mask
            if not bits or not test.can_match or (test.word, bits) in seen or not reader.passages:
                continue
            others = writers[test.word]
            if reader.written(test.word):
                # what it sets itself comes too late for it
                others = _writers(state, test.word, reader)
            missing = bits & ~_given(others, reader)
            if missing:
                seen.add((test.word, bits))
                yield Unset(reader, test, bits, missing)


_Writers = tuple[int, Mapping[frozenset[Stage], tuple[MarkUse, int]]]
"""Bits that any packet may have, and those of writers at the same stages with one of them."""


def _writers(state: HostState, word: Word, but: MarkUse | None = None) -> _Writers:
    """What writers of a word give; those at the same stages share ways with the same readers."""
    bits = 0
    saved = _saved(state) if word is Word.PACKET else 0
    by_stages: dict[frozenset[Stage], tuple[MarkUse, int]] = {}
    for writer in state.kinds_of_writers(word):
        if writer is but or not writer.passages:
            continue
        given = given_by(writer, word)
        if given & saved:
            bits |= given
            continue
        stages = frozenset(passage.stage for passage in writer.passages)
        first, known = by_stages.get(stages, (writer, 0))
        by_stages[stages] = first, known | given
    if word is Word.CONNECTION:
        for one in state.connections:
            bits |= one.mark
    return bits, by_stages


def _given(writers: _Writers, reader: MarkUse) -> int:
    """The bits that a packet can have where the reader is asked, or at all on its ways."""
    bits, by_stages = writers
    for writer, given in by_stages.values():
        if shares_way(writer, reader):
            bits |= given
    return bits


def _saved(state: HostState) -> int:
    """The bits that the connection's mark may carry from one way to another."""
    bits = 0
    for use in state.kinds_of_writers(Word.CONNECTION):
        for effect in use.effects:
            bits |= effect.mixed
    return bits


def _finding(
    state: HostState, reader: MarkUse, test: MarkTest, bits: int, missing: int
) -> Finding:
    known = owners_of(bits, test.mask, MarkKind.PACKET)
    sockets = [one for one in state.sockets if one.may_mark is False and one.owner]
    who = f" (known of {known[0].name})" if known else ""
    unable = f"; {sockets[0].owner} has sockets and may not mark them" if sockets else ""
    return Finding(
        CODE,
        Severity.WARNING,
        f"{reader.spot} asks for {test.word} {test}{who}, and nothing in this network namespace "
        f"sets {missing:#x}: no rule, no socket, no device",
        (reader.spot,),
        "packets come by as if unmarked; a mark that is set in another namespace (a container) is "
        f"taken off on the way, and a program that may not set SO_MARK sends unmarked{unable}",
        (
            f"set it on this side: iptables -t mangle -A PREROUTING -i INTERFACE -j MARK "
            f"--set-xmark {bits:#x}/{test.mask:#x}",
            "or, where a program sets it with SO_MARK: give it CAP_NET_ADMIN, and look at ss -e",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """Packets of all kinds that the reader is asked about: none may have the bits."""
    (spot,) = finding.evidence
    reader = state.use_at(spot)
    tests = () if reader is None else reader.tests
    asked = [
        test
        for test in tests
        if test.word is Word.PACKET and test.can_match and (test.value or 0) & test.mask
    ]
    bits = 0
    for test in asked:
        bits |= (test.value or 0) & test.mask
    if not bits:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    wanted = Wanted((spot,), rule_at(state, spot))
    if all(test.negated for test in asked):
        return Probing(conversations(state, wanted), TakenWithout(spot, bits), every=True)
    if asks_more(state, spot):
        return ASKS_MORE
    symptom = NotMatched(spot, lacks=bits)
    return Probing(conversations(state, wanted), symptom, every=True)
