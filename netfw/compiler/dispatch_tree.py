"""Many interfaces are told apart by their names' first letters, and not one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.fate import Fate
from netfw.compiler.stage import return_if_decided
from netfw.ir.match import CommentMatch, InterfaceMatch, Way
from netfw.ir.names import OWN_CHAIN_PREFIX
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, Return

TREE_FROM = 16
"""So many interfaces in a row become a tree; a shorter list is read, and walked, faster as it
is."""
LEAVES = 8
"""Up to so many interfaces are told apart by their full names."""
MAX_DEPTH = 5
"""Levels below the first: nft allows 15 chains below a built-in one, and stages need some."""


def plant_trees(draft: Draft) -> Draft:
    """Replace long runs of rules that each ask for another interface by a call of a tree.

    A packet has one interface on each side, so that of such a run the rules of one name can match
    at most. Rules that leave their chain by goto leave only the tree if they stand in one: that is
    done where they end the chain, or where it is certain what becomes of packets there. RETURN
    ends a run.
    """
    for table, chains in draft.chains.items():
        fate = Fate(chains, draft.field)
        made: list[Chain] = []
        for chain in chains:
            made += _planted(draft, fate, chain)
        draft = replace(draft, chains={**draft.chains, table: tuple(made)})
    return draft


def _planted(draft: Draft, fate: Fate, chain: Chain) -> list[Chain]:
    rules: list[Rule] = []
    trees: list[Chain] = []
    numbers: Counter[Way] = Counter()
    seen = 0
    for (way, _), group in groupby(chain.rules, _kind):
        run = list(group)
        seen += len(run)
        by_name = {} if way is None else _by_name(run, way)
        if way is None or len(by_name) < TREE_FROM or _overlap(by_name):
            rules += run
            continue
        tree = _Tree(draft, chain.name, way, numbers[way] + 1)
        before = chain.rules[: seen - len(run)]
        calls = tree.calls(_leaves(run), fate, before, is_last=seen == len(chain.rules))
        if not calls:
            rules += run
            continue
        numbers[way] += 1
        tree.plant("", by_name, 0)
        trees += tree.chains
        rules += calls
    return [replace(chain, rules=tuple(rules)), *trees] if trees else [chain]


def _kind(rule: Rule) -> tuple[Way | None, bool]:
    """The side whose interface a rule asks for, if it may stand in a tree, and if it is a goto."""
    leaves = isinstance(rule.target, Goto)
    if isinstance(rule.target, Return):
        return None, leaves
    asked = [match for match in rule.matches if isinstance(match, InterfaceMatch)]
    return (asked[0].way if len(asked) == 1 and not asked[0].negate else None), leaves


def _leaves(run: Sequence[Rule]) -> set[str]:
    """The chains that rules of a run go to for good."""
    return {rule.target.chain for rule in run if isinstance(rule.target, Goto)}


def _by_name(run: Sequence[Rule], way: Way) -> dict[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for rule in run:
        for match in rule.matches:
            if isinstance(match, InterfaceMatch) and match.way is way:
                found.setdefault(match.name, []).append(rule)
    return found


def _overlap(names: dict[str, list[Rule]]) -> bool:
    """Whether an interface may have two of these names."""
    starts = tuple(name[:-1] for name in names if name.endswith("+"))
    return any(
        name.startswith(start) and name != f"{start}+" for start in starts for name in names
    )


class _Tree:
    """The chains that one run becomes, each for interfaces that begin alike."""

    def __init__(self, draft: Draft, chain: str, way: Way, number: int) -> None:
        self._draft = draft
        self._chain = chain
        self._way = way
        self._number = number
        self.chains: list[Chain] = []

    def calls(
        self, left_for: set[str], fate: Fate, before: Sequence[Rule], *, is_last: bool
    ) -> list[Rule]:
        """The rules that stand where the run stood, behind those before it; it left its chain for
        some others. None where a tree would not be the same."""
        origin, name = self._origin(""), self._name("")
        if left_for and is_last:
            return [make_rule(origin, Goto(name))]
        if all(map(fate.is_final, left_for)):
            return [make_rule(origin, Jump(name))]
        # a packet with the verdict of an earlier stage would look as if the tree had decided
        if fate.are_undecided_after(before) and all(map(fate.decides, left_for)):
            return [make_rule(origin, Jump(name)), return_if_decided(self._draft)]
        return []

    def plant(self, start: str, by_name: dict[str, list[Rule]], depth: int) -> None:
        """Make the chain for names with this start, and those that it leads to."""
        common = _common_start([name.removesuffix("+") for name in by_name])
        branches: dict[str, dict[str, list[Rule]]] = {}
        for name, rules in by_name.items():
            branches.setdefault(name[: len(common) + 1], {})[name] = rules
        found: list[Rule] = []
        is_flat = len(by_name) <= LEAVES or depth == MAX_DEPTH
        for begin, names in branches.items():
            if is_flat or len(names) == 1:
                found += (leaf for rules in names.values() for leaf in _leaf(rules))
                continue
            match = InterfaceMatch(self._way, f"{begin}+")
            found.append(make_rule(self._origin(begin), Goto(self._name(begin)), match))
            self.plant(begin, names, depth + 1)
        self.chains.append(Chain(self._name(start), tuple(found)))

    def _name(self, start: str) -> str:
        return chain_name.chain_of_tree(self._chain, self._way, self._number, start)

    def _origin(self, start: str) -> Origin:
        identity = f"netfw/{self._name(start).removeprefix(OWN_CHAIN_PREFIX)}"
        return Origin(self._draft.file, identity, "interfaces by their names")


def _leaf(rules: list[Rule]) -> Iterator[Rule]:
    """The rules of one interface. Where a single one calls a chain, it goes there for good: no
    other rule of the tree is about that interface."""
    (first, *others) = rules
    asks_more = any(
        not isinstance(match, InterfaceMatch | CommentMatch) for match in first.matches
    )
    if others or asks_more or not isinstance(first.target, Jump):
        yield from rules
    else:
        yield replace(first, target=Goto(first.target.chain))


def _common_start(names: Sequence[str]) -> str:
    """The letters with which all begin."""
    low, high = min(names), max(names)
    same = 0
    while same < len(low) and low[same] == high[same]:
        same += 1
    return low[:same]
