"""One rule of the policy to rules of iptables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netfw.compiler import chain_name
from netfw.compiler.draft import make_rule
from netfw.compiler.rate import match_rate
from netfw.compiler.term import ANY_PAIR, InterfacePair, count_terms, expand_conditions
from netfw.errors import PolicyError
from netfw.ir.match import Match
from netfw.ir.names import Family
from netfw.ir.ruleset import Rule
from netfw.ir.target import Goto, Log, Return, Target
from netfw.policy.conditions import Conditions
from netfw.policy.read_rule import PREFIX_END
from netfw.policy.rule import Action, PolicyRule

MAX_TERMS = 20_000
"""Most iptables rules that one rule of a policy may become."""

_VERDICT_CHAINS = {
    Action.ALLOW: chain_name.ALLOW,
    Action.DENY: chain_name.DENY,
    Action.REJECT: chain_name.REJECT,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy's rules stand.

    ``can_reject``: REJECT is legal there (the filter table). ``is_called``: in a chain that a tier
    calls, so that RETURN would not leave the tier.
    """

    can_reject: bool = True
    is_called: bool = False


PLAIN = Place()
"""In a stage of the filter table."""


def compile_rule(
    rule: PolicyRule,
    family: Family,
    pairs: Sequence[InterfacePair] = ANY_PAIR,
    place: Place = PLAIN,
) -> tuple[Rule, ...]:
    """The rules for a family, none if the rule is not about it.

    Raises PolicyError where they would be too many to be meant.
    """
    conditions = rule.conditions(family)
    if conditions is None:
        return ()
    check_size(rule, conditions, pairs)
    target = _target(rule, place)
    limit = _limit(rule)
    return tuple(
        make_rule(rule.origin, target, *term, *limit)
        for term in expand_conditions(conditions, pairs)
    )


def check_size(rule: PolicyRule, conditions: Conditions, pairs: Sequence[InterfacePair]) -> None:
    """Refuse a rule whose lists multiply beyond reason."""
    count = count_terms(conditions, pairs)
    if count > MAX_TERMS:
        raise PolicyError.at(
            rule.origin.where,
            f"this rule would become {count} iptables rules (the most is {MAX_TERMS})",
            "every net in 'from' is combined with every one in 'to': name larger networks",
        )


def _target(rule: PolicyRule, place: Place) -> Target:
    if rule.log is not None:
        return Log(prefix=rule.log.prefix + PREFIX_END)
    if rule.action is Action.PASS:
        return Goto(chain_name.PASS) if place.is_called else Return()
    if rule.action is Action.REJECT and not place.can_reject:
        return Goto(chain_name.DENY)
    return Goto(_VERDICT_CHAINS[rule.action])


def _limit(rule: PolicyRule) -> tuple[Match, ...]:
    if rule.log is None or rule.log.rate is None:
        return ()
    return (match_rate(rule.log.rate, rule.log.unit),)
