"""Packets that are not tracked have no connection mark to restore."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.iptables_uses import spot_of
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import System
from netfw.doctor.probing import NoProbing
from netfw.ir.match import CommentMatch, Match
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
    for held in state.rules:
        for table in held.ruleset.tables:
            for chain in table.chains:
                for number, rule in enumerate(chain.rules, start=1):
                    if not isinstance(rule.target, Ct) or not rule.target.notrack:
                        continue
                    stages = {e.stage for e in held.reach.entries(table.name, chain.name)}
                    asking = next(
                        (
                            use
                            for use in (
                                *state.readers(Word.CONNECTION),
                                *state.writers(Word.CONNECTION),
                            )
                            if use.spot.family is held.family
                            and use.spot.system is System.of_backend(held.backend)
                            and stages & {where.stage for where in use.passages}
                            and _meets(rule.matches, use)
                        ),
                        None,
                    )
                    if asking is not None:
                        spot = spot_of(held, table.name, chain.name, number)
                        yield Finding(
                            CODE,
                            Severity.WARNING,
                            f"{spot} leaves packets untracked that {asking.spot} is for",
                            (spot, asking.spot),
                            "they belong to no connection: the connection mark is neither saved "
                            "nor restored",
                            ("track these packets, or mark each of them by a rule of its own",),
                        )


def _meets(matches: tuple[Match, ...], use: MarkUse) -> bool:
    """Whether a rule is for such packets in particular: its conditions name one of theirs."""
    said = {type(one) for one in matches if not isinstance(one, CommentMatch)}
    shared = said & {type(one) for one in use.matches}
    return not exclude(matches, (*use.matches, *use.calls)) and (bool(shared) or not said)


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("it is about the connection mark, and trace events carry the packet's")
