"""Runs of rules that differ only in addresses and ports become sets.

Neighbours with the same action commute: whichever matches first, the packet's fate is the same.
So a run is all rules up to one that does something else, and what a set holds may stand anywhere
in it. The rules of a run are grouped by what of a packet is looked up (source, destination, port)
and by what else they ask; a group that would take many rules becomes one rule with a set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from netfw.compiler import set_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.fold_product import fold_product
from netfw.compiler.late_rule import LateRule
from netfw.compiler.set_member import (
    Gathering,
    Kinds,
    are_single,
    halves,
    is_foldable,
    kinds_of,
    narrow_terms,
)
from netfw.compiler.term import interface_matches, is_open
from netfw.ir.ipset import IpSet
from netfw.ir.match import Match, ProtocolMatch, SetMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Family
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Target

FOLD_FROM = 8
"""So many rules of iptables become a set. Fewer are read at a glance, each with its counters
where one looks for them, and cost a packet no more than a look into a set does."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """What a set looks up: parts in short, ipset's kind, and the sides of its parts."""

    parts: str
    kind: str
    sides: tuple[str, ...]


_SOURCE = Lookup("s", "hash:net", ("src",))
_DESTINATION = Lookup("d", "hash:net", ("dst",))
_PORT = Lookup("p", "hash:net,port", ("dst", "dst"))
_SOURCE_PORT = Lookup("sp", "hash:net,port", ("src", "dst"))
_DESTINATION_PORT = Lookup("dp", "hash:net,port", ("dst", "dst"))
_FROM_HOST = Lookup("spd", "hash:ip,port,net", ("src", "dst", "dst"))
_TO_HOST = Lookup("dps", "hash:ip,port,net", ("dst", "dst", "src"))

_Group = tuple[Lookup, tuple[Match, ...]]
"""What rules share that become one set: what is looked up, and what the rule asks besides."""


def fold_sets(draft: Draft) -> Draft:
    """Replace late rules by rules with sets, wherever many would stand."""
    sets: list[IpSet] = []
    origins: list[Origin] = []

    def fold(chain: Chain) -> Chain:
        if not any(isinstance(rule, LateRule) for rule in chain.rules):
            return chain
        rules: list[Rule] = []
        runs: Counter[str] = Counter()
        for run in _runs(chain.rules):
            if not isinstance(run, list):
                rules.append(run)
                continue
            if len(run) == 1 and _is_simple(run[0]):
                rules += run
                continue
            folding = _Folding(draft.family, chain.name, run, is_later=runs[run[0].action] > 0)
            rules += folding.rules()
            if folding.sets:
                runs[run[0].action] += 1
                sets.extend(folding.sets)
                origins.extend(rule.source for rule in run)
        return replace(chain, rules=tuple(rules))

    return draft.with_rewritten(fold).with_sets(sets, origins)


def _runs(rules: tuple[Rule, ...]) -> Iterator[Rule | list[LateRule]]:
    """The rules in order, those that commute together."""
    run: list[LateRule] = []
    asked: tuple[object, ...] = ()
    for rule in rules:
        if isinstance(rule, LateRule) and is_foldable(rule):
            asks = (rule.action, rule.target, rule.pairs)
            if run and asks != asked:
                yield run
                run = []
            asked = asks
            run.append(rule)
            continue
        if run:
            yield run
            run = []
        yield rule
    if run:
        yield run


def _is_simple(rule: LateRule) -> bool:
    """Whether it is one rule of iptables for each pair of interfaces: alone it becomes no set."""
    asked = rule.conditions
    lists = (asked.traffic, asked.sources, asked.destinations)
    return len(rule.pairs) < FOLD_FROM and all(len(each) <= 1 for each in lists)


@dataclass(slots=True)
class _Taken:
    """A rule of a run, taken apart: the groups that it may join with its single ports and with
    other traffic, and the terms of traffic that no group takes. ``count`` is how many rules one
    term needs."""

    rule: LateRule
    kinds: Kinds
    count: int
    narrow: _Group | None
    wide: tuple[_Group, ...]
    loose: tuple[tuple[Match, ...], ...]


