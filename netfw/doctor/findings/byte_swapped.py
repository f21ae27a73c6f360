"""Two constants are each other's bytes in the other order."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, begins_with
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import ASKS_MORE, NoProbing, Probing
from netfw.doctor.spot_conditions import asks_more
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import NotMatched

CODE = "byte-swapped"
TITLE = "a mark is written in one byte order and asked for in the other"
EXPLANATION = """\
Marks are numbers of the host's byte order. A program that builds nftables expressions with
big-endian constants writes 0x400/0xff00 where it means 0x40000/0xff0000 (as tailscale did before
1.98). The rule loads, and touches bits of somebody else.

Update the program; write the constant in the host's order.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each masked constant whose bytes turned round are another masked constant of the host."""
    for word in Word:
        constants = _constants(state, word)
        for (value, mask), use in constants.items():
            twin = (_swapped(value), _swapped(mask))
            other = constants.get(twin)
            # of each pair the one that lies lower is the wrong one: fields lie in the upper bytes
            if other is not None and twin != (value, mask) and mask < twin[1]:
                yield _finding(use, value, mask, other, *twin)


def _constants(state: HostState, word: Word) -> dict[tuple[int, int], MarkUse]:
    found: dict[tuple[int, int], MarkUse] = {}
    for use in state.uses:
        pairs = [
            (effect.xor, ~effect.keep & 0xFFFFFFFF)
            for effect in use.effects
            if effect.word is word and not effect.mixed and not effect.opaque
        ]
        pairs += [
            (test.value, test.mask)
            for test in use.tests
            if test.word is word and test.value is not None
        ]
        for value, mask in pairs:
            if value and mask not in (0, 0xFFFFFFFF):
                known = found.setdefault((value, mask), use)
                if known.spot.system not in RULES and use.spot.system in RULES:
                    found[value, mask] = use
    return found


def _swapped(word: int) -> int:
    return int.from_bytes(word.to_bytes(4, "big"), "little")


def _finding(
    use: MarkUse, value: int, mask: int, other: MarkUse, twin: int, twin_mask: int
) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} speaks of {value:#x}/{mask:#x}, which is {twin:#x}/{twin_mask:#x} of "
        f"{other.spot} with its bytes in the other order",
        (use.spot, other.spot),
        f"one of both touches the wrong bits: a packet with {value:#x} is not one with {twin:#x}",
        (f"write {twin:#x}/{twin_mask:#x} in both, or update the program that made the rule",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that one of both marks, where the other one asks."""
    both = [use for spot in finding.evidence if (use := state.use_at(spot)) is not None]
    writer = next((use for use in both if use.written(Word.PACKET)), None)
    reader = next((use for use in both if use is not writer and use.tests), None)
    if writer is None or reader is None or not reader.read(Word.PACKET):
        return NoProbing("neither asks for what the other one sets on packets")
    if asks_more(state, reader.spot):
        return ASKS_MORE
    value = next(one.xor for one in writer.effects if one.word is Word.PACKET)
    mark = begins_with(writer)
    wanted = Wanted((writer.spot, reader.spot), rule_at(state, reader.spot), mark)
    symptom = NotMatched(reader.spot, has=value, behind=None if mark else writer.spot)
    return Probing(conversations(state, wanted), symptom)
