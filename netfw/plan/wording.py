"""Whether rules are the same, though two versions of iptables word them differently."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from netfw.errors import NetfwError
from netfw.facts.parse_rule import parse_rule
from netfw.facts.words import split_words
from netfw.ir.names import Family
from netfw.ir.ruleset import OWN_CHAIN_PREFIX, Rule
from netfw.render.rule import render_rule


def same_rules(first: Sequence[str], second: Sequence[str], family: Family) -> bool:
    """Whether two lists hold the same rules in the same order."""
    if tuple(first) == tuple(second):
        return True
    return len(first) == len(second) and all(
        one == other or canonical(one, family) == canonical(other, family)
        for one, other in zip(first, second, strict=True)
    )


@lru_cache(maxsize=65_536)
def canonical(text: str, family: Family) -> str:
    """A rule (its text behind ``-A CHAIN``) in netfw's own words, if it can be read."""
    try:
        (parsed,) = parse_rule(split_words(text), family, _OwnChains())
        return render_rule(Rule(parsed.matches, parsed.target), family)
    except (NetfwError, ValueError):
        return text


class _OwnChains:
    """The chains that a rule of ours may lead to."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.startswith(OWN_CHAIN_PREFIX)
