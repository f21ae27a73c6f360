"""A rule above a writer decides about packets that the writer is for."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.any_of import Condition, each_of
from netfw.doctor.asked import RULES, asked_by, conditions_of, program_of, set_by
from netfw.doctor.chain_ends import ChainEnd, Endings
from netfw.doctor.conditions import exclude, imply
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import rule_at
from netfw.doctor.symptoms import ChainEnded
from netfw.ir.match import (
    ConnmarkMatch,
    ConntrackMatch,
    InterfaceMatch,
    MarkMatch,
    StateMatch,
    UnknownMatch,
)

CODE = "mark-rule-unreached"
TITLE = "a rule above ends the chain before the mark is set"
EXPLANATION = """\
ACCEPT ends the base chain for the packet, wherever it stands: in a user chain that PREROUTING
calls as well. Rules below are not asked any more, those that set or restore a mark among them.
The same goes for DROP, and for NFQUEUE: the verdict of the program behind it ends the chain too.

Use RETURN in the user chain instead of ACCEPT, or put the mark rule above it.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each writer whose bits somebody reads, behind a rule that takes its packets."""
    endings = Endings(state)
    for writer in state.kinds_of_writers(Word.PACKET):
        bits = set_by(writer, Word.PACKET)
        if writer.spot.system not in RULES or not bits or not writer.passages:
            continue
        # readers come last: there may be thousands, and mostly no rule ends the chain
        conditions = conditions_of(writer)
        ending = next(
            (one for one in endings.before(writer) if _takes(one, writer, conditions)), None
        )
        reader = None if ending is None else _reader(state, writer, bits)
        if ending is not None and reader is not None:
            yield _finding(writer, reader, ending)


def _reader(state: HostState, writer: MarkUse, bits: int) -> MarkUse | None:
    return next(
        (
            use
            for use in state.kinds_of_readers(Word.PACKET)
            if use.spot != writer.spot
            and asked_by(use, Word.PACKET) & bits
            and writer.may_precede(use)
        ),
        None,
    )


def _takes(ending: ChainEnd, writer: MarkUse, conditions: tuple[Condition, ...]) -> bool:
    """Whether packets that the writer is for end there, in the same base chain, before it."""
    same = [
        (one, other)
        for one in ending.passages
        for other in writer.passages
        if one.base == other.base
    ]
    if not same or not all(one.surely_precedes(other) for one, other in same):
        return False
    # what both have in common is asked of all packets that come here at all
    return not exclude(ending.matches, conditions) and (
        _takes_all(ending, conditions) or not _is_about_more(ending)
    )


def _takes_all(ending: ChainEnd, conditions: tuple[Condition, ...]) -> bool:
    """Whether no packet of the writer gets past it; a mark may change between the two."""
    return imply(conditions, ending.matches) and not any(
        isinstance(one, MarkMatch | ConnmarkMatch) for one in ending.matches
    )


def _is_about_more(ending: ChainEnd) -> bool:
    """Whether a rule is for connections or marks that are known already, for lo, or for what
    netfw cannot tell, or marks its packets itself: that is how rulesets are written."""
    return ending.marks or any(
        isinstance(one, MarkMatch | ConnmarkMatch | StateMatch | ConntrackMatch)
        or (isinstance(one, InterfaceMatch) and one.name == "lo")
        or (isinstance(one, UnknownMatch) and one.module == "nft")
        for one in each_of(ending.matches)
    )


def _finding(writer: MarkUse, reader: MarkUse, ending: ChainEnd) -> Finding:
    whole = _takes_all(ending, conditions_of(writer))
    which = "every packet" if whole else "packets"
    spot = ending.spot
    fix = "put the mark rule above it"
    if spot.system is not System.NFTABLES and ending.does == "accepts":
        text = spot.text.removeprefix(f"-A {spot.chain} ").replace("-j ACCEPT", "-j RETURN")
        fix = f"{program_of(spot)} -t {spot.table} -R {spot.chain} {spot.number} {text}, or {fix}"
    return Finding(
        CODE,
        Severity.ERROR if whole else Severity.WARNING,
        f"{spot} {ending.does} {which} that {writer.spot} is to mark, and the chain ends there",
        (spot, writer.spot, reader.spot),
        f"these packets have no mark when {reader.spot} asks for it; the mark rule's counter "
        "stands still",
        (fix,),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that both the rule above and the writer are for."""
    ending, spot, reader = finding.evidence
    writer = state.use_at(spot)
    if writer is None:
        return NoProbing("its rule is not there any more")
    wanted = Wanted((ending, spot, reader), rule_at(state, reader))
    symptom = ChainEnded(ending, spot, set_by(writer, Word.PACKET))
    return Probing(conversations(state, wanted), symptom)
