"""filter: a stage for each direction of an endpoint that the policy covers."""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft
from netfw.compiler.policy_rule import Place, compile_rule
from netfw.compiler.stage import (
    INLINE_RULES,
    add_grants,
    call_chain,
    end_stage,
    established,
    invalid,
    next_stage,
    start_host_stage,
)
from netfw.compiler.tier_chains import actions_of, place_tiers
from netfw.compiler.verdict import allowing
from netfw.ir.names import TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.model import EndpointPolicy
from netfw.policy.tier import Acts

_DIRECTIONS = (Direction.INGRESS, Direction.EGRESS)


def build_endpoints(draft: Draft) -> Draft:
    """Make the stages, and the chains of policies that are used at several endpoints."""
    for endpoint in draft.policy.endpoints:
        for direction in _DIRECTIONS:
            if draft.policy.is_covered(endpoint, direction):
                draft = add_stage(draft, TableName.FILTER, endpoint, direction)
    return draft


def add_stage(draft: Draft, table: TableName, endpoint: Endpoint, direction: Direction) -> Draft:
    """A draft with the stage of an endpoint in a table: filter, or mangle for what leaves and
    was redirected."""
    owner, where = endpoint.name, endpoint.where
    allow = allowing(draft, table, direction)
    rules: list[Rule] = []
    if endpoint.is_host:
        draft = add_grants(draft, table, direction)
        rules += start_host_stage(draft, endpoint, direction, allow)
    else:
        if direction is Direction.INGRESS:
            # what enters a workload has been through the stages of where it came from
            rules.append(next_stage(draft, owner, where))
        rules += established(draft, owner, where, allow)
        rules += invalid(draft, owner, where, allow)
    draft, judging = place_policies(draft, table, endpoint, direction)
    rules += [*judging, end_stage(owner, where)]
    name = chain_name.chain_of_endpoint(endpoint, direction)
    return draft.with_chains(table, Chain(name, tuple(rules)))


def place_policies(
    draft: Draft,
    table: TableName,
    endpoint: Endpoint,
    direction: Direction,
    acts: Acts = Acts.NORMAL,
) -> tuple[Draft, list[Rule]]:
    """The rules of the policies at an endpoint, and the draft with the chains that they call."""
    shared: dict[str, Chain] = {}

    def place_policy(policy: EndpointPolicy, place: Place) -> list[Rule]:
        rules = policy.rules(direction)
        if not _has_own_chain(draft, policy, direction):
            return [compiled for rule in rules for compiled in compile_rule(draft, rule, place)]
        name = chain_name.chain_of_policy(policy.name, direction)
        inside = replace(place, is_called=True)
        shared[name] = Chain(
            name,
            tuple(compiled for rule in rules for compiled in compile_rule(draft, rule, inside)),
        )
        origin = Origin(
            policy.where, f"policy/{policy.name}", f"policy {policy.name}, {direction.value}"
        )
        return call_chain(draft, name, origin, place.allow, actions=actions_of(rules))

    rules, chains = place_tiers(
        draft,
        chain_name.chain_of_endpoint(endpoint, direction, acts),
        endpoint.where,
        draft.policy.policies_at(endpoint, direction, acts),
        lambda policy: policy.rules(direction),
        place_policy,
        Place(can_reject=table is TableName.FILTER, allow=allowing(draft, table, direction)),
        is_early=acts.is_early,
    )
    missing = [c for c in shared.values() if draft.find_chain(table, c.name) is None]
    return draft.with_chains(table, *missing, *chains), rules


def _has_own_chain(draft: Draft, policy: EndpointPolicy, direction: Direction) -> bool:
    """Rules that stand at one endpoint stand in its chain; so do a few that are repeated."""
    rules = policy.rules(direction)
    if len(policy.at) == 1 or len(rules) * len(policy.at) <= INLINE_RULES:
        return False
    return any(draft.family in rule.families for rule in rules)
