"""A number is written in one base and asked for in another."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import BEGINNERS, begins_with
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import ASKS_MORE, NoProbing, Probing
from netfw.doctor.spot_conditions import asks_more
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import NotMatched

CODE = "digit-twins"
TITLE = "a mark is written in decimal and asked for in hexadecimal, or the other way round"
EXPLANATION = """\
'--set-mark 10000' is decimal, 0x2710; 'fwmark 0x10000' is 65536. A leading 0 means octal:
'--set-mark 0100' is 0x40. WireGuard's 51820 is 0xca6c, not 0x51820; Istio's 1337 is 0x539. Two
constants with the same digits, one that is written and that nobody asks for, and one that is
asked for and that nobody writes, are most likely meant to be the same.

Write marks in hexadecimal everywhere, with 0x.
"""
_LEAST = 8
"""Below this the digits are the same in every base."""
_OCTAL = range(3, 5)
"""How many digits such a number has: of long ones with a single bit each, two are twins by chance
(0x200000 is not meant to be 0200000, which is 0x10000)."""
_IS_OCTAL = "is octal"


def find(state: HostState) -> Iterator[Finding]:
    """Each pair of such constants, once."""
    for word in Word:
        written = _written(state, word)
        asked = _asked(state, word)
        by_digits: dict[str, list[int]] = {}
        for twin in asked:
            for digits in _digits(twin):
                by_digits.setdefault(digits, []).append(twin)
        for value, writer in written.items():
            twins = {twin: None for digits in _digits(value) for twin in by_digits.get(digits, ())}
            if not any(_twins(value, twin) for twin in twins):
                continue
            if any(_names(test, value) for _, test in asked.values()):
                continue
            for twin in twins:
                reader, test = asked[twin]
                how = _twins(value, twin)
                if how and not any(_names(test, other) for other in written):
                    yield _finding(writer, value, reader, twin, how)


def _names(test: MarkTest, mark: int) -> bool:
    """Whether a test is about this mark, for it or against it."""
    return test.value is not None and not (mark ^ test.value) & test.mask


def _digits(value: int) -> tuple[str, str, str]:
    """A number in the three bases that people write marks in."""
    return str(value), f"{value:x}", f"{value:o}"


def _written(state: HostState, word: Word) -> dict[int, MarkUse]:
    return {
        effect.xor: use
        for use in reversed(state.kinds_of_writers(word))
        for effect in use.effects
        if effect.word is word and effect.xor >= _LEAST and not effect.mixed
    }


def _asked(state: HostState, word: Word) -> dict[int, tuple[MarkUse, MarkTest]]:
    return {
        test.value & test.mask: (use, test)
        for use in reversed(state.uses)
        for test in use.tests
        if test.word is word and test.value is not None and test.value & test.mask >= _LEAST
    }


def _twins(written: int, asked: int) -> str:
    """How the digits of two numbers are the same, in words; empty where they are not."""
    if written == asked:
        return ""
    if str(written) == f"{asked:x}":
        return f"{written} was meant as 0x{written}"
    if f"{written:x}" == str(asked):
        return f"{asked} was meant as 0x{asked}"
    octal = f"{written:o}"
    if len(octal) in _OCTAL and octal in (f"{asked:x}", str(asked)):
        return f"0{octal} {_IS_OCTAL}"
    octal = f"{asked:o}"
    if len(octal) in _OCTAL and octal in (f"{written:x}", str(written)):
        return f"0{octal} {_IS_OCTAL}"
    return ""


def _finding(writer: MarkUse, value: int, reader: MarkUse, asked: int, how: str) -> Finding:
    kind = "gives" if writer.spot.system in BEGINNERS else "writes"
    return Finding(
        CODE,
        # two bits of one word may look like that by chance: 0x40 is 0100, and 0x100 is another bit
        Severity.WARNING if how.endswith(_IS_OCTAL) else Severity.ERROR,
        f"{writer.spot} {kind} {value:#x} ({value}), and {reader.spot} asks for {asked:#x} "
        f"({asked}): the same digits, another number ({how})",
        (writer.spot, reader.spot),
        f"no packet with mark {value:#x} is taken by a rule for {asked:#x}",
        (f"write marks with 0x on both sides: {asked:#x}, or {value:#x}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that the writer marks, where the reader is asked."""
    spot, asking = finding.evidence
    writer, reader = state.use_at(spot), state.use_at(asking)
    if writer is None or reader is None:
        return NoProbing("its rules are not there any more")
    if any(test.word is not Word.PACKET for test in reader.tests):
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    if asks_more(state, asking):
        return ASKS_MORE
    values = [one.xor for one in writer.effects if one.word is Word.PACKET and one.xor]
    mark = begins_with(writer)
    wanted = Wanted((spot, asking), rule_at(state, asking), mark)
    symptom = NotMatched(asking, has=values[0], behind=None if mark else spot)
    return Probing(conversations(state, wanted), symptom)
