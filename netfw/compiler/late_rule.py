"""A rule of the policy that stands in its chain and is not expanded yet.

Thousands of rules that become members of a set are never made rules of iptables one by one: the
passes that build chains put a late rule where the rules shall stand, ``fold_sets`` takes those
that a set can hold, and ``expand_rules`` makes the rest real.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from netfw.compiler.draft import make_rule
from netfw.compiler.term import (
    ANY_PAIR,
    InterfacePair,
    count_terms,
    expand_terms,
    expand_traffic,
)
from netfw.errors import PolicyError
from netfw.ir.match import Match
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Rule
from netfw.policy.conditions import Conditions

MAX_TERMS = 20_000
"""Most iptables rules that one rule of a policy may become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateRule(Rule):
    """All rules that a rule of the policy becomes: same target, one for each net and service.

    ``matches`` are those that stand last in each of them (a rate). ``action`` is what the policy
    says, where two actions may have the same target. ``origin`` is never None.
    """

    conditions: Conditions
    action: str
    pairs: tuple[InterfacePair, ...] = ANY_PAIR

    @property
    def source(self) -> Origin:
        """Where the policy says it."""
        assert self.origin is not None
        return self.origin

    def expand(self) -> Iterator[Rule]:
        """The rules. Raises PolicyError where they would be too many to be meant."""
        return self._expand(expand_traffic(self.conditions.traffic))

    def of_kinds(self, terms: Collection[tuple[Match, ...]]) -> Iterator[Rule]:
        """The rules for some of its services, given as terms. Raises PolicyError as ``expand``."""
        return self._expand(terms)

    def _expand(self, kinds: Collection[tuple[Match, ...]]) -> Iterator[Rule]:
        check_size(self.source, count_terms(self.conditions, len(kinds), self.pairs))
        for term in expand_terms(self.conditions, kinds, self.pairs):
            yield self.with_term(*term)

    def with_term(self, *term: Match) -> Rule:
        """One of the rules: of what the policy's rule asks, what these matches ask."""
        return make_rule(self.source, self.target, *term, *self.matches)


def check_size(origin: Origin, count: int) -> None:
    """Refuse a rule whose lists multiply beyond reason."""
    if count > MAX_TERMS:
        raise PolicyError.at(
            origin.where,
            f"this rule would become {count} iptables rules (the most is {MAX_TERMS})",
            "every net in 'from' is combined with every one in 'to': name larger networks",
        )
