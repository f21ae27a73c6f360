"""A test whose value has bits outside its mask."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import goes_from, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.place import Spot, System, Way
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import ASKS_MORE, NoProbing, Probing
from netfw.doctor.spot_conditions import asks_more
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import Matched, NotMatched

CODE = "mark-test-never-true"
TITLE = "a rule asks for a mark that no packet can have"
EXPLANATION = """\
'--mark VALUE/MASK' is true where (mark & MASK) == VALUE. A value with bits outside the mask is
never equal, and iptables takes it without a word: the rule's counter stays 0. With '!' it is the
other way round, and the rule takes every packet. Routing rules differ: 'ip rule' ignores value
bits outside the mask, so the same pair matches there.

Put the bits into the mask, or take them out of the value.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Every such test, of packet and connection marks."""
    for use in state.uses:
        for test in use.tests:
            if test.value is not None and test.value & ~test.mask:
                yield _sloppy(use, test) if test.ignores_outside else _dead(use, test)


def _dead(use: MarkUse, test: MarkTest) -> Finding:
    assert test.value is not None
    outside = test.value & ~test.mask
    always = "takes every packet" if test.negated else "never takes a packet"
    option = "--mark"
    return Finding(
        CODE,
        Severity.ERROR,
        f"{use.spot} asks for {test.word} {test.value:#x}/{test.mask:#x}, whose value has the "
        f"bits {outside:#x} outside the mask: it {always}",
        (use.spot,),
        f"the rule {always}, whatever its mark",
        (
            f"one of both is meant: {option} {test.value & test.mask:#x}/{test.mask:#x}",
            f"or {option} {test.value:#x}/{test.mask | test.value:#x}",
        ),
    )


def _sloppy(use: MarkUse, test: MarkTest) -> Finding:
    assert test.value is not None
    family = "-6 " if use.spot.family is not None and use.spot.family.value == 6 else ""
    number = use.spot.chain.removeprefix("preference ")
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} asks for {test.value:#x}/{test.mask:#x}: routing ignores the bits "
        f"{test.value & ~test.mask:#x} outside the mask",
        (use.spot,),
        f"it takes every packet with {test.value & test.mask:#x}/{test.mask:#x}, which may "
        "be more than is meant; the same pair in iptables takes none",
        (
            f"ip {family}rule del pref {number}, and add it again with fwmark "
            f"{test.value & test.mask:#x}/{test.mask:#x} or {test.value:#x}/"
            f"{test.mask | test.value:#x}",
        )
        if use.spot.system is System.ROUTING
        else (),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet whose mark has all the bits of the value."""
    (spot,) = finding.evidence
    use = state.use_at(spot)
    tests = () if use is None else use.tests
    test = next((one for one in tests if one.value and one.value & ~one.mask), None)
    if use is None or test is None or test.value is None:
        return NoProbing("its rule is not there any more")
    if test.word is not Word.PACKET:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    if test.ignores_outside:
        mark = test.value & test.mask
        wanted = Wanted((spot,), rule_at(state, spot), mark, frozenset({Way.FROM_HOST}))
        return Probing(conversations(state, wanted), Matched(spot, mark))
    spots: list[tuple[Spot, ...]] = [
        (writer.spot, spot)
        for writer in state.writers(Word.PACKET)
        if set_by(writer, Word.PACKET) & test.value == test.value and goes_from(writer, use)
    ]
    found = [one for those in spots[:3] for one in conversations(state, Wanted(those))]
    found += conversations(state, Wanted((spot,), mark=test.value))
    if test.negated:
        return Probing(tuple(found), Matched(spot, test.value))
    if asks_more(state, spot):
        return ASKS_MORE
    return Probing(tuple(found), NotMatched(spot, has=test.value))
