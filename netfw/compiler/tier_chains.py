"""The tiers of a stage: in line where there is one, else a chain for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.policy_rule import Place
from netfw.compiler.stage import comes_back, return_if_decided
from netfw.errors import Where
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, SetMark
from netfw.policy.model import EndpointPolicy, ForwardPolicy
from netfw.policy.rule import Action, PolicyRule
from netfw.policy.tier import LAST_TIER, Tier

Judging = TypeVar("Judging", EndpointPolicy, ForwardPolicy)


def actions_of(rules: Iterable[PolicyRule]) -> set[Action]:
    """What some of the rules do."""
    return {rule.action for rule in rules}


def place_tiers(
    draft: Draft,
    stage: str,
    where: Where,
    policies: Sequence[Judging],
    rules_of: Callable[[Judging], Sequence[PolicyRule]],
    place_policy: Callable[[Judging, Place], list[Rule]],
    place: Place,
    *,
    is_early: bool = False,
) -> tuple[list[Rule], list[Chain]]:
    """The rules of a stage for its policies, and the chains of its tiers.

    ``place_policy`` gives a policy's rules, or the call of its chain.
    """
    rules: list[Rule] = []
    chains: list[Chain] = []
    for tier in draft.policy.tiers:
        own = [policy for policy in policies if policy.tier == tier.name]
        if not own:
            continue
        actions = actions_of(rule for policy in own for rule in rules_of(policy))
        if tier.name == LAST_TIER and Action.PASS not in actions:
            for policy in own:
                rules += place_policy(policy, place)
            continue
        inside = [rule for policy in own for rule in place_policy(policy, place)]
        if not tier.passes and tier.name != LAST_TIER and not is_early:
            inside.append(_deny_rest(tier))
        if not inside:
            continue
        name = chain_name.chain_of_tier(stage, tier)
        chains.append(Chain(name, tuple(inside)))
        rules += _call_tier(draft, tier, name, where, place.allow, actions)
    return rules, chains


def _call_tier(
    draft: Draft, tier: Tier, name: str, where: Where, allow: str, actions: Collection[Action]
) -> list[Rule]:
    is_last = tier.name == LAST_TIER
    origin = Origin(
        draft.file if is_last else tier.where, f"stage/tier-{tier.name}", f"tier {tier.name}"
    )
    rules = [make_rule(origin, Jump(name))]
    if comes_back(allow, actions):
        rules.append(return_if_decided(draft))
    if Action.PASS in actions:
        rules.append(make_rule(origin, SetMark(draft.field.scratch_clear)))
    return rules


def _deny_rest(tier: Tier) -> Rule:
    origin = Origin(tier.where, f"stage/tier-{tier.name}-rest", "what no rule of the tier matches")
    return make_rule(origin, Goto(chain_name.DENY))
