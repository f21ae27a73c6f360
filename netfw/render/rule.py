"""A rule as iptables-save prints it."""

from __future__ import annotations

from netfw.ir.match import (
    AddressMatch,
    FragmentMatch,
    InterfaceMatch,
    Match,
    ProtocolMatch,
    Side,
    Way,
)
from netfw.ir.names import Family
from netfw.ir.ruleset import Rule
from netfw.render.match import render_match
from netfw.render.target import render_target

_LAST = 6


def render_rule(rule: Rule, family: Family) -> str:
    """A rule without its ``-A CHAIN``.

    Addresses, interfaces and protocol come first and in the kernel's own order, whatever their
    place in the rule; the other matches keep theirs.
    """
    words = [render_match(match, family) for match in sorted(rule.matches, key=_rank)]
    words.append(render_target(rule.target, family))
    return " ".join(word for word in words if word)


def _rank(match: Match) -> int:
    # the order of save_rule4 in iptables/xshared.c
    match match:
        case AddressMatch(side=Side.SOURCE):
            return 0
        case AddressMatch():
            return 1
        case InterfaceMatch(way=Way.IN):
            return 2
        case InterfaceMatch():
            return 3
        case ProtocolMatch():
            return 4
        case FragmentMatch():
            return 5
        case _:
            return _LAST
