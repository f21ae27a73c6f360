"""One rule of the policy to rules of iptables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.late_rule import LateRule, check_size
from netfw.compiler.rate import match_rate
from netfw.compiler.shape import shape_of
from netfw.compiler.stage import leave
from netfw.compiler.term import ANY_PAIR, InterfacePair
from netfw.ir.match import Match
from netfw.ir.names import Family
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, Log, Nflog, NoTarget, Return, Target
from netfw.policy.rule import PREFIX_END, Action, PolicyRule

_VERDICTS = {
    Action.DENY: Goto(chain_name.DENY),
    Action.REJECT: Goto(chain_name.REJECT),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy's rules stand.

    ``can_reject``: REJECT is legal there (the filter table). ``is_called``: in a chain that a tier
    calls, so that RETURN would not leave the tier. ``allow``: the chain that they go to with what
    they allow, as ``allowing`` gives it.
    """

    can_reject: bool
    allow: str
    is_called: bool = False


def compile_rule(
    draft: Draft,
    rule: PolicyRule,
    place: Place,
    pairs: Sequence[InterfacePair] = ANY_PAIR,
) -> tuple[Rule, ...]:
    """The rules for the draft's family, none if the rule is not about it.

    Where they are a call of the rule's own chain, ``build_rule_chains`` makes that chain later.
    Raises PolicyError where they would be too many to be meant.
    """
    conditions = rule.conditions(draft.family)
    if conditions is None:
        return ()
    if conditions.is_plain and rule.action is not Action.COUNT:
        return (
            LateRule(
                _limit(rule),
                _target(rule, place),
                rule.origin,
                conditions=conditions,
                action=rule.action.value,
                pairs=tuple(pairs),
            ),
        )
    shape = shape_of(conditions, draft.family, rule.identity, pairs)
    check_size(rule.origin, len(shape.terms) + len(shape.exceptions))
    if not shape.needs_chain:
        last = (*shape.last, *_limit(rule))
        target = _target(rule, place)
        return tuple(make_rule(rule.origin, target, *term, *last) for term in shape.terms)
    jump = Jump(chain_name.chain_of_rule(rule.identity))
    calls = tuple(make_rule(rule.origin, jump, *term) for term in shape.terms)
    if not rule.action.decides or not calls:
        return calls
    return (*calls, *leave(draft, place.allow, {rule.action}))


def chain_of(rule: PolicyRule, family: Family, place: Place) -> Chain:
    """The chain that a rule calls which has one: back for the exceptions, then what it does.

    Raises ValueError for a rule that is not about the family.
    """
    conditions = rule.conditions(family)
    if conditions is None:
        raise ValueError(f"{rule.identity} is not about {family}")
    shape = shape_of(conditions, family, rule.identity)
    back = [make_rule(rule.origin, Return(), *term) for term in shape.exceptions]
    last = (*shape.last, *_limit(rule))
    inside = replace(place, is_called=True)
    does = make_rule(rule.origin, _target(rule, inside), *last)
    return Chain(chain_name.chain_of_rule(rule.identity), (*back, does))


def _target(rule: PolicyRule, place: Place) -> Target:
    if rule.log is not None:
        if rule.log.group is not None:
            return Nflog(rule.log.group, rule.log.prefix)
        return Log(prefix=rule.log.prefix + PREFIX_END)
    if rule.action is Action.COUNT:
        return NoTarget()
    if rule.action is Action.PASS:
        return Goto(chain_name.PASS) if place.is_called else Return()
    if rule.action is Action.REJECT and not place.can_reject:
        return Goto(chain_name.DENY)
    if rule.reject_kind is not None:
        return Goto(chain_name.chain_of_answer(rule.reject_kind))
    return _goto(place.allow) if rule.action is Action.ALLOW else _VERDICTS[rule.action]


@cache
def _goto(chain: str) -> Goto:
    """One for all: a policy's thousands of rules go to the same few chains."""
    return Goto(chain)


def _limit(rule: PolicyRule) -> tuple[Match, ...]:
    if rule.log is None or rule.log.rate is None:
        return ()
    return (match_rate(rule.log.rate, rule.log.unit),)
