"""One rule with many networks on both sides: a set for a side instead of a rule for each pair."""

from __future__ import annotations

from netfw.compiler import set_name
from netfw.compiler.late_rule import LateRule
from netfw.compiler.set_member import Gathering
from netfw.compiler.term import expand_nets, expand_traffic, interface_matches, is_open
from netfw.ir.ipset import IpSet
from netfw.ir.match import Match, SetMatch, Side
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.ruleset import Rule

SIDE_FROM = 4
"""So many networks of one side become a set: two or three are read better in the rules."""
_WORDS = {Side.SOURCE: ("s", "src"), Side.DESTINATION: ("d", "dst")}


def fold_product(
    family: Family, rule: LateRule, fold_from: int
) -> tuple[list[Rule], tuple[IpSet, ...]]:
    """The rules with their sets, or the late rule as it is where no set is needed.

    The side with more networks becomes a set first, and the other one only where still
    ``fold_from`` rules or more would be left. A set for pairs of networks (hash:net,net) would
    hold all of them, and each of the two sets holds one side alone.
    """
    if max(len(rule.conditions.sources), len(rule.conditions.destinations)) < SIDE_FROM:
        return [rule], ()
    sides = {Side.SOURCE: rule.conditions.sources, Side.DESTINATION: rule.conditions.destinations}
    limited = {side: nets for side, nets in sides.items() if not is_open(nets)}
    terms = expand_traffic(rule.conditions.traffic)
    count = len(terms) * len(rule.pairs)
    for nets in limited.values():
        count *= len(nets)
    sets: dict[Side, IpSet] = {}
    for side in sorted(limited, key=lambda side: -len(limited[side])):
        if count < fold_from or len(limited[side]) < SIDE_FROM:
            break
        sets[side] = _set_of(family, rule, side, limited[side])
        count //= len(limited[side])
    if not sets:
        return [rule], ()
    asked = {side: _asked(side, nets, sets.get(side)) for side, nets in sides.items()}
    rules = [
        rule.with_term(
            *source[0],
            *destination[0],
            *interface_matches(pair),
            *term,
            *source[1],
            *destination[1],
        )
        for source in asked[Side.SOURCE]
        for destination in asked[Side.DESTINATION]
        for pair in rule.pairs
        for term in terms
    ]
    return rules, tuple(sets.values())


_Asked = tuple[tuple[Match, ...], tuple[Match, ...]]
"""What is asked of one side: an address, which stands first, or a set, which stands last."""


def _asked(side: Side, nets: tuple[Net, ...], ipset: IpSet | None) -> tuple[_Asked, ...]:
    if ipset is not None:
        return (((), (SetMatch(ipset.name, (_WORDS[side][1],)),)),)
    return tuple((term, ()) for term in expand_nets(side, nets))


def _set_of(family: Family, rule: LateRule, side: Side, nets: tuple[Net, ...]) -> IpSet:
    gathering = Gathering(family)
    gathering.add(rule.source, nets)
    name = set_name.set_of_rule(family, rule.source.identity, _WORDS[side][0])
    return gathering.finish(name, "hash:net")
