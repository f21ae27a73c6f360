"""A writer turns bits over, and a packet may come by twice."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import WAYS, Stage
from netfw.doctor.probe_packets import that_have
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.symptoms import BitsLost
from netfw.ir.match import ConnmarkMatch, MarkMatch

CODE = "mark-toggled"
TITLE = "a mark's bits are turned over where they are meant to be set"
EXPLANATION = """\
'--set-xmark VALUE/MASK' clears the bits of MASK and turns those of VALUE over. Value bits
outside the mask are toggled: a packet that comes by twice (from two hooks, over lo, in a tunnel)
has them off again. A pure '--xor-mark' behind a test that the bits are set is how they are
cleared, and no fault.

Put the value's bits into the mask, or use '--or-mark'.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each writer with value bits outside its mask, and each toggle that two hooks reach."""
    for word in Word:
        for use in state.writers(word):
            for effect in use.effects:
                if effect.word is not word or use.spot.system not in RULES or not effect.toggles:
                    continue
                masked = ~effect.keep & 0xFFFFFFFF
                is_mistake = bool(masked) and effect.xor & masked != effect.xor
                if is_mistake and not effect.mixed and not effect.opaque and effect.keep:
                    yield _finding(use, effect.toggles, effect.xor, masked, word)
                elif not masked and not _is_asked(use, effect.toggles, word):
                    twice = _twice(use)
                    if twice is not None:
                        yield _turned_twice(use, effect.toggles, word, *twice)


def _is_asked(use: MarkUse, bits: int, word: Word) -> bool:
    """Whether the rule or its callers ask for the bits first, and so know how they are."""
    tests = [one for one in use.tests if one.word is word]
    asked = [one for one in use.calls if isinstance(one, MarkMatch | ConnmarkMatch)]
    return any(one.mask & bits for one in tests) or any(one.mark.mask & bits for one in asked)


def _twice(use: MarkUse) -> tuple[Stage, Stage] | None:
    """Two hooks at which one packet may come by the rule."""
    stages = list(dict.fromkeys(where.stage for where in use.passages))
    for way in WAYS.values():
        both = [stage for stage in way if stage in stages]
        if len(both) > 1:
            return both[0], both[1]
    return None


def _turned_twice(use: MarkUse, bits: int, word: Word, first: Stage, second: Stage) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} turns the bits {bits:#x} of the {word} over, and one packet may come by it "
        f"at {first} and at {second}",
        (use.spot,),
        f"a packet that comes by at both has {bits:#x} as it was before",
        (f"set them: --or-mark {bits:#x}",),
    )


def _finding(use: MarkUse, bits: int, value: int, mask: int, word: Word) -> Finding:
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} writes {value:#x}/{mask:#x} into the {word}: the bits {bits:#x} are outside "
        "the mask, and are turned over instead of set",
        (use.spot,),
        f"a packet that has {bits:#x} already, or comes by twice, loses it",
        (f"set them: --set-xmark {value:#x}/{mask | value:#x}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that has the bits when it comes by."""
    (spot,) = finding.evidence
    use = state.use_at(spot)
    bits = 0
    for one in () if use is None else use.effects:
        bits |= one.toggles if one.word is Word.PACKET else 0
    if use is None or not bits:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    return Probing(that_have(state, use, bits), BitsLost(spot, bits))
