"""A rule as iptables-save prints it."""

from __future__ import annotations

from netfw.ir.match import header_rank
from netfw.ir.names import Family
from netfw.ir.ruleset import Rule
from netfw.render.match import render_match
from netfw.render.target import render_target


def render_rule(rule: Rule, family: Family) -> str:
    """A rule without its ``-A CHAIN``; the same text for both backends.

    Addresses, interfaces and protocol come first and in the kernel's own order, whatever their
    place in the rule; the other matches keep theirs.
    Raises ValueError with a sentence for what iptables cannot hold.
    """
    words = [render_match(match, family) for match in sorted(rule.matches, key=header_rank)]
    words.append(render_target(rule.target, family))
    return " ".join(word for word in words if word)
