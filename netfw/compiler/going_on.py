"""filter FORWARD: packets of connections pass at the hook, where several stages would ask them."""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.stage import GOING_ON
from netfw.compiler.term import either_way, interface_matches
from netfw.compiler.verdict import allowing
from netfw.ir.match import ConntrackMatch
from netfw.ir.names import TableName
from netfw.ir.ruleset import Chain, Origin, Rule
from netfw.ir.target import Goto
from netfw.policy.defaults import Handling
from netfw.policy.endpoint import Direction, Endpoint


def call_going_on(draft: Draft) -> list[Rule]:
    """The rule at the hook. By goto: what is through no endpoint is for no stage either."""
    if draft.policy.defaults.established is Handling.ASK:
        return []
    origin = Origin(draft.file, "forward/established", "packets of a connection that was allowed")
    return [make_rule(origin, Goto(chain_name.GOING_ON), ConntrackMatch(GOING_ON))]


def going_on_chain(draft: Draft) -> Chain:
    """Let through what goes through an endpoint: each of its stages would allow it."""
    covered = [
        endpoint
        for endpoint in draft.policy.endpoints
        if not endpoint.is_host or draft.policy.is_covered(endpoint, Direction.FORWARD)
    ]
    allow = Goto(allowing(draft, TableName.FILTER, Direction.INGRESS))
    rules = [
        make_rule(_origin(endpoint), allow, *interface_matches(pair))
        for endpoint, pair in either_way(covered)
    ]
    return Chain(chain_name.GOING_ON, tuple(rules))


def _origin(endpoint: Endpoint) -> Origin:
    text = f"connections through endpoint {endpoint.name}"
    return Origin(endpoint.where, f"{endpoint.name}/going-on", text)
