"""raw and mangle: policies that act before the others.

What they allow carries the verdict in its mark, and no stage of a host endpoint asks again. What
they do not speak of goes on. Neither do they speak of what is let through anyway.
"""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.build_endpoints import place_policies
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.stage import by_state, into_chain, match_granted
from netfw.compiler.term import InterfacePair, interface_matches
from netfw.compiler.verdict import lets_go
from netfw.ir.match import MarkMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Accept, Goto, Return
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.tier import Acts

_PLACES = (
    (Acts.UNTRACKED, Direction.INGRESS, TableName.RAW, Hook.PREROUTING),
    (Acts.UNTRACKED, Direction.EGRESS, TableName.RAW, Hook.OUTPUT),
    (Acts.PRE_DNAT, Direction.INGRESS, TableName.MANGLE, Hook.PREROUTING),
)


def acts_early(draft: Draft, direction: Direction) -> bool:
    """Whether packets of a direction can be allowed before they come to the filter table."""
    return any(
        policy.acts.is_early and policy.rules(direction)
        for policy in draft.policy.endpoint_policies
    )


def accepted_on_arrival(draft: Draft) -> list[Rule]:
    """No stage of the forward policies for what an early policy has allowed."""
    if not acts_early(draft, Direction.INGRESS):
        return []
    origin = Origin(draft.file, "verdict/early", "allowed by an early policy")
    on_accept = Accept() if lets_go(draft, Direction.FORWARD) else Return()
    return [make_rule(origin, on_accept, MarkMatch(draft.field.accepted_on_arrival))]


def build_early(draft: Draft) -> Draft:
    """Make the stages of early policies, and call them."""
    for acts, direction, table, hook in _PLACES:
        endpoints = [
            endpoint
            for endpoint in draft.policy.hosts
            if draft.policy.policies_at(endpoint, direction, acts)
        ]
        if not endpoints:
            continue
        for endpoint in endpoints:
            draft, rules = place_policies(draft, table, endpoint, direction, acts)
            name = chain_name.chain_of_endpoint(endpoint, direction, acts)
            draft = draft.with_chains(table, Chain(name, tuple(rules)))
        entrance = chain_name.EARLY[acts, direction]
        draft = draft.with_chains(table, _entrance(draft, entrance, acts, direction, endpoints))
        draft = draft.with_rules(
            table, OWN_CHAIN_PREFIX + hook.value, *_calls(draft, entrance, acts)
        )
    return draft


def _calls(draft: Draft, entrance: str, acts: Acts) -> list[Rule]:
    origin = Origin(draft.file, f"stage/{acts.value}", f"policies that act {acts.value}")
    rules = []
    if acts is Acts.PRE_DNAT:
        decided = Origin(draft.file, "verdict/early", "allowed by an early policy")
        rules.append(make_rule(decided, Return(), MarkMatch(draft.field.was_checked)))
    return [*rules, into_chain(origin, entrance)]


def _entrance(
    draft: Draft, name: str, acts: Acts, direction: Direction, endpoints: list[Endpoint]
) -> Chain:
    """Past what is let through anyway, to the stage of the endpoint."""
    rules = by_state(draft, Return()) if acts is Acts.PRE_DNAT else []
    for grant in draft.policy.grants(direction):
        rules += match_granted(draft, grant, Return())
    for endpoint in endpoints:
        origin = Origin(
            endpoint.where,
            f"stage/{endpoint.name}-{acts.value}",
            f"{acts.value} {direction.value} of endpoint {endpoint.name}",
        )
        chain = chain_name.chain_of_endpoint(endpoint, direction, acts)
        for interface in endpoint.interfaces:
            pair: InterfacePair = (
                (interface, None) if direction is Direction.INGRESS else (None, interface)
            )
            rules.append(make_rule(origin, Goto(chain), *interface_matches(pair)))
    return Chain(name, tuple(rules))
