"""filter: a stage for each direction of an endpoint that the policy covers."""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft
from netfw.compiler.policy_rule import compile_rule
from netfw.compiler.stage import (
    INLINE_RULES,
    allow_neighbours,
    call_chain,
    end_stage,
    return_if_decided,
    start_stage,
)
from netfw.ir.match import ProtocolMatch
from netfw.ir.names import Family, TableName
from netfw.ir.protocols import ICMPV6
from netfw.ir.ruleset import Chain, Origin
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import EndpointPolicy

_DIRECTIONS = (Direction.INGRESS, Direction.EGRESS)


def build_endpoints(draft: Draft) -> Draft:
    """Make the chains of policies that are used at several endpoints, then the stages."""
    policies = [
        _policy_chain(draft, policy, direction)
        for policy in draft.policy.endpoint_policies
        for direction in _DIRECTIONS
        if _has_own_chain(draft, policy, direction)
    ]
    stages = [
        _stage(draft, endpoint, direction)
        for endpoint in draft.policy.endpoints
        for direction in _DIRECTIONS
        if draft.policy.is_covered(endpoint, direction)
    ]
    return draft.with_chains(TableName.FILTER, *policies, *stages)


def _has_own_chain(draft: Draft, policy: EndpointPolicy, direction: Direction) -> bool:
    """Rules that stand at one endpoint stand in its chain; so do a few that are repeated."""
    rules = policy.rules(direction)
    if len(policy.at) == 1 or len(rules) * len(policy.at) <= INLINE_RULES:
        return False
    return any(draft.family in rule.families for rule in rules)


def _policy_chain(draft: Draft, policy: EndpointPolicy, direction: Direction) -> Chain:
    rules = [
        compiled
        for rule in policy.rules(direction)
        for compiled in compile_rule(rule, draft.family)
    ]
    return Chain(chain_name.chain_of_policy(policy.name, direction), tuple(rules))


def _stage(draft: Draft, endpoint: Endpoint, direction: Direction) -> Chain:
    # what enters a workload has been through the stages of where it came from
    is_later = not endpoint.is_host and direction is Direction.INGRESS
    rules = start_stage(draft, endpoint.name, endpoint.where, is_later=is_later)
    if endpoint.is_host and draft.family is Family.IPV6:
        # what a workload says to its neighbour, this host, is allowed at INPUT: not forwarded
        rules += [allow_neighbours(endpoint, ProtocolMatch(ICMPV6)), return_if_decided(draft)]
    for policy in draft.policy.policies_at(endpoint, direction):
        if _has_own_chain(draft, policy, direction):
            chain = chain_name.chain_of_policy(policy.name, direction)
            origin = Origin(
                policy.where,
                f"policy/{policy.name}",
                f"policy {policy.name}, {direction.value}",
            )
            rules += call_chain(draft, chain, origin)
            continue
        for rule in policy.rules(direction):
            rules += compile_rule(rule, draft.family)
    rules.append(end_stage(endpoint.name, endpoint.where))
    return Chain(chain_name.chain_of_endpoint(endpoint, direction), tuple(rules))
