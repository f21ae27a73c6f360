"""A writer keeps the bits that it means to write, and clears all others."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkUse, Word
from netfw.doctor.probe_packets import that_have
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.symptoms import BitsLost
from netfw.ir.mark import MAX_MARK

CODE = "mask-inverted"
TITLE = "a mark is written with the mask the wrong way round"
EXPLANATION = """\
'meta mark set mark and MASK xor VALUE' keeps the bits of MASK and clears all others. Whoever
takes a pair VALUE/MASK from iptables has to turn the mask over: 'mark and ~MASK xor VALUE'.
firewalld's nftables backend does not for 'mark set=0x200/0x3f00': every bit outside 0x3f00 is
cleared, and the field itself is toggled instead of set.
"""
_FEW = 16


def find(state: HostState) -> Iterator[Finding]:
    """Each constant writer whose value lies wholly in the few bits that it keeps."""
    for word in Word:
        for use in state.writers(word):
            for effect in use.effects:
                if use.spot.system in RULES and effect.word is word and _is_inverted(effect):
                    yield _finding(use, effect, word)


def _is_inverted(effect: MarkEffect) -> bool:
    is_constant = not effect.mixed and not effect.opaque
    few = 0 < effect.keep.bit_count() <= _FEW
    return is_constant and few and effect.xor != 0 and effect.xor & ~effect.keep == 0


def _finding(use: MarkUse, effect: MarkEffect, word: Word) -> Finding:
    keep, value = effect.keep, effect.xor
    return Finding(
        CODE,
        Severity.WARNING,
        f"{use.spot} clears all bits of the {word} outside {keep:#x} and toggles {value:#x} "
        "inside: "
        "its mask is most likely the wrong way round",
        (use.spot,),
        f"bits of others in {~keep & MAX_MARK:#x} are gone, and {value:#x} is off again where it "
        "was set",
        (f"keep the other bits: (mark & {~keep & MAX_MARK:#x}) ^ {value:#x}",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that has the bits when it comes by."""
    (spot,) = finding.evidence
    use = state.use_at(spot)
    bits = 0
    for one in () if use is None else use.effects:
        bits |= ~one.keep & MAX_MARK if one.word is Word.PACKET else 0
    if use is None or not bits:
        return NoProbing("it is about the connection mark, and trace events carry the packet's")
    return Probing(that_have(state, use, bits), BitsLost(spot, bits))
