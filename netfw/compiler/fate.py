"""What is certain about packets that go to a chain: that none comes back, or none undecided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

from netfw.compiler import chain_name
from netfw.ir.mark_field import MarkField
from netfw.ir.match import CommentMatch, MarkMatch, Match
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Accept, Drop, Goto, Jump, Reject, Return, SetMark


class Fate:
    """Of packets in the chains of one table, which lead round in no circle."""

    def __init__(self, chains: Iterable[Chain], field: MarkField) -> None:
        self._rules = {chain.name: chain.rules for chain in chains}
        self._decided = MarkMatch(field.was_checked)
        self.is_final = cache(self._is_final)
        self.decides = cache(self._decides)

    def _is_final(self, name: str) -> bool:
        """Whether no packet comes back from a chain."""
        return self._ends(name, self.is_final, lambda rule: False)

    def _decides(self, name: str) -> bool:
        """Whether every packet that comes back from a chain has its verdict in the mark."""
        return name == chain_name.ALLOW or self._ends(
            name, self.decides, lambda rule: self._decided in rule.matches
        )

    def are_undecided_after(self, rules: Sequence[Rule]) -> bool:
        """Whether it is certain that packets that go on behind the first rules of a chain have no
        verdict in the mark, whatever they came with."""
        undecided = False
        for rule in rules:
            target = rule.target
            if isinstance(target, Return) and _asks_only(rule, self._decided):
                undecided = True
            elif isinstance(target, SetMark) and target.mark.mask & self._decided.mark.mask:
                sets = bool(target.mark.value & self._decided.mark.mask)
                undecided = not sets and (undecided or _asks_only(rule))
            elif isinstance(target, Jump):
                undecided = False
        return undecided

    def _ends(
        self, name: str, goes_well: Callable[[str], bool], may_return: Callable[[Rule], bool]
    ) -> bool:
        """Whether packets leave a chain in these ways alone, and none by its end."""
        rules = self._rules[name]
        for rule in rules:
            if isinstance(rule.target, Return) and not may_return(rule):
                return False
            if isinstance(rule.target, Goto) and not goes_well(rule.target.chain):
                return False
        return bool(rules) and _stops_all(rules[-1])


def _stops_all(rule: Rule) -> bool:
    return isinstance(rule.target, Accept | Drop | Reject | Goto) and _asks_only(rule)


def _asks_only(rule: Rule, *asked: Match) -> bool:
    return all(isinstance(match, CommentMatch) or match in asked for match in rule.matches)
