"""A rule as netfw words it, whichever version of iptables printed it."""

from __future__ import annotations

from functools import lru_cache

from netfw.errors import NetfwError
from netfw.facts.parse_rule import parse_rule
from netfw.facts.words import split_words
from netfw.ir.names import OWN_CHAIN_PREFIX, Family
from netfw.ir.ruleset import Rule
from netfw.render.rule import render_rule


@lru_cache(maxsize=65_536)
def in_own_words(text: str, family: Family) -> str:
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
