"""filter: the stage of the forward policies, for packets through endpoints that they name."""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler import chain_name
from netfw.compiler.build_early import accepted_on_arrival
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.policy_rule import Place, compile_rule
from netfw.compiler.shape import shape_of
from netfw.compiler.stage import (
    INLINE_RULES,
    call_chain,
    end_stage,
    established,
    invalid,
    leave,
    next_stage,
)
from netfw.compiler.term import InterfacePair, either_way, interface_matches
from netfw.compiler.tier_chains import actions_of, place_tiers
from netfw.compiler.verdict import allowing
from netfw.ir.match import ConnectionState, ConntrackMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump, Return
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import ForwardPolicy
from netfw.policy.rule import Action
from netfw.policy.translation import Permission, Point

OWNER = "forward"
"""What the identities of the stage's own rules start with."""


def has_forward_stage(draft: Draft) -> bool:
    """Whether any forwarded packet is judged by the forward policies."""
    return any(
        draft.policy.is_covered(endpoint, Direction.FORWARD) for endpoint in draft.policy.endpoints
    )


def build_forward(draft: Draft) -> Draft:
    """Make the stage, its entrance, and a chain for each policy with more than a few rules."""
    policies = draft.policy.forward_policies
    if not has_forward_stage(draft):
        return draft
    where = policies[0].where if policies else draft.file
    allow = allowing(draft, TableName.FILTER, Direction.FORWARD)
    rules: list[Rule] = []
    if draft.policy.workloads:
        # every workload has a stage of its own for what it sends, and that comes first
        rules.append(next_stage(draft, OWNER, where))
    rules += established(draft, OWNER, where, allow)
    rules += invalid(draft, OWNER, where, allow)
    chains: list[Chain] = []
    judging, tiers = place_tiers(
        draft,
        chain_name.FORWARD_STAGE,
        where,
        policies,
        lambda policy: policy.rules,
        lambda policy, place: _place_policy(draft, policy, place, chains),
        Place(can_reject=True, allow=allow),
    )
    rules += judging
    for permission in draft.policy.permissions:
        rules += _allow_translated(draft, permission, allow, chains)
    rules.append(end_stage(OWNER, where))
    return draft.with_chains(
        TableName.FILTER,
        Chain(_entrance_name(draft), tuple(_entrance(draft))),
        Chain(chain_name.FORWARD_RULES, tuple(rules)),
        *chains,
        *tiers,
    )


def _entrance_name(draft: Draft) -> str:
    """Workloads have stages before and behind this one; else the hook's chain is the entrance."""
    if draft.policy.workloads:
        return chain_name.FORWARD_STAGE
    return OWN_CHAIN_PREFIX + Hook.FORWARD.value


def _entrance(draft: Draft) -> list[Rule]:
    """Into the stage for what comes in or leaves by a named endpoint, by goto: once at most."""
    rules = accepted_on_arrival(draft)
    covered = [
        endpoint
        for endpoint in draft.policy.endpoints
        if draft.policy.is_covered(endpoint, Direction.FORWARD)
    ]
    for endpoint, pair in either_way(covered):
        origin = Origin(
            endpoint.where,
            f"through/{endpoint.name}",
            f"forwarding through {endpoint.name} is judged by the forward policies",
        )
        goto = Goto(chain_name.FORWARD_RULES)
        rules.append(make_rule(origin, goto, *interface_matches(pair)))
    return rules


def _place_policy(
    draft: Draft, policy: ForwardPolicy, place: Place, chains: list[Chain]
) -> list[Rule]:
    """The policy's rules with their interfaces, or a call of its chain with them."""
    pairs = _pairs(policy)
    if len(policy.rules) * len(pairs) <= INLINE_RULES:
        return [
            compiled
            for rule in policy.rules
            for compiled in compile_rule(draft, rule, place, pairs)
        ]
    inside = replace(place, is_called=True)
    rules = [compiled for rule in policy.rules for compiled in compile_rule(draft, rule, inside)]
    if not rules:
        return []
    name = chain_name.chain_of_policy(policy.name, Direction.FORWARD)
    chains.append(Chain(name, tuple(rules)))
    origin = Origin(policy.where, f"policy/{policy.name}", f"policy {policy.name}")
    return call_chain(draft, name, origin, place.allow, pairs, actions=actions_of(policy.rules))


def _allow_translated(
    draft: Draft, permission: Permission, allow: str, chains: list[Chain]
) -> list[Rule]:
    """What was redirected is allowed, as if the last forward policy said so; nothing else to the
    same address is."""
    conditions = permission.conditions(draft.family)
    if conditions is None:
        return []
    pairs = [(name, None) for endpoint in permission.inputs for name in endpoint.interfaces]
    state = ConntrackMatch(frozenset({ConnectionState.DNAT}))
    shape = shape_of(conditions, draft.family, permission.origin.identity, pairs)
    origin, goto = permission.origin, Goto(allow)
    if not shape.needs_chain:
        return [make_rule(origin, goto, *term, *shape.last, state) for term in shape.terms]
    name = chain_name.chain_of_turn(origin.identity, Point.ARRIVING)
    back = [make_rule(origin, Return(), *term) for term in shape.exceptions]
    chains.append(Chain(name, (*back, make_rule(origin, goto, *shape.last, state))))
    calls = [make_rule(origin, Jump(name), *term) for term in shape.terms]
    return [*calls, *leave(draft, allow, {Action.ALLOW})]


def _pairs(policy: ForwardPolicy) -> tuple[InterfacePair, ...]:
    return tuple(
        (way_in, way_out)
        for way_in in _interfaces(policy.sources)
        for way_out in _interfaces(policy.destinations)
    )


def _interfaces(endpoints: tuple[Endpoint, ...]) -> tuple[str | None, ...]:
    if not endpoints:
        return (None,)
    return tuple(name for endpoint in endpoints for name in endpoint.interfaces)
