"""filter: from a hook to the stages of a packet, and from the mark to a verdict."""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.build_early import acts_early
from netfw.compiler.build_exit import judge_later
from netfw.compiler.build_forward import has_forward_stage
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.stage import into_chain
from netfw.compiler.term import InterfacePair, interface_matches
from netfw.compiler.verdict import accept, let_go, lets_go
from netfw.ir.match import ConnectionState, ConntrackMatch, MarkMatch, Match, ProtocolMatch, Way
from netfw.ir.names import OWN_CHAIN_PREFIX, Family, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.protocols import ICMPV6
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Jump, NoTarget
from netfw.policy.defaults import Handling
from netfw.policy.endpoint import Direction, Endpoint


def build_dispatch(draft: Draft) -> Draft:
    """Make NETFW-INPUT, NETFW-FORWARD and NETFW-OUTPUT, those of them that have work."""
    for hook, rules in (
        (Hook.INPUT, _input(draft)),
        (Hook.FORWARD, _forward(draft)),
        (Hook.OUTPUT, _output(draft)),
    ):
        if rules:
            chain = Chain(OWN_CHAIN_PREFIX + hook.value, tuple(rules))
            draft = draft.with_chains(TableName.FILTER, chain)
    return draft


def _input(draft: Draft) -> list[Rule]:
    """To this host: ingress of a host endpoint, egress of a workload."""
    rules: list[Rule] = []
    for endpoint in draft.policy.endpoints:
        if endpoint.is_host:
            rules += _into_stage(endpoint, Direction.INGRESS, Way.IN)
        elif draft.family is Family.IPV6 and draft.policy.neighbour_grants:
            rules += _from_neighbour(draft, endpoint)
        else:
            rules += _into_stage(endpoint, Direction.EGRESS, Way.IN)
    early = [accept(draft)] if acts_early(draft, Direction.INGRESS) else []
    if not rules:
        return []
    rest = let_go(draft, Direction.INGRESS, Direction.EGRESS)
    return [*_turn_on_tracking(draft), *early, *rules, *rest]


def _turn_on_tracking(draft: Draft) -> list[Rule]:
    """Ports and types are in a packet's first fragment only, and connection tracking, which puts
    fragments together, is off until a rule asks it something."""
    defaults = draft.policy.defaults
    if defaults.established is not Handling.ASK or defaults.invalid is not Handling.ASK:
        return []
    origin = Origin(draft.file, "stage/tracking", "turns on connection tracking")
    asked = ConntrackMatch(frozenset({ConnectionState.INVALID}))
    return [make_rule(origin, NoTarget(), asked)]


def _from_neighbour(draft: Draft, endpoint: Endpoint) -> list[Rule]:
    """A workload may talk to this host as to its neighbour. Only here, and not in its stage:
    that also judges what is forwarded, which no neighbour discovery is."""
    sound: tuple[Match, ...] = ()
    if draft.policy.defaults.invalid is not Handling.ASK:
        sound = (ConntrackMatch(frozenset({ConnectionState.INVALID}), negate=True),)
    (grant,) = draft.policy.neighbour_grants
    neighbours = [
        into_chain(
            grant.origin,
            chain_name.NEIGHBOUR,
            *interface_matches((name, None)),
            ProtocolMatch(ICMPV6),
            *sound,
        )
        for name in endpoint.interfaces
    ]
    if lets_go(draft, Direction.INGRESS):
        return neighbours + _into_stage(endpoint, Direction.EGRESS, Way.IN)
    undecided = MarkMatch(draft.field.was_checked, negate=True)
    return neighbours + _into_stage(endpoint, Direction.EGRESS, Way.IN, undecided)


def _output(draft: Draft) -> list[Rule]:
    """From this host. What it sends to its workloads is not judged: a host that cannot reach
    them can neither check nor repair them."""
    rules = []
    for endpoint in draft.policy.hosts:
        if draft.policy.is_covered(endpoint, Direction.EGRESS):
            rules += _into_stage(endpoint, Direction.EGRESS, Way.OUT)
    if not rules and not acts_early(draft, Direction.EGRESS):
        return []
    early = [accept(draft)] if acts_early(draft, Direction.EGRESS) else []
    late = judge_later(draft) if rules else []
    return [*early, *late, *rules, *let_go(draft, Direction.EGRESS)]


def _forward(draft: Draft) -> list[Rule]:
    """Through this host: up to three stages, and all must allow. Without workloads there is one,
    and ``build_forward`` has made this chain."""
    workloads = draft.policy.workloads
    if not workloads:
        if has_forward_stage(draft) or not acts_early(draft, Direction.INGRESS):
            return []
        return [accept(draft)]
    rules: list[Rule] = []
    for endpoint in workloads:
        rules += _into_stage(endpoint, Direction.EGRESS, Way.IN)
    if has_forward_stage(draft):
        policies = draft.policy.forward_policies
        where = policies[0].where if policies else draft.file
        origin = Origin(where, "stage/forward", "the forward policies")
        rules.append(into_chain(origin, chain_name.FORWARD_STAGE))
    for endpoint in workloads:
        rules += _into_stage(endpoint, Direction.INGRESS, Way.OUT)
    return [*rules, *let_go(draft, Direction.EGRESS)]


def _into_stage(endpoint: Endpoint, direction: Direction, way: Way, *matches: Match) -> list[Rule]:
    origin = Origin(
        endpoint.where,
        f"stage/{endpoint.name}-{direction.value}",
        f"{direction.value} of endpoint {endpoint.name}",
    )
    chain = chain_name.chain_of_endpoint(endpoint, direction)
    rules = []
    for name in endpoint.interfaces:
        pair: InterfacePair = (name, None) if way is Way.IN else (None, name)
        rules.append(make_rule(origin, Jump(chain), *interface_matches(pair), *matches))
    return rules