class _Folding:
    """One run of one chain."""

    def __init__(self, family: Family, chain: str, run: list[LateRule], *, is_later: bool) -> None:
        self.family = family
        self.chain = chain
        self.run = run
        self.is_later = is_later
        self.sets: list[IpSet] = []

    def rules(self) -> list[Rule]:
        """The rules of the run: a set's stands where the first of its rules stood."""
        taken = [_take(rule) for rule in self.run]
        counts: Counter[_Group] = Counter()
        for each in taken:
            if each.narrow is not None:
                counts[each.narrow] += each.count * each.kinds.narrow_count
            for group in each.wide:
                counts[group] += each.count
        folded = {group for group, count in counts.items() if count >= FOLD_FROM}
        gathered = self._gather(taken, folded)
        found: list[Rule] = []
        placed: set[_Group] = set()
        for each in taken:
            is_folded = False
            for own in (each.narrow, *each.wide):
                if own is not None and own in folded:
                    is_folded = True
                    if own not in placed:
                        placed.add(own)
                        found += self._rules_of(own, gathered[own], each.rule)
            if not is_folded:
                found += self._plain(each.rule)
            elif each.wide or each.loose:
                found += self._rest(each, folded)
        return found

    def _gather(self, taken: list[_Taken], folded: set[_Group]) -> dict[_Group, Gathering]:
        gathered = {group: Gathering(self.family) for group in folded}
        for each in taken:
            rule, conditions = each.rule, each.rule.conditions
            if each.narrow in gathered:
                lookup, ports = each.narrow[0], each.kinds.ports
                gathering = gathered[each.narrow]
                if lookup is _SOURCE_PORT:
                    gathering.add(rule.source, conditions.sources, ports)
                elif lookup is _DESTINATION_PORT:
                    gathering.add(rule.source, conditions.destinations, ports)
                elif lookup is _PORT:
                    gathering.add(rule.source, halves(self.family), ports)
                elif lookup is _FROM_HOST:
                    sides = conditions.sources, conditions.destinations
                    gathering.add(rule.source, sides[0], ports, sides[1])
                else:
                    sides = conditions.destinations, conditions.sources
                    gathering.add(rule.source, sides[0], ports, sides[1])
            for group in each.wide:
                if group in gathered:
                    is_source = group[0] is _SOURCE
                    nets = conditions.sources if is_source else conditions.destinations
                    gathered[group].add(rule.source, nets)
        return gathered

    @cached_property
    def _mark(self) -> str:
        return set_name.mark_of(rule.source.identity for rule in self.run) if self.is_later else ""

    def _rules_of(self, group: _Group, gathering: Gathering, first: LateRule) -> list[Rule]:
        lookup, term = group
        name = set_name.set_name(
            self.family,
            self.chain,
            first.action,
            lookup.parts,
            set_name.kind_words(term),
            self._mark,
        )
        self.sets.append(gathering.finish(name, lookup.kind))
        origin = Origin(
            first.source.where,
            f"netfw/{name.removeprefix(OWN_CHAIN_PREFIX)}",
            f"rules that {first.action}, as a set",
        )
        return _asking(origin, first.target, first, term, SetMatch(name, lookup.sides))

    def _rest(self, each: _Taken, folded: set[_Group]) -> Iterator[Rule]:
        """What of a rule did not get into a set."""
        terms = [*each.loose, *(group[1] for group in each.wide if group not in folded)]
        if each.kinds.ports and each.narrow not in folded:
            terms = [*narrow_terms(each.rule.conditions.traffic), *terms]
        if terms:
            yield from each.rule.of_kinds(terms)

    def _plain(self, rule: LateRule) -> list[Rule]:
        """A rule by itself: its nets may be many."""
        rules, sets = fold_product(self.family, rule, FOLD_FROM)
        self.sets += sets
        return rules


def _asking(
    origin: Origin, target: Target, like: LateRule, term: tuple[Match, ...], *sets: SetMatch
) -> list[Rule]:
    """A rule with sets for each pair of interfaces."""
    header = tuple(match for match in term if isinstance(match, ProtocolMatch))
    modules = tuple(match for match in term if not isinstance(match, ProtocolMatch))
    return [
        make_rule(origin, target, *interface_matches(pair), *header, *modules, *sets)
        for pair in like.pairs
    ]


def _take(rule: LateRule) -> _Taken:
    conditions = rule.conditions
    kinds = kinds_of(conditions.traffic)
    any_source, any_destination = is_open(conditions.sources), is_open(conditions.destinations)
    lookup: Lookup | None
    if any_source and any_destination:
        lookup, alone = _PORT, None
    elif any_destination:
        lookup, alone = _SOURCE_PORT, _SOURCE
    elif any_source:
        lookup, alone = _DESTINATION_PORT, _DESTINATION
    elif are_single(conditions.sources):
        lookup, alone = _FROM_HOST, None
    elif are_single(conditions.destinations):
        lookup, alone = _TO_HOST, None
    else:
        lookup, alone = None, None
    narrow: _Group | None = (lookup, ()) if lookup is not None and kinds.ports else None
    wide: tuple[_Group, ...] = ()
    if alone is not None and kinds.wide:
        wide = tuple((alone, term) for term in kinds.wide)
    count = 1 if any_source else len(conditions.sources)
    if not any_destination:
        count *= len(conditions.destinations)
    return _Taken(rule, kinds, count, narrow, wide, kinds.wide if alone is None else ())
