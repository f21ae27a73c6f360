"""Packets that are not tracked have no connection mark to restore."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.any_of import Condition
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.iptables_uses import spot_of
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.nft_conditions import conditions
from netfw.doctor.nft_uses import nft_reach, nft_spot
from netfw.doctor.place import Spot, Stage, System
from netfw.doctor.probing import NoProbing
from netfw.ir.match import CommentMatch
from netfw.ir.target import Ct

CODE = "untracked-connmark"
TITLE = "packets are not tracked, and their connection mark is asked for"
EXPLANATION = """\
'-j CT --notrack' (or NOTRACK) in raw takes packets out of conntrack: there is no connection, so
no connection mark to save, restore or compare. CONNMARK does nothing for them.

Track these packets, or mark each of them by a rule.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each notrack rule whose packets also come by a rule about connection marks."""
    about = (*state.readers(Word.CONNECTION), *state.writers(Word.CONNECTION))
    if not about:
        return
    for spot, stages, matches in (*_of_iptables(state), *_of_nftables(state)):
        asking = next(
            (
                use
                for use in about
                if _sees(spot, use)
                and stages & {where.stage for where in use.passages}
                and _meets(matches, use)
            ),
            None,
        )
        if asking is not None:
            yield Finding(
                CODE,
                Severity.WARNING,
                f"{spot} leaves packets untracked that {asking.spot} is for",
                (spot, asking.spot),
                "they belong to no connection: the connection mark is neither saved nor restored",
                ("track these packets, or mark each of them by a rule of its own",),
            )


_Untracked = tuple[Spot, set[Stage], tuple[Condition, ...]]
"""A rule that leaves packets untracked, where it stands, and for which."""


def _of_iptables(state: HostState) -> Iterator[_Untracked]:
    for held in state.rules:
        for table in held.ruleset.tables:
            for chain in table.chains:
                for number, rule in enumerate(chain.rules, start=1):
                    if isinstance(rule.target, Ct) and rule.target.notrack:
                        entries = held.reach.entries(table.name, chain.name)
                        spot = spot_of(held, table.name, chain.name, number)
                        yield spot, {entry.stage for entry in entries}, rule.matches


def _of_nftables(state: HostState) -> Iterator[_Untracked]:
    for table in state.tables:
        reach = nft_reach(table)
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, start=1):
                if any(isinstance(one, dict) and "notrack" in one for one in rule.expressions):
                    stages = {entry.stage for entry in reach.get(chain.name, ())}
                    asked = tuple(conditions(rule.expressions))
                    yield nft_spot(table, chain, number), stages, asked


def _sees(spot: Spot, use: MarkUse) -> bool:
    """Whether packets of one rule's family come by the other. The two kinds of iptables are
    compared each with itself: a host has one or the other."""
    same_family = spot.family is None or use.spot.family in (None, spot.family)
    one_kind = spot.system is use.spot.system or System.NFTABLES in (spot.system, use.spot.system)
    return same_family and one_kind


def _meets(matches: tuple[Condition, ...], use: MarkUse) -> bool:
    """Whether a rule is for such packets in particular: its conditions name one of theirs."""
    said = {type(one) for one in matches if not isinstance(one, CommentMatch)}
    shared = said & {type(one) for one in use.matches}
    return not exclude(matches, (*use.matches, *use.calls)) and (bool(shared) or not said)


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("it is about the connection mark, and trace events carry the packet's")
