"""A rule above a writer decides about packets that the writer is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netfw.doctor.asked import RULES, asked_by, conditions_of, program_of, set_by
from netfw.doctor.conditions import exclude, imply
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.iptables_uses import spot_of
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.nft_uses import nft_reach, nft_spot
from netfw.doctor.place import Passage, Spot, System
from netfw.ir.match import (
    CommentMatch,
    ConnmarkMatch,
    ConntrackMatch,
    InterfaceMatch,
    MarkMatch,
    Match,
    StateMatch,
)
from netfw.ir.target import Accept, Drop, Nfqueue, Reject

CODE = "mark-rule-unreached"
TITLE = "a rule above ends the chain before the mark is set"
EXPLANATION = """\
ACCEPT ends the base chain for the packet, wherever it stands: in a user chain that PREROUTING
calls as well. Rules below are not asked any more, those that set or restore a mark among them.
The same goes for DROP, and for NFQUEUE: the verdict of the program behind it ends the chain too.

Use RETURN in the user chain instead of ACCEPT, or put the mark rule above it.
"""
_ENDS = {Accept: "accepts", Drop: "drops", Reject: "rejects", Nfqueue: "queues"}


class _Ending(NamedTuple):
    """A rule that ends its chain, when packets come by, and for which."""

    spot: Spot
    passages: tuple[Passage, ...]
    matches: tuple[Match, ...]
    does: str


def find(state: HostState) -> Iterator[Finding]:
    """Each writer whose bits somebody reads, behind a rule that takes its packets."""
    endings: dict[str, list[_Ending]] = {}
    for each in (*_iptables_endings(state), *_nft_endings(state)):
        for base in dict.fromkeys(where.base for where in each.passages):
            endings.setdefault(base, []).append(each)
    for writer in state.kinds_of_writers(Word.PACKET):
        bits = set_by(writer, Word.PACKET)
        if writer.spot.system not in RULES or not bits or not writer.passages:
            continue
        # readers come last: there may be thousands, and mostly no rule ends the chain
        bases = dict.fromkeys(where.base for where in writer.passages)
        ending = next(
            (one for base in bases for one in endings.get(base, ()) if _takes(one, writer)),
            None,
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


def _takes(ending: _Ending, writer: MarkUse) -> bool:
    """Whether packets that the writer is for end there, in the same base chain, before it."""
    same = [
        (one, other)
        for one in ending.passages
        for other in writer.passages
        if one.base == other.base
    ]
    if not same or not all(one.surely_precedes(other) for one, other in same):
        return False
    if ending.spot.system is System.NFTABLES:
        return True
    # what both have in common is asked of all packets that come here at all
    conditions = conditions_of(writer)
    return not exclude(ending.matches, conditions) and (
        imply(conditions, ending.matches) or not _is_about_more(ending.matches)
    )


def _is_about_more(matches: tuple[Match, ...]) -> bool:
    """Whether a rule is for connections or marks that are known already, or for lo: ending the
    chain for those is how rulesets are written."""
    return any(
        isinstance(one, MarkMatch | ConnmarkMatch | StateMatch | ConntrackMatch)
        or (isinstance(one, InterfaceMatch) and one.name == "lo")
        for one in matches
    )


def _iptables_endings(state: HostState) -> Iterator[_Ending]:
    for held in state.rules:
        for table in held.ruleset.tables:
            if any(
                _sets_mark(use, held, table.name.value)
                for use in state.kinds_of_writers(Word.PACKET)
            ):
                for chain in table.chains:
                    entries = held.reach.entries(table.name, chain.name)
                    for number, rule in enumerate(chain.rules, start=1):
                        does = _ENDS.get(type(rule.target))
                        if does is None or not entries:
                            continue
                        calls = entries[0].calls
                        yield _Ending(
                            spot_of(held, table.name, chain.name, number),
                            tuple(entry.passage(number) for entry in entries),
                            tuple(
                                one
                                for one in (*rule.matches, *calls)
                                if not isinstance(one, CommentMatch)
                            ),
                            does,
                        )


def _sets_mark(use: MarkUse, held: HeldRules, table: str) -> bool:
    spot = use.spot
    return (
        spot.system is System.of_backend(held.backend)
        and spot.family is held.family
        and spot.table == table
    )


def _nft_endings(state: HostState) -> Iterator[_Ending]:
    """Of native rules only those without a condition: what others exclude is not known."""
    for table in state.tables:
        reach = nft_reach(table)
        for chain in table.chains:
            if not chain.hook:
                continue
            for number, rule in enumerate(chain.rules, start=1):
                words = {word for one in rule.expressions for word in one}
                ends = words & {"accept", "drop", "queue"}
                if ends and not words - ends - {"counter", "log", "comment"}:
                    yield _Ending(
                        nft_spot(table, chain, number),
                        tuple(entry.passage(number) for entry in reach.get(chain.name, ())),
                        (),
                        {"accept": "accepts", "drop": "drops", "queue": "queues"}[ends.pop()],
                    )


def _finding(writer: MarkUse, reader: MarkUse, ending: _Ending) -> Finding:
    whole = ending.spot.system is System.NFTABLES or imply(conditions_of(writer), ending.matches)
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
