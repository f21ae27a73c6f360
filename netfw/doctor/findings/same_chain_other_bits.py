"""One program's chain, loaded twice, sets different bits for the same purpose."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings.mark_of_others_decides import owner_of
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.probing import NoProbing

CODE = "same-chain-other-bits"
TITLE = "a chain of one name sets different bits in two places, or one bit after the other"
EXPLANATION = """\
Two programs of one family (kubelet and kube-proxy, an old and a new version, iptables-legacy and
iptables-nft) make a chain of the same name, such as KUBE-MARK-MASQ, and are configured with
different bits: packets get both, or one where the other is asked for, and are masqueraded, or
not, by accident.

Configure the same bit for both, and remove what an old version has left behind.
"""


_MARKS_ALONE = "MARK"
"""What the name of a chain has whose only purpose is to set one bit."""


def find(state: HostState) -> Iterator[Finding]:
    """Each chain of a known program that two kinds of rules hold with different bits, or whose
    name says that it sets a mark and that sets several, one after the other."""
    by_name: dict[tuple[str, str], list[MarkUse]] = {}
    for use in state.writers(Word.PACKET):
        if set_by(use, Word.PACKET) and not use.matches and owner_of(use):
            by_name.setdefault((use.spot.chain, owner_of(use)), []).append(use)
    for (name, owner), uses in by_name.items():
        other = next((one for one in uses[1:] if _differs(name, uses[0], one, uses)), None)
        if other is not None:
            yield _finding(name, owner, uses[0], other)


def _differs(name: str, first: MarkUse, other: MarkUse, uses: list[MarkUse]) -> bool:
    if not other.shares_family(first):
        return False
    if other.spot.system is not first.spot.system:
        return _bits_in(uses, first) != _bits_in(uses, other)
    same_place = other.spot.table == first.spot.table and other.spot.family is first.spot.family
    return (
        same_place
        and _MARKS_ALONE in name
        and set_by(other, Word.PACKET) != set_by(first, Word.PACKET)
    )


def _bits_in(uses: list[MarkUse], one: MarkUse) -> int:
    """All bits that the chain sets in the kind of rules of one of them."""
    bits = 0
    for use in uses:
        if use.spot.system is one.spot.system and use.spot.family is one.spot.family:
            bits |= set_by(use, Word.PACKET)
    return bits


def _finding(name: str, owner: str, first: MarkUse, other: MarkUse) -> Finding:
    one, two = set_by(first, Word.PACKET), set_by(other, Word.PACKET)
    return Finding(
        CODE,
        Severity.WARNING,
        f"{name} ({owner}) sets {one:#x} in {first.spot} and {two:#x} in {other.spot}",
        (first.spot, other.spot),
        f"whoever asks for {one:#x} misses packets with {two:#x}, or they carry both",
        ("configure the same bit for both programs, and remove the rules of the older one",),
    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("what the two programs meant decides")
